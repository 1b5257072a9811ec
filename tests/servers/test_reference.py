"""The reference of steps is that of the drivers as they are."""

from __future__ import annotations

from pathlib import Path

from shunt.model.config import OperatingSystem
from shunt.servers.reference import reference

PAGE = Path(__file__).parents[2] / "docs" / "servers" / "steps.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == reference(), (
        "run `python -m shunt.servers.reference > docs/servers/steps.md`"
    )


def test_every_system_is_on_it() -> None:
    text = PAGE.read_text()
    assert all(f"\n## {system}\n" in text for system in OperatingSystem)
