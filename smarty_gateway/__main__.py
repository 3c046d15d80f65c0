"""The entry point of `smarty-gateway` and of `python -m smarty_gateway`."""

import os
import signal
import sys


def main() -> int:
    """Run the command line, and return its exit status."""
    if sys.argv[1:2] in (["run"], ["demo"]):
        # A signal ends these with 0, also while they load, which takes seconds on a small computer. Until
        # they install their own handlers, nothing is open that needs a clean stop.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    from smarty_gateway.cli import main as run_command  # noqa: PLC0415 - after the handlers

    return run_command()


if __name__ == "__main__":
    sys.exit(main())
