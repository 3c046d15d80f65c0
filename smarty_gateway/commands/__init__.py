"""The commands of the command line, one file each: `add_parser` says what it takes, `execute` does it."""
