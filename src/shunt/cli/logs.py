"""How the daemon's log looks: for people on a terminal, JSON where asked for."""

from __future__ import annotations

import sys

import structlog


def configure(*, json: bool) -> None:
    """Send log lines to stderr, with colours only on a terminal."""
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
