"""Where a process begins that was started as `smarty-gateway` or as `python -m smarty_gateway`."""

import os
import signal
import sys


def main() -> int:
    """Run the command line, and return its exit status."""
    if sys.argv[1:2] in (["run"], ["demo"]):
        # A signal ends these with 0, also while they load, which takes seconds on a small computer. Until
        # they have handlers of their own, nothing is open that needs more than the end of the process.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: os._exit(0))
    from smarty_gateway.cli import main as run_command  # noqa: PLC0415 - only now, for the same reason

    return run_command()


if __name__ == "__main__":
    sys.exit(main())
