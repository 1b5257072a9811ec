"""What was recorded against what is wanted now: other managers, fewer addresses, none at all."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest

from shunt.model.config import Forward
from shunt.servers.drivers.linux import files, networkd
from shunt.servers.record import Record
from shunt.servers.steps import Output, Plan
from shunt.servers.wish import Silence
from tests.servers.drivers.golden import FOLDER, Case, load, words

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from shunt.servers.steps import Command

MANAGERS = {
    "ifupdown": "clean",
    "networkd": "clean-networkd",
    "networkd-drop-in": "networkd-has-lo",
    "networkd-shared": "networkd-catch-all",
    "netplan": "clean-netplan",
    "NetworkManager": "clean-network-manager",
    "ifcfg": "clean-ifcfg",
    "unit": "old-network-manager",
}
FOUR, OTHER = ip_address("192.0.2.10"), ip_address("192.0.2.11")


def _host(manager: str, *clusters: str, **wish: object) -> Case:
    case = load(FOLDER / "linux" / f"{MANAGERS[manager]}.yaml")
    named = tuple(ip_address(text) for text in clusters) or (FOUR,)
    return replace(case, wish=replace(case.wish, **{"clusters": named, **wish}))  # type: ignore[arg-type]  # tests


def _recorded(case: Case, record: Record) -> Case:
    return replace(case, outputs={**case.outputs, "record": Output(record.dump())})


def _after(case: Case, record: Record) -> tuple[Plan, Record]:
    """Return the plan for a host with this record, and the record once it is carried out."""
    plan = _recorded(case, record).plan()
    stale = record.stale(case.wish.clusters, plan.obsolete)
    return plan, record.without(entry.id for entry in stale).with_steps(plan.steps)


def _files(commands: Iterable[Command]) -> set[str]:
    return {c.file for c in commands if c.file and not c.file.startswith("/proc")}


def _made(plan: Plan) -> set[str]:
    return _files(command for step in plan.steps for command in step.do)


def _taken_back(record: Record) -> set[str]:
    return _files(command for entry in record.removal() for command in entry.undo)


def _text(plan: Plan, path: str) -> str:
    return "".join(words(c) for step in plan.steps for c in step.do if _files([c]) == {path})


@pytest.mark.parametrize("second", MANAGERS)
@pytest.mark.parametrize("first", MANAGERS)
def test_another_manager_leaves_no_file_of_the_one_before(first: str, second: str) -> None:
    before, record = _after(_host(first), Record())
    after, record = _after(_host(second), record)
    assert _taken_back(record) == _made(after)
    assert files.SYSCTL in _made(after)
    stale = _made(before) - _made(after)
    assert {i.partition(":")[2] for i in after.obsolete} == stale
    same_file = {first, second} <= {"networkd", "networkd-shared"}
    assert first == second or stale or same_file


@pytest.mark.parametrize("manager", MANAGERS)
def test_without_any_address_nothing_comes_back(manager: str) -> None:
    """As when a server goes over to services of kind nat; silence does no harm and stays."""
    made, record = _after(_host(manager), Record())
    nat = _host(manager, bare=(FOUR,), clusters=(), forward=Forward.NAT)
    plan, record = _after(nat, record)
    assert plan.steps == ()
    assert _taken_back(record) == {files.SYSCTL}
    assert _made(made) > {files.SYSCTL}
    assert not [i for i in record.ids if not i.startswith("silence:")]
    assert _recorded(nat, record).plan().settled


@pytest.mark.parametrize("manager", MANAGERS)
def test_an_address_that_leaves_is_in_no_file(manager: str) -> None:
    made, record = _after(_host(manager, str(FOUR), str(OTHER)), Record())
    plan, record = _after(_host(manager, str(OTHER)), record)
    told = {path for path in _made(made) if str(FOUR) in _text(made, path)}
    assert told
    for path in told:
        text = _text(plan, path)
        assert f"persist:{path}" in plan.obsolete or (str(OTHER) in text and str(FOUR) not in text)
    assert _taken_back(record) == _made(plan)


@pytest.mark.parametrize("clusters", [(FOUR,), (OTHER,)])
def test_what_need_not_last_may_stay_if_it_says_what_is_wanted(
    clusters: tuple[object, ...],
) -> None:
    case = _host("networkd")
    made, record = _after(case, Record())
    (text,) = (c.stdin or "" for s in made.steps for c in s.do if c.file == networkd.OWN[0])
    content = base64.b64encode(text.encode()).decode()
    answer = case.outputs["files"].stdout.replace(
        f"{networkd.OWN[0]} -", f"{networkd.OWN[0]} {content}."
    )
    case = replace(
        case,
        wish=replace(case.wish, persist=False, clusters=clusters),  # type: ignore[arg-type]  # addresses
        outputs=case.outputs | {"files": Output(answer)},
    )
    plan = _recorded(case, record).plan()
    assert plan.obsolete == (() if clusters == (FOUR,) else (f"persist:{networkd.OWN[0]}",))


def _filtered(case: Case, *lines: str) -> Case:
    text = "\n".join([*lines, "end", ""])
    return replace(case, outputs=case.outputs | {"filters": Output(text)})


@pytest.mark.parametrize("silence", [Silence.NFT, Silence.ARPTABLES, Silence.REDIRECT])
def test_a_filter_is_for_the_addresses_that_are_wanted_and_no_others(silence: Silence) -> None:
    lines: list[str] = []
    for address in (FOUR, OTHER):
        lines += {
            Silence.NFT: [
                f"\t\tarp operation request arp daddr ip {address} drop",
                f"\t\tarp saddr ip {address} arp saddr ip set 192.0.2.21",
            ],
            Silence.ARPTABLES: [
                f"-j DROP -d {address} ",
                f"-j mangle -s {address} --mangle-ip-s 192.0.2.21 ",
            ],
            Silence.REDIRECT: [f"\t\tip daddr {address} redirect"],
        }[silence]
    two = _host("ifupdown", str(FOUR), str(OTHER), silence=silence)
    _, record = _after(_host("ifupdown", str(FOUR), silence=silence), Record())
    first = {i for i in record.ids if i.startswith("silence:") and "/" not in i}
    plan, record = _after(two, record)
    undo = " ".join(words(c) for entry in record.removal() for c in entry.undo)
    if silence is Silence.ARPTABLES:
        assert str(OTHER) in undo  # the second address' rules are taken back, too
    assert not any(s.id.startswith("silence:") for s in _filtered(two, *lines).plan().steps)

    one = _filtered(_host("ifupdown", str(FOUR), silence=silence), *lines)
    plan, _ = _after(one, record)
    done = [step.id for step in plan.steps if step.id in record.ids and "/" not in step.id]
    gone = [i for i in plan.obsolete if i.startswith("silence:")]
    assert (f"silence:arptables:{OTHER}" in gone) if silence is Silence.ARPTABLES else done

    none = _filtered(_host("ifupdown", clusters=(), bare=(FOUR,), silence=silence), *lines)
    plan, record = _after(none, record)
    assert {i for i in plan.obsolete if i.startswith("silence:")} >= first
    assert not [i for i in record.ids if "/" not in i]


def test_what_was_redirected_is_not_when_there_is_an_alias() -> None:
    _, record = _after(_host("ifupdown", silence=Silence.REDIRECT), Record())
    plan, _ = _after(_host("ifupdown"), record)
    assert "silence:redirect" in plan.obsolete


@pytest.mark.parametrize("manager", MANAGERS)
def test_files_are_taken_back_also_where_their_manager_is_gone(
    manager: str, tmp_path: Path
) -> None:
    """`remove` must not be stuck on a tool that has been uninstalled since."""
    plan, _ = _after(_host(manager), Record())
    for step in plan.steps:
        for command in step.undo:
            if step.id.startswith("persist:") and not command.file and "rmdir" not in command.text:
                done = subprocess.run(
                    ["/usr/bin/env", f"PATH={tmp_path}", "/bin/sh", "-c", command.text],
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, (command.text, done.stderr)


@pytest.mark.parametrize(
    ("manager", "folder"),
    [("unit", "/etc/shunt"), ("networkd-drop-in", "/etc/systemd/network/05-lo.network.d")],
)
def test_a_folder_goes_with_the_only_file_in_it(manager: str, folder: str, tmp_path: Path) -> None:
    plan, _ = _after(_host(manager), Record())
    path = next(file for file in _made(plan) if file.startswith(f"{folder}/"))
    (step,) = (step for step in plan.steps if step.id == f"persist:{path}")
    made = tmp_path / folder.lstrip("/")
    for others in (["other"], []):
        made.mkdir(parents=True, exist_ok=True)
        (made / path.rpartition("/")[2]).touch()
        (made / "other").unlink(missing_ok=True)
        for name in others:
            (made / name).touch()
        for command in step.undo:
            line = [word.replace("/etc/", f"{tmp_path}/etc/") for word in command.argv]
            subprocess.run(line, check=True)
        assert made.exists() == bool(others)
