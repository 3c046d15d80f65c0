"""The history: quarter hours from registers, their sums, excess, peaks, and what they cost. It is pure.

Nothing here knows a file, a clock, a thread or a log. Times are whole seconds since 1970 in UTC, energies are
whole watt-hours (varh, litres, MJ), powers whole watts, as they are stored. docs/reference.md, "History", has
the rules.
"""
