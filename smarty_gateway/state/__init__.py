"""What lasts: one SQLite file with counters, undelivered telegrams and retained topics."""
