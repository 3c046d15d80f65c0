"""The test vectors and their generator; see README.md."""
