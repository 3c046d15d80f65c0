"""Where readings go: one file for each kind of output."""
