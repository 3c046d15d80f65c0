"""Test vectors of smarty-gateway, and the generator that makes them; README.md explains both."""
