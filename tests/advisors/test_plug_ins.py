"""Plug-ins that do what they must not: the check ends in words, and other checks go on."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING, Any

import pytest

from shunt.advisors import check as checks
from shunt.advisors import registry
from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.dialogue import HEAR, Verdict, up
from shunt.advisors.rounds import Job, Rounds
from shunt.advisors.run import run
from shunt.advisors.settings import SettingsError, read, setting
from shunt.cli.main import app
from shunt.errors import UsageError
from tests.advisors.serving import LOOPBACK, a_check, serving, silent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _forgets_its_verdict() -> Any:
    yield b"x"


def _returns_words() -> Any:
    yield b"x"
    return "works"


def _returns_a_load_of_words() -> Any:
    yield b"x"
    return Verdict(up=True, words="", load="much")  # type: ignore[arg-type]  # the mistake


def _returns_no_number() -> Any:
    yield b"x"
    return up("well", load=float("nan"))


def _is_no_generator() -> Any:
    return up("well")


def _raises_at_once() -> Any:
    raise ZeroDivisionError


def _leaves_at_once() -> Any:
    sys.exit(3)


def _yields_text() -> Any:
    yield "hello"
    return up("well")


def _yields_a_number() -> Any:
    yield 3
    return up("well")


def _raises_later() -> Any:
    yield b"x"
    raise ZeroDivisionError


def _leaves_the_program() -> Any:
    yield b"x"
    sys.exit(3)


def _raises_what_a_server_may_cause() -> Any:
    yield b"x"
    raise ConnectionRefusedError(111, "Connection refused")


def _would_block() -> Any:
    yield b"x"
    raise BlockingIOError


def _raises_at_its_end() -> Any:
    try:
        yield HEAR
    finally:
        raise ZeroDivisionError


def _does_not_end() -> Any:
    try:
        while True:
            yield HEAR
    except GeneratorExit:
        yield HEAR


class Unspeakable:
    """Nothing that can be shown."""

    def __repr__(self) -> str:
        raise ZeroDivisionError


def _yields_the_unspeakable() -> Any:
    yield Unspeakable()


BROKEN: dict[Callable[[], Any], str] = {
    _forgets_its_verdict: "it returned None, no verdict",
    _returns_words: "it returned 'works', no verdict",
    _returns_a_load_of_words: "load and share are numbers",
    _returns_no_number: "load and share are numbers",
    _is_no_generator: "its talk() returned Verdict(up=True, words='well'",
    _raises_at_once: "ZeroDivisionError",
    _leaves_at_once: "SystemExit(3)",
    _yields_text: "it yielded 'hello'; bytes",
    _yields_a_number: "it yielded 3; bytes",
    _raises_later: "it raised ZeroDivisionError",
    _leaves_the_program: "it raised SystemExit(3)",
    _raises_what_a_server_may_cause: "it raised ConnectionRefusedError",
    _would_block: "it raised BlockingIOError",
    _raises_at_its_end: "ZeroDivisionError",
    _does_not_end: "ignored GeneratorExit",
    _yields_the_unspeakable: "it yielded a Unspeakable",
}


def broken(talk: Callable[[], Any], over: Transport = Transport.TCP) -> Advisor:
    class Broken(Advisor):
        """A plug-in with a mistake."""

        name = "mine"
        transport = over

        def talk(self, _target: Target, /) -> Any:
            return talk()

        def argv(self, _target: Target, /) -> list[str]:
            return ["/bin/echo", "hello"]

    return Broken()


@pytest.mark.parametrize("listened", [False, True])
@pytest.mark.parametrize("talk", BROKEN, ids=lambda talk: talk.__name__.lstrip("_"))
async def test_a_mistake_says_nothing_about_the_server_but_what_it_is(
    talk: Callable[[], Any], *, listened: bool
) -> None:
    said: list[bytes] = []
    check = replace(a_check(), advisor=broken(talk), receive_timeout=0.1)
    async with serving(silent) as target:
        verdict = await run(
            check, target, listener=(lambda _, data: said.append(data)) if listened else None
        )
    assert verdict.up is None
    assert verdict.words.startswith("the advisor mine failed: ")
    assert BROKEN[talk] in verdict.words
    assert all(isinstance(data, bytes) for data in said)


@pytest.mark.parametrize(
    ("talk", "words"),
    [(_forgets_its_verdict, "it speaks"), (_raises_at_once, "ZeroDivisionError"),
     (_is_no_generator, "must yield"), (_does_not_end, "wants more")],
)  # fmt: skip
async def test_a_mistake_with_a_command_is_told_as_well(
    talk: Callable[[], Any], words: str
) -> None:
    check = replace(a_check(), advisor=broken(talk, Transport.PROCESS))
    verdict = await run(check, Target(LOOPBACK, 1))
    assert verdict.up is None
    assert words in verdict.words


async def test_a_plug_in_that_does_not_end_can_be_cancelled() -> None:
    check = replace(a_check(), advisor=broken(_does_not_end), receive_timeout=600.0)
    reached = asyncio.Event()

    async def hearing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        reached.set()
        await reader.read()

    async with serving(hearing) as target:
        asked = asyncio.create_task(run(check, target))
        await asyncio.wait_for(reached.wait(), 20)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked


async def test_a_report_that_raises_ends_no_job() -> None:
    heard: list[Verdict] = []
    thrice = asyncio.Event()

    def report(_: str, verdict: Verdict) -> None:
        heard.append(verdict)
        if len(heard) == 3:
            thrice.set()
        raise ZeroDivisionError

    rounds: Rounds[str] = Rounds(report)
    check = replace(a_check(), advisor=broken(_forgets_its_verdict), interval=0.01)
    async with serving(silent) as target:
        rounds.take({"one": Job(check, target)})
        await asyncio.wait_for(thrice.wait(), 20)
        await rounds.close()
    assert all("no verdict" in verdict.words for verdict in heard)


async def test_rounds_close_whatever_their_jobs_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    rounds: Rounds[str] = Rounds(lambda *_: None)
    gone = asyncio.Event()

    async def check(*_: object, **__: object) -> Verdict:
        gone.set()
        raise ZeroDivisionError

    monkeypatch.setattr(rounds._checker, "check", check)
    rounds.take({"one": Job(replace(a_check(), interval=0.01), Target(LOOPBACK, 1))})
    await asyncio.wait_for(gone.wait(), 20)
    await rounds.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Naive(Advisor):
    """A plug-in whose settings are read by what Python has."""

    name = "naive"
    most: int = field(default=3, metadata=setting(lambda value: int(str(value)), "The most."))


def test_a_setting_that_cannot_be_read_is_a_mistake_of_the_file() -> None:
    assert read(Naive, "naive", {"most": "4"}).most == 4
    with pytest.raises(SettingsError, match="most: invalid literal"):
        read(Naive, "naive", {"most": "many"})


def test_a_plug_in_that_fails_at_its_settings_is_a_mistake_of_the_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Failing(Naive):
        """Fails whatever it is given."""

        def contradictions(self) -> Mapping[str, str]:
            raise ZeroDivisionError

    monkeypatch.setattr(registry, "find", lambda _: Failing)
    with pytest.raises(UsageError, match="the advisor naive failed at its settings: ZeroDiv"):
        checks.make("naive", {}, port=80)


class Point(EntryPoint):
    """A plug-in whose package is broken."""

    def load(self) -> Any:
        sys.exit("no such\nlibrary")


def test_a_plug_in_that_cannot_be_loaded_is_shown_in_its_own_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    point = Point("mine", "my_package:Mine", registry.GROUP)
    monkeypatch.setattr(registry, "plug_ins", lambda: {"mine": point})
    with pytest.raises(UsageError, match="cannot be loaded: no such"):
        registry.find("mine")
    assert app(["advisor", "list"], result_action="return_value") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("http ") for line in lines)
    (mine,) = (line for line in lines if line.startswith("mine "))
    assert "my_package:Mine) cannot be loaded: no such" in mine


def test_a_check_of_a_command_cannot_be_led() -> None:
    made = checks.make("exec", {"command": "/bin/true"}, port=80)
    assert made.at is checks.At.SERVER
    assert made.target(LOOPBACK, 80).port == 80
