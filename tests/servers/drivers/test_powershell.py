"""PowerShell statements keep their shape: brackets and quotes close, names are quoted."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.errors import ParseError
from shunt.model.config import OperatingSystem, Server
from shunt.servers import powershell, record
from shunt.servers.drivers.windows import DRIVER
from shunt.servers.drivers.windows_facts import FACTS
from shunt.servers.record import Entry, Record
from shunt.servers.steps import Output, Severity
from shunt.servers.wish import Wish

from .golden import CASES, Case

if TYPE_CHECKING:
    from collections.abc import Iterator

PAIRS = {")": "(", "}": "{", "]": "["}


def closed(statement: str) -> bool:
    """Tell whether every bracket and quote closes; doubled single quotes are letters."""
    waiting: list[str] = []
    quote = ""
    for letter in statement:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter in "({[":
            waiting.append(letter)
        elif letter in PAIRS and (not waiting or waiting.pop() != PAIRS[letter]):
            return False
    return not quote and not waiting


def statements() -> Iterator[str]:
    yield from (fact.command.text for fact in FACTS)
    for case in CASES:
        if case.system is OperatingSystem.WINDOWS:
            for step in case.plan().steps:
                for command in (*step.do, *step.check, *step.undo):
                    yield command.text


def test_brackets_and_quotes_close() -> None:
    assert all(closed(statement) for statement in statements())
    assert not closed("Get-NetAdapter -Name 'it''s")


def test_a_name_with_a_quote_stays_one_word() -> None:
    server = Server("s", (), os=OperatingSystem.WINDOWS, interface="Bob's LAN")
    wish = Wish(server, (ip_address("192.0.2.10"),))
    steps = DRIVER.plan(DRIVER.unseen(wish), wish).steps
    (step,) = (step for step in steps if step.id.startswith("weak:Bob"))
    assert "-InterfaceAlias 'Bob''s LAN' " in step.do[0].text


@pytest.mark.parametrize("mark", list("'\u2018\u2019\u201a\u201b"))
def test_every_mark_that_ends_a_string_of_powershell_is_doubled(mark: str) -> None:
    assert powershell.quoted(f"a{mark}b") == f"'a{mark}{mark}b'"
    server = Server("s", (), os=OperatingSystem.WINDOWS, interface=f"x{mark}; calc; {mark}")
    wish = Wish(server, (ip_address("192.0.2.10"),))
    for step in DRIVER.plan(DRIVER.unseen(wish), wish).steps:
        for command in (*step.do, *step.check, *step.undo):
            assert f"x{mark};" not in command.text


def test_a_record_is_believed_only_if_administrators_own_it() -> None:
    """Everybody may make C:\\ProgramData\\shunt; its commands are done as an administrator."""
    wish = Wish(Server("s", (), os=OperatingSystem.WINDOWS), ())
    read = record.read(wish).command.text
    full = record.write(wish, Record((Entry("a", "it's \u2019", ()),))).text
    empty = record.write(wish, Record()).text
    for text, use in ((read, "Get-Content"), (full, "WriteAllText"), (empty, "Remove-Item")):
        before, _, _ = text.partition(use)
        assert use in text
        assert "GetOwner" in before
        assert "throw" in before
        assert r"'C:\ProgramData\shunt', 'C:\ProgramData\shunt\server.json'" in before
        assert closed(text)
    assert "CreateDirectory" in full
    assert "PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)" in full  # nobody else, nothing inherited


def case(name: str) -> Case:
    return next(c for c in CASES if c.id == f"windows/{name}")


def test_the_card_must_be_known() -> None:
    """Two cards and no word on which: nothing is guessed."""
    two = case("source")
    unnamed = replace(two, wish=replace(two.wish, server=Server("s", (), os=two.system)))
    findings = unnamed.plan().findings
    assert any(f.severity is Severity.ERROR and "interface:" in (f.fix or "") for f in findings)


@pytest.mark.parametrize(
    "text",
    ['{"rows":[]}', '{"rows":[{"Name":1}]}', "[]", '{"rows":7}', '{"rows":[5]}', "Name  Status"],
)
def test_broken_answers_are_refused(text: str) -> None:
    clean = case("clean")
    for name in ("adapters", "addresses", "interfaces", "routes"):
        with pytest.raises(ParseError):
            clean.plan(clean.outputs | {name: Output(text)})
