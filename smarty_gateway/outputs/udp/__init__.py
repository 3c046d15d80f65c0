"""Datagrams, one a telegram."""
