"""docs/advisors.md has every advisor with its settings, and its examples work."""

from __future__ import annotations

import re
from dataclasses import MISSING, dataclass, field
from pathlib import Path

import pytest

from shunt.advisors import registry
from shunt.advisors.advisor import Advisor, Target
from shunt.advisors.dialogue import Dialogue, Reader, WrongAnswerError, up
from shunt.advisors.expression import parse
from shunt.advisors.settings import meanings, setting, text
from tests.advisors.driving import talk

PAGE = (Path(__file__).parents[2] / "docs" / "advisors.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##)", PAGE, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_every_advisor_and_setting_is_explained(name: str) -> None:
    for key, (default, meaning) in meanings(registry.find(name)).items():
        if key == "tls":
            continue
        row = re.search(rf"^\| `{key}` \| (.*?) \| (.*) \|$", SECTIONS[name], flags=re.MULTILINE)
        assert row, key
        assert row[2] == meaning
        assert (row[1] == "must be given") == (default is MISSING)
    assert set(SECTIONS) == set(registry.BUILT_IN)


def test_its_expressions_are_right() -> None:
    (block,) = re.findall(r"```\n(100 .*?)```", PAGE, flags=re.DOTALL)
    for line in block.splitlines():
        parse(line)


def test_its_plug_in_works() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    names = {
        "dataclass": dataclass, "field": field, "Advisor": Advisor, "setting": setting,
        "text": text, "Target": Target, "Dialogue": Dialogue, "Reader": Reader,
        "WrongAnswerError": WrongAnswerError, "up": up, "__name__": __name__,
    }  # fmt: skip
    exec(compile(code, "docs/advisors.md", "exec"), names)
    kind = names["Memcached"]
    assert isinstance(kind, type)
    assert issubclass(kind, Advisor)
    assert talk(kind(), b"VERSION 1.6.18\r\n")[0].up
    assert talk(kind(), b"ERROR\r\n")[0].up is False
