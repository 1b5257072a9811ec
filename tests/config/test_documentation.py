"""The documentation's examples are right, and it has every key with its default."""

from __future__ import annotations

import re
from pathlib import Path

from shunt.config import dump, load_located, parse, warnings
from shunt.config.schema import (
    DispatcherKeys,
    FlowKeys,
    ManagerKeys,
    PortKeys,
    ServerKeys,
    StickyKeys,
)

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()


def test_the_pages_examples_are_right() -> None:
    advisors = (ROOT / "docs" / "advisors.md").read_text()
    examples = re.findall(r"```yaml\n(dispatcher:.*?)```", PAGE + advisors, flags=re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        config = parse(example, "docs/configuration.md")
        assert parse(dump(config), "normal") == config


def test_the_example_file_is_right_and_gets_no_warning() -> None:
    located = load_located(ROOT / "examples" / "shunt.yaml")
    assert warnings(located) == ()


def test_every_key_is_explained_with_its_default() -> None:
    for model in (DispatcherKeys, FlowKeys, ManagerKeys, PortKeys, ServerKeys, StickyKeys):
        for key, info in model.model_fields.items():
            if key == "interfaces":
                continue
            row = re.search(rf"^\| `{key}` \| (.*?) \|", PAGE, flags=re.MULTILINE)
            assert row, f"{model.__name__}.{key} is not in docs/configuration.md"
            if info.is_required():
                assert row[1] == "must be given", key
            elif isinstance(info.default, bool):
                assert row[1] == ("`yes`" if info.default else "`no`"), key
            elif key != "smoothing" and info.default not in (None, ()):
                assert row[1].strip("`") == str(info.default), key
