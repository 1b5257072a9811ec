"""Patterns for the labels of metrics: what a page makes costly is not done on the event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.advisors import expression
from shunt.advisors.check import make
from shunt.advisors.dialogue import Offload, Verdict, WrongAnswerError, progress
from shunt.advisors.pattern import AT_ONCE, Pattern
from shunt.errors import ParseError
from tests.advisors.driving import TARGET

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


def _walked(wanted: str, page: bytes, monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[int]]:
    """Return what is said of a page, and the instructions times bytes of each step of the loop."""
    steps, apart = [0], False
    look: Callable[[Pattern, bytes], bool] = Pattern.fullmatch

    def fullmatch(pattern: Pattern, data: bytes) -> bool:
        if not apart:
            steps[-1] += pattern.size * len(data)
        return look(pattern, data)

    monkeypatch.setattr(Pattern, "fullmatch", fullmatch)
    dialogue = make("prometheus", {"expression": wanted}).advisor.talk(TARGET)
    heard, pieces = None, [HEAD + page, b""]
    try:
        while not isinstance(step := progress(dialogue, heard), Verdict):
            steps.append(0)
            heard = None
            if isinstance(step, Offload):
                apart = True
                heard = step.result()
                apart = False
            elif step is None:
                heard = pieces.pop(0)
    except WrongAnswerError as error:
        return str(error), steps
    return step.words, steps


def test_a_long_label_is_looked_at_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    page = b'x{b="' + b"ab" * 8000 + b'"} 7\n'
    words, steps = _walked('sum(x{b=~"[ab]*a[ab]{201}"})', page, monkeypatch)
    assert words == "load 7"
    assert max(steps) <= AT_ONCE


def test_many_short_labels_leave_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    page = b"".join(b'x{b="%0200d"} 1\n' % number for number in range(200))
    words, steps = _walked('sum(x{b=~".*[0-9]{100}.*"})', page, monkeypatch)
    assert words == "load 100"
    assert 0 < max(steps) <= AT_ONCE


def test_labels_that_are_too_long_in_sum_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expression, "_MAX_WORK", 1 << 20)
    page = (b'x{b="' + b"ab" * 8000 + b'"} 7\n') * 3
    words, steps = _walked('sum(x{b=~"[ab]*a[ab]{200}"})', page, monkeypatch)
    assert "labels are too long for the patterns" in words
    assert sum(steps) == 0


def test_the_labels_of_an_expression_are_counted() -> None:
    expression.parse("x{" + ",".join('a="b"' for _ in range(64)) + "}")
    with pytest.raises(ParseError, match="more than 64 labels"):
        expression.parse("+".join(["x{" + ",".join('a=~"b"' for _ in range(13)) + "}"] * 5))
