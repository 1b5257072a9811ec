r"""Bytes as a person writes them: text, with escapes for what has no letter.

Escapes are \r, \n, \t, \0, \\, and \x00 to \xff, with two digits.
"""

from __future__ import annotations

import re

from shunt.advisors.settings import SettingError, text

_LONGEST = 4096
_ESCAPE = re.compile(r"\\(?:([rnt0\\])|x([0-9A-Fa-f]{2}))?")
_LETTERS = {"r": b"\r", "n": b"\n", "t": b"\t", "0": b"\0", "\\": b"\\"}


def octets(value: object) -> bytes:
    """Return the bytes that a text stands for; letters are UTF-8."""
    written = text(value)
    found = bytearray()
    at = 0
    for escape in _ESCAPE.finditer(written):
        if escape[0] == "\\":
            raise SettingError(
                f"character {escape.start() + 1}: no escape begins with "
                f"`{written[escape.start() : escape.start() + 2]}`; there is \\r, \\n, \\t, \\0, "
                "\\xff, and \\\\ for the sign itself"
            )
        found += _encoded(written[at : escape.start()])
        found += bytes.fromhex(escape[2]) if escape[2] else _LETTERS[escape[1]]
        at = escape.end()
    found += _encoded(written[at:])
    if len(found) > _LONGEST:
        raise SettingError(f"is {len(found)} bytes long; {_LONGEST} are allowed")
    return bytes(found)


def _encoded(written: str) -> bytes:
    try:
        return written.encode()
    except UnicodeEncodeError:
        raise SettingError("holds half a character (a surrogate)") from None
