"""Simulated meters: their households, telegrams, ports and faults."""
