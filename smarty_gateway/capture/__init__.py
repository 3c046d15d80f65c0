"""Captures on disk: their format, and how they are made safe to publish."""
