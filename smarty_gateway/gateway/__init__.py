"""The gateway: one reader per source, any number of outputs, and who looks after them."""
