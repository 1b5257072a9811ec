"""docs/security.md names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
DOCUMENT = TESTS.parent / "docs" / "security.md"


def test_every_test_that_a_claim_names_is_there() -> None:
    named = re.findall(r"`([\w/]*test_\w+\.py)?(?:::(test_\w+))?`", DOCUMENT.read_text())
    file, count = "", 0
    for path, name in named:
        file = path or file
        if not path and not name:
            continue
        text = (TESTS / file).read_text()
        assert not name or f"def {name}(" in text, f"{file} has no {name}"
        count += 1
    assert count > 20
