"""Drives a dialogue with bytes that a server might send, however they are cut."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Target
from shunt.advisors.dialogue import Offload, Verdict, WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from shunt.advisors.advisor import Advisor
    from shunt.advisors.dialogue import Dialogue

TARGET = Target(ip_address("192.0.2.10"), 1234, "a", "web")
ENOUGH = 200_000


class EndlessError(AssertionError):
    """A dialogue neither ends nor asks for more than it was given."""


def finish(dialogue: Dialogue, chunks: Iterable[bytes]) -> tuple[Verdict, bytes]:
    """Feed chunks, then the end of the stream; return the verdict and all that was sent."""
    feed = iter(chunks)
    sent = b""
    heard: bytes | None = None
    for _ in range(ENOUGH):
        try:
            step = dialogue.send(heard) if heard is not None else next(dialogue)
        except StopIteration as end:
            return end.value, sent
        except WrongAnswerError as error:
            return Verdict(up=False, words=str(error)), sent
        heard = None
        if step is None:
            heard = next(feed, b"")
        elif isinstance(step, Offload):
            heard = step.result()
        else:
            sent += step
    raise EndlessError


def talk(advisor: Advisor, *chunks: bytes) -> tuple[Verdict, bytes]:
    """Let an advisor talk to a server that says these chunks whatever it is told."""
    return finish(advisor.talk(TARGET), chunks)


def answer(advisor: Advisor, server: Callable[[bytes], Iterable[bytes]]) -> Verdict:
    """Let an advisor talk to a function: bytes in, chunks out; `b""` closes the stream."""
    dialogue = advisor.talk(TARGET)
    pending = list(server(b""))
    heard: bytes | None = None
    for _ in range(ENOUGH):
        try:
            step = dialogue.send(heard) if heard is not None else next(dialogue)
        except StopIteration as end:
            verdict: Verdict = end.value
            return verdict
        except WrongAnswerError as error:
            return Verdict(up=False, words=str(error))
        heard = None
        if step is None:
            heard = pending.pop(0) if pending else b""
        elif isinstance(step, Offload):
            heard = step.result()
        elif step:
            pending += server(step)
    raise EndlessError


def bytewise(data: bytes) -> list[bytes]:
    """Return the bytes one by one."""
    return [data[at : at + 1] for at in range(len(data))]
