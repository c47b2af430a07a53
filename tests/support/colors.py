"""The colors of style sheets: who uses them, which tone they have, and how well they are read."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator
from pathlib import Path

_RULE = re.compile(r"([^{};]+)\{([^{}]*)\}")
_HEX = re.compile(r"#[0-9a-fA-F]{3,8}\b")


def rules(sheet: Path) -> Iterator[tuple[str, str, str]]:
    """Each declaration of a style sheet: a selector, a property and its value. Conditions around them are left out."""
    text = re.sub(r"/\*.*?\*/", "", sheet.read_text(), flags=re.DOTALL)
    text = re.sub(r"@import[^;]*;", "", text)
    for selectors, body in _RULE.findall(text):
        for declaration in filter(str.strip, body.split(";")):
            name, _, value = declaration.partition(":")
            for selector in selectors.split(",") if "(" not in selectors else [selectors]:
                yield " ".join(selector.split()), name.strip(), " ".join(value.split())


def rgb(color: str) -> tuple[float, float, float]:
    """The parts of ``#rgb`` or ``#rrggbb``, from 0 to 1."""
    digits = color[1:] if len(color) > 4 else "".join(2 * digit for digit in color[1:])
    red, green, blue = (int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4))
    return red, green, blue


def hue(color: str) -> float:
    """The tone in degrees: red is 0, green 120, blue 240."""
    return 360 * colorsys.rgb_to_hsv(*rgb(color))[0]


def is_red(color: str) -> bool:
    """Whether people call it red. What is nearly gray or white is not."""
    is_of_color = colorsys.rgb_to_hsv(*rgb(color))[1] > 0.15
    return is_of_color and not 18 <= hue(color) <= 340


def distance(one: str, other: str) -> float:
    """How far apart two tones are, in degrees up to 180."""
    apart = abs(hue(one) - hue(other))
    return min(apart, 360 - apart)


def contrast(one: str, other: str) -> float:
    """The contrast as WCAG 2 defines it, from 1 to 21."""
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def colors_in(value: str) -> list[str]:
    return _HEX.findall(value)


def _luminance(color: str) -> float:
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb(color))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
