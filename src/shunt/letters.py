"""Which letters a person can see: names that look alike must be alike, and nothing hides in text.

`str.isprintable` is not enough: Hangul fillers, variation selectors and others are letters or marks
by their category, and nothing is drawn for them.
"""

from __future__ import annotations

import re

# Default_Ignorable_Code_Point of the Unicode Character Database 16.0 (DerivedCoreProperties.txt,
# UAX #44), and the Braille pattern without a dot.
_NOT_DRAWN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def is_seen(text: str) -> bool:
    """Return whether every letter of `text` is drawn, or is the space of ASCII."""
    return text.isprintable() and (text.isascii() or _NOT_DRAWN.search(text) is None)
