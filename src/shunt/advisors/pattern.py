r"""Regular expressions for text of strangers: RE2's, whose time is linear to the text's length.

A backtracking matcher takes two minutes for `\w+ up` and 256 KiB of one letter. RE2
(github.com/google/re2/wiki/Syntax) takes at most one pass for each instruction of the compiled
pattern; so the size of the program is bounded as well, and what may take longer than `AT_ONCE` is
computed apart from the event loop.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shunt.advisors.dialogue import Offload
from shunt.advisors.settings import SettingError, text

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Judging

MAX_LENGTH = 1000  # characters
MAX_PROGRAM = 1000  # instructions
AT_ONCE = 1 << 20  # instructions times bytes: some 5 ms at worst
_MAX_MEMORY = 1 << 20  # bytes, for the states of one pattern
_MAX_AT_FIRST = 1 << 18  # bytes: room for 2,730 instructions, which are compiled in some 10 ms
_FRAGMENT = re.compile(r"(.*?): (.*)", re.DOTALL)
_LACKING = (
    (re.compile(r"\(\?<?[=!]"), "looking ahead or behind"),
    (re.compile(r"\\[1-9]|\(\?P="), "a reference back to a group"),
    (re.compile(r"[*+?}]\+"), "a possessive quantifier"),
    (re.compile(r"\(\?>|\(\?\("), "an atomic or a conditional group"),
)
_PYTHONS_END = re.compile(r"\\Z")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; one is like another that was written like it.

    Attributes:
        text: how it was written.
        size: instructions of the compiled program.
    """

    text: str
    size: int = field(compare=False)
    _compiled: Any = field(compare=False, repr=False)

    def search(self, data: bytes) -> bool:
        r"""Return whether it stands somewhere in the data.

        `$` is the end, and the place before a last line end, as other matchers have it; `\z` is the
        end alone.
        """
        if self._compiled.search(data) is not None:
            return True
        before_line_end = "$" in self.text and r"\z" not in self.text and data.endswith(b"\n")
        return before_line_end and self._compiled.search(data[:-1]) is not None

    def fullmatch(self, data: bytes) -> bool:
        """Return whether the data are it, from the first byte to the last."""
        return self._compiled.fullmatch(data) is not None

    def looked_for(self, data: bytes) -> Judging:
        """Return whether it stands in the data; as part of a dialogue, so that nobody waits."""
        if self.size * len(data) <= AT_ONCE:
            return self.search(data)
        return bool((yield Offload(lambda: self.search(data))))


def pattern(value: object) -> Pattern:
    """Return a pattern for text; read from a setting."""
    return _compiled(text(value), "UTF8")


def bytes_pattern(value: object) -> Pattern:
    r"""Return a pattern for bytes, `\x00` to `\xff`; `.` is one byte."""
    return _compiled(text(value), "LATIN1")


def _compiled(written: str, encoding: str) -> Pattern:
    """Return a compiled pattern; `encoding` is RE2's name for what a letter is.

    Raises:
        SettingError: it cannot be taken; the message says where, and what is wrong there.
    """
    import re2

    if len(written) > MAX_LENGTH:
        raise SettingError(f"is {len(written)} characters long; {MAX_LENGTH} are allowed")
    options = re2.Options()
    options.encoding = getattr(re2.Options.Encoding, encoding)
    options.log_errors = False
    options.never_capture = True
    try:
        for memory in (_MAX_AT_FIRST, _MAX_MEMORY):  # what is too large is refused early
            options.max_mem = memory
            found = re2.compile(written.encode(), options)
            if found.programsize > MAX_PROGRAM:
                break
    except re2.error as error:
        raise SettingError(_wrong(written, error.args[0].decode("utf-8", "replace"))) from None
    except UnicodeEncodeError:
        raise SettingError("holds half a character (a surrogate)") from None
    if found.programsize > MAX_PROGRAM:
        raise SettingError(
            f"is too large: {found.programsize} instructions, and {MAX_PROGRAM} are allowed; "
            "repeat less, as `{1,50}` does, or look for less"
        )
    return Pattern(written, found.programsize, found)


def _wrong(written: str, error: str) -> str:
    """Return what is wrong with a pattern, and where; `error` is RE2's sentence."""
    for form, name in _LACKING:
        if found := form.search(written):
            where = f"{found[0]} at character {found.start() + 1}"
            return f"`{written}` has {name} ({where}), which has no bound in time; leave it out"
    if found := _PYTHONS_END.search(written):
        return (
            f"`{written}` has `\\Z` at character {found.start() + 1}, which is not known here; "
            "the end of the text is `\\z` or `$`"
        )
    found = _FRAGMENT.fullmatch(error)
    what, fragment = (found[1], found[2]) if found else (error, "")
    if what == "pattern too large - compile failed":
        return f"`{written}` is too large; repeat less, or look for less"
    at = written.find(fragment) if fragment not in {"", written} else -1
    where = f": {fragment} at character {at + 1}" if at >= 0 else ""
    return f"`{written}` is not a regular expression: {what}{where}"
