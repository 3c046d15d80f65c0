"""Tests of `smarty_gateway.languages`."""
