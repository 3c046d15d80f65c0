"""A fuzz harness for each place where data from outside comes in.

Every module with a `check_one` is one door. It makes an input out of any bytes and raises an exception
if the program breaks a promise. `test_fuzz` runs each door for a few seconds with the test suite;
`python -m tests.fuzz DOOR --seconds 600` runs one for longer.
"""
