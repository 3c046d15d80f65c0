"""gateway.yaml, keys.yaml and the options that replace them."""
