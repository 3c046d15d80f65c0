"""Telegrams byte for byte, on TCP ports and pseudo-terminals."""
