"""Tests state behaviour in a sentence each and go through public doors."""
