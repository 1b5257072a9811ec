"""The published schema: the committed copy is current, and it agrees with the reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from shunt.config import jsonschema as ours
from shunt.config import normalised, parse
from tests.config.configurations import configurations, text
from tests.config.test_problems import MISTAKES, RIGHT

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(
    ours.document(), format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
)

# What a schema of single places cannot say: references, ranges within text, kinds of addresses;
# and what YAML 1.1, which most editors speak, takes for a number (1:30).
BEYOND = (
    "multicast", "loopback", "broadcast", "0.0.0.0/8", "no machine's", "write 192.0.2.10",
    "no server", "did you mean `beta`?", "stands at", "server `alpha` at", "`beta` at",
    "cluster address (", "is a service", "for os aix-wpar", "add `wpar", "itself", "no port 81",
    "no port any", "out of range", "no duration", "no way in",
)  # fmt: skip


def test_the_committed_schema_is_current() -> None:
    committed = (ROOT / "docs" / "shunt.schema.json").read_text()
    assert committed == ours.text(), "run `shunt config schema > docs/shunt.schema.json`"


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(ours.document())


def test_every_key_is_described() -> None:
    document = ours.document()
    for name, model in {**document["$defs"], "file": document}.items():
        for key, schema in model["properties"].items():
            assert schema.get("description") or "$ref" in schema, f"{name}.{key}"


def test_the_example_is_right_for_an_editor_too() -> None:
    example = (ROOT / "examples" / "shunt.yaml").read_text()
    VALIDATOR.validate(yaml.safe_load(example))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configurations())
def test_what_the_reader_takes_an_editor_takes(data: dict[str, Any]) -> None:
    VALIDATOR.validate(data)
    VALIDATOR.validate(normalised(parse(text(data), "f")))


@pytest.mark.parametrize(
    ("old", "new"),
    [(old, new) for old, new, _, _, words in MISTAKES if not any(b in words for b in BEYOND)],
)
def test_an_editor_sees_the_mistakes_of_one_place(old: str, new: str) -> None:
    assert not VALIDATOR.is_valid(yaml.safe_load(RIGHT.replace(old, new)))
