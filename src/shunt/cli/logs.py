"""How the daemon's log looks: for people on a terminal, JSON where asked for."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, TextIO

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
    """Write out what could pass for another line of the log, or command the terminal.

    Strings only: all else is shown by its `repr`, or as JSON, which do so themselves.
    """
    return {
        key: visible(value, lines=False) if isinstance(value, str) else value
        for key, value in event.items()
    }


def _traceback(stream: TextIO, error: ExcInfo) -> None:
    stream.write("\n" + visible("".join(traceback.format_exception(*error))))
