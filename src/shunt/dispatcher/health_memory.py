"""Which servers were down: kept in a file, so that a restart does not try them on users first."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import structlog

from shunt.dispatcher.health_jobs import Key

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = structlog.get_logger()


def recall(path: Path) -> dict[Key, str]:
    """Return the servers that were down, with the reasons; none if nothing was kept."""
    try:
        kept = json.loads(path.read_text())
        return {Key(service, server): str(words) for service, server, words in kept}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        log.warning("which servers were down is not known", file=str(path), reason=str(error))
        return {}


def keep(path: Path, down: Mapping[Key, str]) -> None:
    """Write the servers that are down."""
    fresh = path.with_name(f".{path.name}")
    try:
        fresh.write_text(json.dumps([[k.service, k.server, words] for k, words in down.items()]))
        fresh.rename(path)
    except OSError as error:
        log.warning("which servers are down cannot be kept", file=str(path), reason=error.strerror)
