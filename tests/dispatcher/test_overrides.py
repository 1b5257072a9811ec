"""Run-time changes survive on disk exactly, and a file that is not ours is never guessed at."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.dispatcher.overrides import NOTHING, Override, Overrides, read, write
from shunt.errors import HostError, ParseError
from shunt.model.config import Config, Dispatcher, Member
from tests.bpf.world import service

if TYPE_CHECKING:
    from pathlib import Path

CHANGES = st.builds(
    Override, st.none() | st.integers(0, 0xFFFF), st.booleans(), st.booleans()
).filter(lambda override: not override.is_empty)
NAMES = st.text(max_size=12)
ANY = st.dictionaries(st.tuples(NAMES, NAMES), CHANGES, max_size=8).map(Overrides)


@settings(deadline=None, max_examples=200)
@given(ANY)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, changes: Overrides
) -> None:
    path = tmp_path_factory.getbasetemp() / "overrides.json"
    write(path, changes)
    assert read(path) == changes
    assert not list(path.parent.glob("*.new"))


def test_no_file_is_no_change(tmp_path: Path) -> None:
    assert read(tmp_path / "overrides.json") == NOTHING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"overrides": [7]}',
        '{"overrides": [{"service": "a"}]}',
        '{"overrides": [{"service": "a", "server": "b", "weight": "ten"}]}',
        '{"overrides": [{"service": "a", "server": "b", "weight": -1}]}',
        '{"overrides": [{"service": "a", "server": "b", "weight": 65536}]}',
        '{"overrides": [{"service": "a", "server": "b", "weight": true}]}',
        '{"overrides": [{"service": "a", "server": ["b"]}]}',
        "\x00\x01",
        "[" * 100_000,
    ],
)
def test_a_broken_file_is_named_and_not_guessed_at(tmp_path: Path, text: str) -> None:
    path = tmp_path / "overrides.json"
    path.write_text(text)
    with pytest.raises(ParseError) as caught:
        read(path)
    assert str(path) in caught.value.message
    assert caught.value.hint is not None
    assert path.read_text() == text


def test_bytes_that_are_no_text_are_a_broken_file(tmp_path: Path) -> None:
    path = tmp_path / "overrides.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ParseError, match="not the run-time changes"):
        read(path)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "overrides.json"
    write(path, Overrides({("a", "b"): Override(weight=1)}))
    before = path.read_text()
    path.with_name(".overrides.json").mkdir()
    with pytest.raises(HostError, match=r"overrides\.json"):
        write(path, NOTHING)
    assert path.read_text() == before
    with pytest.raises(HostError, match="directory"):
        read(tmp_path)


def test_changes_add_up_and_cancel_out() -> None:
    a, b = ("web", "alpha"), ("web", "beta")
    changed = NOTHING.with_change([a, b], weight=5).with_change([a], quiesced=True, now=True)
    assert changed.get(*a) == Override(5, quiesced=True, now=True)
    assert changed.get(*b) == Override(5)
    assert changed.get("web", "gamma") == Override()
    back = changed.with_change([a], quiesced=False, now=False).with_change([a, b], weight=None)
    assert back == NOTHING
    assert NOTHING.entries == {}, "a change makes a new object"


def test_what_a_configuration_has_no_place_for_is_dropped() -> None:
    web = service("192.0.2.10", 80)
    config = Config(
        Dispatcher(("eth0",)),
        (service("192.0.2.10", 80),),
        MappingProxyType({}),
    )
    kept = Config(
        config.dispatcher,
        (type(web)(web.cluster, web.address, web.protocol, 80, (Member("alpha", 1),)),),
        config.servers,
    )
    changes = Overrides({(web.name, "alpha"): Override(weight=3)})
    assert changes.for_config(kept) == changes
    assert changes.for_config(config) == NOTHING


def test_the_file_is_for_people_to_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "overrides.json"
    write(path, Overrides({("192.0.2.10:80/tcp", "alpha"): Override(quiesced=True)}))
    assert json.loads(path.read_text()) == {
        "overrides": [
            {
                "service": "192.0.2.10:80/tcp",
                "server": "alpha",
                "weight": None,
                "quiesced": True,
                "now": False,
            }
        ]
    }
