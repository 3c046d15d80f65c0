"""Tests of the history, without a file."""
