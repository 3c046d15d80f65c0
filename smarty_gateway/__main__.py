"""Lets `python -m smarty_gateway` do what the installed command does."""

import sys

from smarty_gateway.cli import main

if __name__ == "__main__":
    sys.exit(main())
