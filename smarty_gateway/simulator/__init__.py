"""Virtual meters: what a household uses, the telegrams that say so, the line they come on, its faults."""
