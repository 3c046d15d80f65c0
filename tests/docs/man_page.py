"""Writes deploy/smarty-gateway.1 from the help of all commands: python -m tests.docs.man_page."""

import os
from unittest.mock import patch

from argparse_manpage.manpage import Manpage

from smarty_gateway import __version__
from smarty_gateway.cli import whole_parser
from smarty_gateway.commands.usage import COMMANDS
from tests.support.commands import ROOT

PAGE = ROOT / "deploy/smarty-gateway.1"


def roff(text: str) -> str:
    """Return lines as they stand, for roff."""
    lines = text.replace("\\", r"\e").replace("-", r"\-").strip("\n").split("\n")
    return "\n".join([".nf", *(rf"\&{line}" for line in lines), ".fi"])


@patch.dict(os.environ, {"COLUMNS": "10000"})
def man_page() -> str:
    """Return the page; argparse must not wrap lines, or roff takes one that begins with a dot for its own."""
    page = Manpage(
        whole_parser(),
        {
            "project_name": "smarty-gateway",
            "version": __version__,
            "description": "reads smart meters on their P1 port",
            "manual_title": "User Commands",
            "date": " ",  # or each build would differ
        },
        format="single-commands-section",
    )
    for name, usage in COMMANDS.items():
        page.add_section(f"{name}: examples and exit status", ">", roff(str(usage)))
    return str(page)


if __name__ == "__main__":
    PAGE.write_text(man_page(), "utf-8")
