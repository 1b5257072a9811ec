"""What members of the group may have the daemon do, and what they learn by it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from shunt.config import load_located
from shunt.dispatcher.commands import Commands
from shunt.dispatcher.control import Client
from shunt.errors import ConfigError, HostError, Problem, ShuntError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.dispatcher.daemon import Daemon

MEMBER, ROOT = Client(user=65534, connection=-1), Client(user=0, connection=-1)
SECRET = "hunter2"
WRONG = f"""\
dispatcher: {{interface: eth0, secret: {SECRET}}}
clusters:
  web:
    address: {SECRET}
    ports: [{{port: 80, servers: [a], advisor: {{type: exec, {SECRET}: x}}}}]
servers: {{a: {{address: 192.0.2.21}}}}
"""


def refusal(client: Client, error: ShuntError) -> ShuntError:
    """Return what a client is told whose reload fails so."""

    async def reload() -> None:
        raise error

    daemon = SimpleNamespace(reloading=SimpleNamespace(reload=reload))

    async def ask() -> Any:
        return await Commands(cast("Daemon", daemon)).handlers()["reload"]({}, client)

    with pytest.raises(ShuntError) as caught:
        asyncio.run(ask())
    return caught.value


def test_a_member_learns_where_the_file_is_wrong_and_nothing_that_is_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "shunt.yaml"
    file.write_text(WRONG)
    with pytest.raises(ConfigError, match=SECRET) as wrong:
        load_located(file)
    assert refusal(ROOT, wrong.value) is wrong.value
    told = refusal(MEMBER, wrong.value)
    assert isinstance(told, UsageError)
    assert SECRET not in f"{told.message} {told.hint}"
    for problem in wrong.value.problems:
        assert f"line {problem.line}, column {problem.column}" in told.message
    said = capsys.readouterr()
    assert SECRET in said.out + said.err, "root's log has all of it"


def test_nor_by_what_this_host_lacks_of_it() -> None:
    error = HostError(f"dispatcher.group: there is no group '{SECRET}' here", hint=SECRET)
    assert refusal(ROOT, error) is error
    told = refusal(MEMBER, error)
    assert SECRET not in f"{told.message} {told.hint}"


def test_a_file_of_many_mistakes_makes_a_short_answer() -> None:
    problem = Problem(7, 3, "clusters", SECRET)
    told = refusal(MEMBER, ConfigError("x", (problem,) * 500))
    assert "and 480 more" in told.message


def test_to_end_it_is_for_root_only() -> None:
    ended: list[bool] = []
    daemon = cast("Daemon", SimpleNamespace(end=lambda *, remove: ended.append(remove)))

    async def down(client: Client) -> Any:
        return await Commands(daemon).handlers()["down"]({}, client)

    with pytest.raises(UsageError, match="for root only"):
        asyncio.run(down(MEMBER))
    assert ended == []
    assert asyncio.run(down(ROOT))
    assert ended == [True]
