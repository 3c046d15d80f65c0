"""The PostgreSQL database of a pool: its tables, and each statement that a pool sends."""
