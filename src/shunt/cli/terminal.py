"""The only door to the terminal: nothing that is printed gets past `visible`.

What servers, files and listings say is shown in errors, tables and logs, and the terminal is often
root's. A terminal obeys what it is sent: it moves the cursor over other lines, sets its own title,
answers with text that the shell takes for typed. Nothing of that may come from a stranger.
"""

from __future__ import annotations

import re
import sys
import traceback
import unicodedata

from shunt.letters import is_seen

_SUSPECT = re.compile(r"[^ -~\n\t]")


def visible(text: str, *, lines: bool = True) -> str:
    r"""Return `text` with everything that a terminal would obey or not show written out.

    That is C0 and C1 controls, ESC and DEL among them, the bidirectional and other format
    characters (Unicode's category Cf), what nothing is drawn for (`shunt.letters`), line and
    paragraph separators, what is unassigned, and lone surrogates. They become `\x1b`, `\u202e`; a
    byte that was not UTF-8 (PEP 383) becomes `\xff`.
    Tabs and line ends stay; without `lines`, line ends are written out as well.
    """
    if is_seen(text):
        return text
    if not lines:
        text = text.replace("\n", r"\n")
    return _SUSPECT.sub(_written_out, text)


def _written_out(match: re.Match[str]) -> str:
    letter = match[0]
    if is_seen(letter) or unicodedata.category(letter) == "Zs":
        return letter
    if letter == "\r" and match.string.startswith("\n", match.end()):
        return letter  # a line's end on Windows
    number = ord(letter)
    if 0xDC80 <= number <= 0xDCFF:
        number -= 0xDC00
    if number <= 0xFF:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number <= 0xFFFF else f"\\U{number:08x}"


def tell(text: str, *, end: str = "\n") -> None:
    """Print a result on stdout."""
    print(visible(text), end=end, flush=True)


def complain(text: str) -> None:
    """Print an error or a warning on stderr."""
    print(visible(text), file=sys.stderr, flush=True)


def complain_in_full(error: BaseException) -> None:
    """Print an error's traceback on stderr."""
    complain("".join(traceback.format_exception(error)).rstrip("\n"))


def show_what_cannot_be_encoded() -> None:
    """Have stdout and stderr write out letters that their encoding lacks, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors="backslashreplace")


def show_messages_of_libraries() -> None:
    """Print warnings that asyncio and asyncssh give by `logging` through this door as well."""
    import logging

    class Visible(logging.Formatter):
        def format(self, record: logging.LogRecord) -> str:
            return visible(super().format(record))

    handler = logging.StreamHandler()
    handler.setFormatter(Visible("%(name)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
