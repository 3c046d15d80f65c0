"""Tests of what is built for users to install."""
