"""What `doctor` finds on a line or in a capture."""
