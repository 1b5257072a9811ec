"""Which groups are joined and left, and whose they are."""

from __future__ import annotations

import errno
from ipaddress import IPv6Address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.dispatcher import groups
from shunt.dispatcher.groups import Groups, plan
from shunt.errors import NetworkError
from shunt.network.groups import Membership

if TYPE_CHECKING:
    from pathlib import Path

ONE, TWO, THREE = (Membership(3, IPv6Address(f"ff02::1:ff00:{last}")) for last in (1, 2, 3))
some = st.frozensets(st.sampled_from([ONE, TWO, THREE]))


@settings(deadline=None, max_examples=300)
@given(some, some, some)
def test_a_plan_leads_to_what_is_wanted_and_leaves_alone_what_is_not_ours(
    held: frozenset[Membership], ours: frozenset[Membership], wanted: frozenset[Membership]
) -> None:
    made = plan(held, ours, wanted)
    after = (held | made.joins) - made.leaves
    assert after >= wanted
    assert made.leaves <= ours
    assert after - wanted <= held - ours, "of the others', nothing is left behind by us"
    assert made.ours <= wanted
    assert not made.ours & ((held & wanted) - ours), "what was there before us is not ours"
    assert plan(after, made.ours, wanted) == groups.Plan(frozenset(), frozenset(), made.ours)
    assert plan(after, made.ours, frozenset()).leaves == made.ours


class Kernel:
    """The kernel's memberships."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.held: set[Membership] = set()
        self.refuses: set[Membership] = set()
        monkeypatch.setattr(groups, "memberships", lambda: frozenset(self.held))
        monkeypatch.setattr(groups, "join", self.join)
        monkeypatch.setattr(groups, "leave", self.leave)

    def join(self, membership: Membership) -> None:
        if membership in self.refuses:
            raise NetworkError("refused", errno=errno.EACCES)
        self.held.add(membership)

    def leave(self, membership: Membership) -> None:
        self.held.discard(membership)


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    return Kernel(monkeypatch)


def test_a_later_process_knows_what_is_ours(kernel: Kernel, tmp_path: Path) -> None:
    kernel.held = {ONE}
    Groups(tmp_path / "groups").follow(frozenset({ONE, TWO}))
    assert kernel.held == {ONE, TWO}
    Groups(tmp_path / "groups").follow(frozenset({THREE}))
    assert kernel.held == {ONE, THREE}
    Groups(tmp_path / "groups").give_up()
    assert kernel.held == {ONE}
    assert not list(tmp_path.iterdir())


def test_a_process_that_is_killed_while_it_joins_leaves_word_of_it(
    kernel: Kernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(membership: Membership) -> None:
        kernel.held.add(membership)
        raise KeyboardInterrupt

    monkeypatch.setattr(groups, "join", killed)
    with pytest.raises(KeyboardInterrupt):
        Groups(tmp_path / "groups").follow(frozenset({ONE}))
    Groups(tmp_path / "groups").give_up()
    assert not kernel.held


def test_one_refusal_keeps_no_other_group_from_being_joined(kernel: Kernel, tmp_path: Path) -> None:
    kernel.refuses = {ONE}
    kept = Groups(tmp_path / "groups")
    kept.follow(frozenset({ONE, TWO}))
    assert kernel.held == {TWO}
    assert kept.refused.keys() == {ONE}
    kernel.refuses = set()
    kept.follow(frozenset({ONE, TWO}))
    assert kernel.held == {ONE, TWO}
    assert not kept.refused


@pytest.mark.parametrize("text", ["", "7", '{"a": 1}', "[[1, 2]]", "[[1]]", '[["x", "ff02::1"]]'])
def test_a_file_that_is_none_is_as_good_as_no_file(
    kernel: Kernel, tmp_path: Path, text: str
) -> None:
    path = tmp_path / "groups"
    path.write_text(text)
    kept = Groups(path)
    kept.follow(frozenset({TWO}))
    kept.give_up()
    assert not kernel.held
