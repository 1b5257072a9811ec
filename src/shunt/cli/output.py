"""Where commands print: results on stdout, progress and warnings on stderr.

Everything passes `terminal.visible`: lines, tables, progress, and the errors of the command line.
"""

from __future__ import annotations

import json as json_module
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.segment import Segment

from shunt.cli import terminal
from shunt.letters import is_seen

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType
    from rich.text import Text

_WIDE = 160  # columns of output that goes to a file or a pipe

JsonValue = Mapping[str, "JsonValue"] | Sequence["JsonValue"] | str | int | float | bool | None


class VisibleConsole(Console):
    """A console through which no control character comes but its own.

    Strings are written out before they are measured, so that columns fit; segments once more, for
    what others have made into `Text`.
    """

    def render_str(self, text: str, **how: Any) -> Text:
        """Make `text` visible, then render it."""
        return super().render_str(terminal.visible(text), **how)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render, and make visible what comes of it."""
        for segment in super().render(renderable, options):
            if segment.control or is_seen(segment.text):
                yield segment
            else:
                yield segment._replace(text=terminal.visible(segment.text))


def console(*, stderr: bool = False, quiet: bool = False) -> VisibleConsole:
    """Return a console on stdout or stderr; colours appear only where it is a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return VisibleConsole(
        stderr=stderr, quiet=quiet, highlight=False, emoji=False, width=_width(stream)
    )


def _width(stream: TextIO) -> int | None:
    return None if stream.isatty() else _WIDE


class Output:
    """A command's two streams. Colours appear only where a stream is a terminal.

    With `json` set, `document` prints the one JSON document of the command, and text goes nowhere.
    """

    def __init__(self, *, json: bool = False) -> None:
        self.json = json
        self.console = console(quiet=json)
        self.err = console(stderr=True)

    def document(self, value: JsonValue) -> None:
        """Print `value` as JSON, indented, if the command was asked for JSON."""
        if self.json:
            terminal.tell(json_module.dumps(value, indent=2, default=str))

    def text(self, line: str = "") -> None:
        """Print a line as it is, without markup."""
        self.console.print(line, markup=False, soft_wrap=True)

    def warn(self, line: str) -> None:
        """Print a warning to stderr."""
        self.err.print(f"[yellow]warning:[/] {escape(line)}", soft_wrap=True)
