"""The style of all pictures: colours follow the reader's light or dark mode, texts grow in a small frame.

It is all a picture needs: no script, no font and no file from elsewhere. Every rule begins with a class that
only pictures and their tooltips have, so that it leaves the page around them alone.
"""

from typing import Final

CLASS: Final = "smarty-picture"
#: Units of the picture itself; its frame scales them.
WIDTH, HEIGHT = 640, 360
#: Of `pages/static/charts.js`.
_TOOLTIP: Final = "smarty-tooltip"
_SPOKEN: Final = "smarty-spoken"
_FONT_SIZE: Final = 13
#: Pixels. In a frame this narrow, texts are drawn this large, and minor labels are left out.
_NARROW: Final = 480
LAYOUT_SIZE: Final = 19

_LIGHT: Final = {
    "paper": "#ffffff", "ink": "#1f2933", "faint": "#d5dae0",
    "import": "#2b6cb0", "excess": "#d64545", "export": "#2f9e66",
    "unknown": "#c3c8cf", "previous": "#bcd3ea",
}  # fmt: skip
_DARK: Final = {
    "paper": "#15181c", "ink": "#e4e7eb", "faint": "#3a4149",
    "import": "#63a4e8", "excess": "#ff7b72", "export": "#57c98d",
    "unknown": "#565e68", "previous": "#34506d",
}  # fmt: skip
#: What is drawn, from the back to the front.
SERIES: Final = ("unknown", "previous", "excess", "import", "export")


def _colours(colours: dict[str, str]) -> str:
    rules = [
        ("background", f"fill:{colours['paper']}"),
        ("text", f"fill:{colours['ink']}"),
        ("line", f"stroke:{colours['faint']}"),
        ("level .line", f"stroke:{colours['excess']}"),
        ("level text", f"fill:{colours['excess']}"),
        *((name, f"fill:{colours[name]}") for name in SERIES),
        ("pointed", f"fill:{colours['ink']}"),
        *((f"{name} .area", f"stroke:{colours[name]}") for name in ("import", "export")),
    ]
    return "".join(f".{CLASS} {'' if name == 'text' else '.'}{name}{{{rule}}}" for name, rule in rules)


def _tooltip(colours: dict[str, str]) -> str:
    return f".{_TOOLTIP}{{color:{colours['paper']};background:{colours['ink']}}}"


#: What a picture brings with it.
PICTURE_STYLE: Final = (
    f".{CLASS}{{font-family:system-ui,'DejaVu Sans',sans-serif}}"
    f".{CLASS} text{{font-size:{_FONT_SIZE}px}}"
    f".{CLASS} .title{{font-weight:600;text-anchor:middle}}"
    f".{CLASS} .x text{{text-anchor:middle}}"
    f".{CLASS} .y text{{text-anchor:end}}"
    f".{CLASS} .area{{fill-opacity:.3}}"
    f".{CLASS} .spans{{fill:none;pointer-events:all}}"
    f".{CLASS} .pointed{{fill-opacity:.15}}"
    f".{CLASS} .line{{fill:none;stroke-width:1}}"
    f".{CLASS} .x .line{{stroke:none}}"
    f".{CLASS} .level .line{{stroke-width:1.5;stroke-dasharray:6 4}}"
    f"{_colours(_LIGHT)}"
    f"@media screen and (prefers-color-scheme:dark){{{_colours(_DARK)}}}"
    f"@media (max-width:{_NARROW}px){{.{CLASS} text{{font-size:{LAYOUT_SIZE}px}}"
    f".{CLASS} .minor{{display:none}}}}"
)
#: The same for a page of pictures, whose script shows tooltips. A finger that moves up or down scrolls.
STYLE: Final = (
    f"{PICTURE_STYLE}"
    f".{CLASS}{{width:100%;max-height:32rem;touch-action:pan-y;-webkit-tap-highlight-color:transparent}}"
    f".{CLASS}:focus:not(:focus-visible){{outline:none}}"
    f".{_TOOLTIP}{{position:fixed;z-index:9;visibility:hidden;pointer-events:none;box-sizing:border-box;"
    f"max-width:min(20rem,calc(100vw - 12px));padding:.35rem .6rem;border-radius:.35rem;"
    f"font:.875rem/1.4 system-ui,'DejaVu Sans',sans-serif;font-variant-numeric:tabular-nums}}"
    f".{_TOOLTIP}.shown{{visibility:visible}}"
    f".{_SPOKEN}{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}}"
    f"{_tooltip(_LIGHT)}"
    f"@media (prefers-color-scheme:dark){{{_tooltip(_DARK)}}}"
    f"@media print{{.{_TOOLTIP}{{display:none}}}}"
)
