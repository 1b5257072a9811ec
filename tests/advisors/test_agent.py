"""HAProxy's agent protocol: every word of its grammar, and HAProxy itself as the judge."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shunt.advisors.agent import Agent, judged
from shunt.advisors.dialogue import WrongAnswerError
from shunt.advisors.wish import Admission, Wish
from tests.advisors.driving import bytewise, talk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

WEIGHT = 100
# What an agent says; whether it is up; its share; a part of what it says that no agent says.
LINES: list[tuple[str, bool, float | None, str]] = [
    ("up", True, None, ""),
    ("UP", True, None, ""),
    ("ready", True, None, ""),
    ("75%", True, 0.75, ""),
    ("150%", True, 1.5, ""),
    ("0%", True, 0.0, ""),
    ("drain", True, 0.0, ""),
    ("maint", False, 0.0, ""),
    ("down", False, 0.0, ""),
    ("stopped", False, 0.0, ""),
    ("fail", False, 0.0, ""),
    ("Fail #disk is full", False, 0.0, ""),
    ("down#disk", True, None, "down#disk"),  # the sharp begins a word, or it is part of one
    ("up 50%", True, 0.5, ""),
    ("up,50%\tready", True, 0.5, ""),
    ("  ,, up  ", True, None, ""),
    ("30% 60%", True, 0.6, ""),
    ("down up", True, None, ""),
    ("up down", False, 0.0, ""),
    ("drain ready", True, None, ""),
    ("ready drain", True, 0.0, ""),
    ("up maint 10%", False, 0.0, ""),
    ("drain up", True, 0.0, ""),
    ("maxconn:30", True, None, ""),
    ("up maxconn:30 20%", True, 0.2, ""),
    ("up #down", True, None, ""),
    ("up broken", True, None, "broken"),
    ("50% wobbly", True, 0.5, "wobbly"),
]
NOTHING = {"down#disk"}  # lines without a word that is known


@pytest.mark.parametrize(("line", "up", "share", "strange"), LINES)
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r", b"\r50% down\n"])
def test_each_line_says_what_the_grammar_says(
    line: str, *, up: bool, share: float | None, strange: str, end: bytes
) -> None:
    for pieces in ([line.encode() + end], bytewise(line.encode() + end)):
        verdict, _ = talk(Agent(), *pieces)
        if line in NOTHING:
            assert verdict.up is False
            assert strange in verdict.words
            continue
        assert (verdict.up, verdict.share) == (up, share)
        assert ("which is not a word of agents" in (verdict.warning or "")) == bool(strange)
        assert strange in (verdict.warning or "")


@pytest.mark.parametrize("line", [b"", b"up", b"down", b"50% dr"])
def test_a_line_without_its_end_says_nothing(line: bytes) -> None:
    verdict, _ = talk(Agent(), line)
    assert (verdict.up, verdict.share, verdict.wish) == (False, None, None)
    assert verdict.words.startswith("closed the connection")


@pytest.mark.parametrize(("line", "words"), [("", "an empty line"), (" , #x", "an empty line"),
    ("wobbly", "not a word of agents: 'wobbly'"), ("75", "not a word of agents: '75'"),
    ("7.5%", "not a word of agents: '7.5%'"), ("maxconn:x", "not a word"), ("-1%", "not a word")],
)  # fmt: skip
def test_a_line_without_a_word_of_agents_is_wrong(line: str, words: str) -> None:
    with pytest.raises(WrongAnswerError, match=words):
        judged(line)


WISHES = st.builds(
    Wish,
    st.sampled_from([None, "up", "down", "stopped", "fail"]),
    st.sampled_from([None, *Admission]),
    st.sampled_from([None, 0.0, 0.5, 1.0]),
)


@given(WISHES, WISHES, WISHES)
def test_what_is_not_spoken_of_stays_as_it_was(first: Wish, second: Wish, third: Wish) -> None:
    assert third.after(second).after(first) == third.after(second.after(first))
    assert Wish().after(first) == first == first.after(Wish())
    held = Wish("up", Admission.READY, 0.5).after(first)
    assert (held.up, held.share) == (True, 0.5)
    if first.words:
        assert judged(first.words).wish == first


# HAProxy itself.

HAPROXY = """\
global
  stats socket {folder}/socket
defaults
  mode tcp
  timeout connect 5s
  timeout server 5s
  timeout client 5s
backend agents
{servers}
"""


@contextlib.asynccontextmanager
async def _agents(lines: list[str], asked: list[int]) -> AsyncIterator[list[int]]:
    """Serve an agent for each line; count who was asked."""
    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for number, line in enumerate(lines):

            async def say(
                _: asyncio.StreamReader,
                writer: asyncio.StreamWriter,
                number: int = number,
                line: str = line,
            ) -> None:
                writer.write(line.encode() + b"\n")
                writer.close()
                asked[number] += 1

            server = await asyncio.start_server(say, "127.0.0.1", 0)
            await stack.enter_async_context(server)
            ports.append(server.sockets[0].getsockname()[1])
        yield ports


async def _states(folder: Path) -> dict[str, dict[str, str]]:
    reader, writer = await asyncio.open_unix_connection(str(folder / "socket"))
    writer.write(b"show stat\n")
    rows = csv.DictReader((await reader.read()).decode().lstrip("# ").splitlines())
    writer.close()
    return {row["svname"]: row for row in rows if row["pxname"] == "agents"}


async def test_haproxy_takes_each_line_as_we_do(tmp_path: Path) -> None:
    lines = [line for line, *_ in LINES]
    asked = [0] * len(lines)
    async with _agents(lines, asked) as ports:
        servers = "\n".join(
            f"  server s{number} 127.0.0.1:{port} weight {WEIGHT} agent-check agent-port {port} "
            "agent-inter 100ms"
            for number, port in enumerate(ports)
        )
        (tmp_path / "conf").write_text(HAPROXY.format(folder=tmp_path, servers=servers))
        process = await asyncio.create_subprocess_exec(
            "haproxy", "-db", "-f", str(tmp_path / "conf"),
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + 60
            while min(asked) < 3:  # what was said before has been taken
                assert time.monotonic() < deadline
                assert process.returncode is None
                await asyncio.sleep(0.05)
            states = await _states(tmp_path)
        finally:
            process.kill()
            await process.wait()
    for number, (line, up, share, _) in enumerate(LINES):
        state = states[f"s{number}"]
        weight = min(256, round(WEIGHT * (1.0 if share is None else share)))
        if "maint" in line:
            assert state["status"].startswith("MAINT"), line
        elif not up:
            assert state["status"].startswith("DOWN"), line
        elif share == 0 and line != "0%":
            assert state["status"].startswith("DRAIN"), line
        else:
            assert state["status"].startswith(("UP", "no check", "DRAIN" if not weight else "UP"))
            assert int(state["weight"]) == weight, line
