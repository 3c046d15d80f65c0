"""The core: bytes of a P1 port in, verified readings out.

Nothing in here knows a socket, a file, a clock, a thread or a log; time is an argument. So every
test is bytes in and events out, and the same code serves a serial port, a capture and a fuzzer.
"""
