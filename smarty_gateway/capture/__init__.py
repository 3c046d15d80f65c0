"""The format of captures, and their redaction."""
