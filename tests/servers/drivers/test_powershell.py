"""PowerShell statements keep their shape: brackets and quotes close, names are quoted."""

from __future__ import annotations

import json
import re
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


def test_windows_2008_is_refused_by_name() -> None:
    """It lacks the modules, so every other answer is an error as well."""
    clean = case("clean")
    broken = {name: Output("", "not recognized", 1) for name in clean.outputs}
    with pytest.raises(ParseError, match=r"Windows \(6\.1\.7601\.65536\) lacks .* Server 2012"):
        clean.plan(broken | {"modules": Output("6.1.7601.65536\r\n"), "record": Output("")})
    (first, *_) = FACTS
    assert "ConvertTo-Json" not in first.command.text  # which PowerShell 2 does not have
    assert "Ignore" not in first.command.text
    plan = DRIVER.plan(DRIVER.unseen(clean.wish), clean.wish)
    assert any("Windows Server 2012 and later" in finding.what for finding in plan.findings)


def test_a_new_adapter_gets_its_profile_at_the_first_apply() -> None:
    steps = {step.id: step for step in case("clean").plan().steps}
    ids = list(steps)
    assert ids.index("adapter") < ids.index("alias:192.0.2.10") < ids.index("firewall")
    assert "Start-Sleep" in steps["firewall"].do[0].text


def test_an_adapter_that_stays_is_not_removed() -> None:
    (step,) = (step for step in case("clean").plan().steps if step.id == "adapter")
    _, _, after = step.undo[0].text.partition("pnputil.exe /remove-device")
    there = "Get-NetAdapter -Name 'dsr' -ErrorAction Ignore | Where-Object"
    assert re.search(
        rf"if \({re.escape(there)} InterfaceDescription -Match '[^']*'\) {{ throw", after
    )


def test_an_adapter_without_a_description_is_an_adapter() -> None:
    clean = case("clean")
    rows = json.loads(clean.outputs["adapters"].stdout)
    rows["rows"].append({"Name": "odd", "InterfaceDescription": None, "ifIndex": 77})
    again = clean.plan(clean.outputs | {"adapters": Output(json.dumps(rows))})
    assert [step.id for step in again.steps] == [step.id for step in clean.plan().steps]


def _finds(statement: str, text: str) -> bool:
    """Tell whether `findstr` would find it; its few signs are those of Python here."""
    patterns = re.findall(r'/c:"([^"]+)"', statement)
    return any(re.search(pattern, line) for pattern in patterns for line in text.splitlines())


def test_windows_2003_tells_an_address_from_a_longer_one() -> None:
    clean = next(c for c in CASES if c.id == "windows2003/clean")
    (step,) = clean.plan().steps
    for command in (*step.check, *step.undo):
        assert _finds(command.text, "    IP Address:              192.0.2.10")
        assert _finds(command.text, "IP Address: 192.0.2.10 (Preferred)")
        for other in ("192.0.2.100", "192.0.2.1", "1192.0.2.10", "7.192.0.2.10", "192x0.2.10"):
            assert not _finds(command.text, f"    IP Address:              {other}")


@pytest.mark.parametrize(
    "text",
    ['{"rows":[]}', '{"rows":[{"Name":1}]}', "[]", '{"rows":7}', '{"rows":[5]}', "Name  Status"],
)
def test_broken_answers_are_refused(text: str) -> None:
    clean = case("clean")
    for name in ("adapters", "addresses", "interfaces", "routes"):
        with pytest.raises(ParseError):
            clean.plan(clean.outputs | {name: Output(text)})
