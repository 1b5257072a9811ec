"""How the daemon's log looks: for people on a terminal, JSON where asked for."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any, TextIO

import structlog

from shunt.cli.terminal import show_messages_of_libraries, visible

if TYPE_CHECKING:
    from structlog.typing import EventDict, ExcInfo


def configure(*, json: bool) -> None:
    """Send log lines to stderr, with colours only on a terminal."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if json
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=_traceback
        )
    )
    show_messages_of_libraries()
    structlog.configure(
        processors=[
            _in_one_line,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def _in_one_line(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Write out what could pass for another line of the log, or command the terminal."""
    return {key: _visible(value) for key, value in event.items()}


def _visible(value: Any) -> Any:
    """Return a value whose strings are written out, also within lists and tables.

    `repr` and JSON, by which all else is shown, write out controls themselves.
    """
    if isinstance(value, str):
        return visible(value, lines=False)
    if type(value) in {list, tuple}:
        return type(value)(map(_visible, value))
    if isinstance(value, dict):
        return {_visible(key): _visible(each) for key, each in value.items()}
    return value


def _traceback(stream: TextIO, error: ExcInfo) -> None:
    stream.write("\n" + visible("".join(traceback.format_exception(*error))))
