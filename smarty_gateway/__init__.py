"""Reads encrypted Luxembourg and plaintext Belgian smart meters and hands on verified readings."""

__version__ = "0.1.0"
