"""Where commands print: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

from rich.console import Console

_WIDE = 160  # columns of output that goes to a file or a pipe

JsonValue = Mapping[str, "JsonValue"] | Sequence["JsonValue"] | str | int | float | bool | None


def _width(stream: TextIO) -> int | None:
    return None if stream.isatty() else _WIDE


class Output:
    """A command's two streams. Colours appear only where a stream is a terminal.

    With `json` set, `document` prints the one JSON document of the command, and text goes nowhere.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.console = Console(quiet=json, highlight=False, emoji=False, width=_width(sys.stdout))
        self.err = Console(stderr=True, highlight=False, emoji=False, width=_width(sys.stderr))

    def document(self, value: JsonValue) -> None:
        """Print `value` as JSON, indented, if the command was asked for JSON."""
        if self.json:
            print(json_module.dumps(value, indent=2, default=str))

    def text(self, line: str = "") -> None:
        """Print a line as it is, without markup."""
        self.console.print(line, markup=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print a warning to stderr."""
        self.err.print(f"[yellow]warning:[/] {line}")
