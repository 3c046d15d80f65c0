"""The style of all pictures: colours follow the reader's light or dark mode, texts grow in a small frame.

It is all a picture needs: no script, no font and no file from elsewhere. Every rule begins with the class of
the picture, so that one inside a page leaves the page alone.
"""

from typing import Final

CLASS: Final = "smarty-picture"
#: Units of the picture itself; its frame scales them.
WIDTH, HEIGHT = 640, 360
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
        *((f"{name} .curve", f"fill:none;stroke:{colours[name]}") for name in ("import", "export")),
    ]
    return "".join(f".{CLASS} {'' if name == 'text' else '.'}{name}{{{rule}}}" for name, rule in rules)


STYLE: Final = (
    f".{CLASS}{{font-family:system-ui,'DejaVu Sans',sans-serif}}"
    f".{CLASS} text{{font-size:{_FONT_SIZE}px}}"
    f".{CLASS} .title{{font-weight:600;text-anchor:middle}}"
    f".{CLASS} .x text{{text-anchor:middle}}"
    f".{CLASS} .y text{{text-anchor:end}}"
    f".{CLASS} .area{{fill-opacity:.3}}"
    f".{CLASS} .spans{{fill:none;pointer-events:all}}"
    f".{CLASS} .line{{fill:none;stroke-width:1}}"
    f".{CLASS} .x .line{{stroke:none}}"
    f".{CLASS} .level .line{{stroke-width:1.5;stroke-dasharray:6 4}}"
    f"{_colours(_LIGHT)}"
    f"@media (prefers-color-scheme:dark){{{_colours(_DARK)}}}"
    f"@media (max-width:{_NARROW}px){{.{CLASS} text{{font-size:{LAYOUT_SIZE}px}}"
    f".{CLASS} .minor{{display:none}}}}"
)
