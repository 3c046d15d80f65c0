"""Makes docs/page.png, the picture of the page in README.md, from the demonstration.

Type: python -m tests.browser.page_picture
"""

import base64
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from tests.browser.chromium import path_of_chromium, started_chromium
from tests.browser.demonstration import HOUSE, demonstration

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PATH: Final = Path(__file__).parents[2] / "docs" / "page.png"
_PHONE: Final = {"width": 360, "height": 830}
_WIDE: Final = {"width": 1120, "height": 830}
#: Both views beside each other; white and black readers of README.md see their edges.
_FRAME: Final = """<!doctype html><style>
body {{ margin: 0; padding: 16px; display: flex; gap: 16px; width: max-content; }}
img {{ border-radius: 12px; border: 1px solid #8888; }}
</style><img src="data:image/png;base64,{phone}"><img src="data:image/png;base64,{wide}">"""


def main() -> None:
    """Write the picture."""
    path = path_of_chromium()
    if path is None:
        raise SystemExit("this needs Chromium; type: sudo apt install chromium")
    with (
        TemporaryDirectory() as folder,
        demonstration(Path(folder)) as address,
        started_chromium(path) as browser,
    ):
        page = f"{address}meters/{HOUSE}/"
        phone = _shot(browser, page, viewport=_PHONE, color_scheme="light")
        wide = _shot(browser, f"{page}month", viewport=_WIDE, color_scheme="dark")
        frame = browser.new_page(viewport={"width": 1600, "height": 800})
        frame.set_content(_FRAME.format(phone=phone, wide=wide))
        data = frame.locator("body").screenshot(omit_background=True)
    # A palette makes it a third of the size.
    Image.open(io.BytesIO(data)).quantize(128).save(PATH, optimize=True)


def _shot(browser: "Browser", address: str, **options: Any) -> str:  # noqa: ANN401 - those of playwright
    """Return what fits into the window, in base64."""
    page = browser.new_page(locale="en-GB", timezone_id="Europe/Luxembourg", **options)
    page.goto(address)
    if "month" not in address:
        page.locator("#quarter").wait_for()
    else:
        page.locator("a[rel=prev]").click()
    return base64.b64encode(page.screenshot()).decode()


if __name__ == "__main__":
    main()
