"""`python -m tests.packaging.app_files` writes what the Home Assistant app has from elsewhere here.

These are the version, the changelog and the pictures. A test says whether they are as this writes them.
"""

import re
from pathlib import Path
from typing import Final

import yaml

from smarty_gateway import __version__

ROOT: Final = Path(__file__).parents[2]
APP: Final = ROOT / "deploy" / "home-assistant" / "smarty-gateway"
_ICON: Final = ROOT / "smarty_gateway" / "pages" / "static" / "icon.svg"
_LOGO: Final = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 250 100">
<svg x="6" y="18" width="64" height="64" viewBox="0 0 32 32">{icon}</svg>
<text x="82" y="48" font-family="DejaVu Sans" font-weight="bold" font-size="29" fill="#2b6cb0">smarty</text>
<text x="82" y="78" font-family="DejaVu Sans" font-size="29" fill="#2b6cb0">gateway</text></svg>"""


def config() -> str:
    """Return config.yaml with the version of the program."""
    return re.sub(
        r"(?m)^version: .*$", f'version: "{__version__}"', (APP / "config.yaml").read_text(encoding="utf-8")
    )


def changelog() -> str:
    """Return the changelog with links that work in the app's page, too."""
    url = yaml.safe_load(config())["url"]
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return re.sub(r"\]\((?!https?:|#)", f"]({url}/blob/main/", text)


def icon() -> bytes:
    """Return the page's icon as PNG."""
    return _png(bytestring=_ICON.read_bytes(), output_width=128, output_height=128)


def logo() -> bytes:
    """Return the icon with the name beside it as PNG."""
    drawing = _ICON.read_text(encoding="utf-8").strip().partition(">")[2].removesuffix("</svg>")
    return _png(bytestring=_LOGO.format(icon=drawing), output_width=250, output_height=100)


def _png(**options: object) -> bytes:
    # The quick tests run on machines without the library cairo, too.
    from cairosvg import svg2png  # noqa: PLC0415

    return bytes(svg2png(**options))


if __name__ == "__main__":
    (APP / "config.yaml").write_text(config(), encoding="utf-8")
    (APP / "CHANGELOG.md").write_text(changelog(), encoding="utf-8")
    (APP / "icon.png").write_bytes(icon())
    (APP / "logo.png").write_bytes(logo())
