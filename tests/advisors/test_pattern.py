"""Patterns: linear in time, bounded in size, and refused with the place of what they lack."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
import re2

from shunt.advisors.check import make
from shunt.advisors.dialogue import Offload
from shunt.advisors.expression import parse
from shunt.advisors.pattern import AT_ONCE, MAX_LENGTH, MAX_PROGRAM, bytes_pattern, pattern
from shunt.advisors.settings import SettingError
from shunt.errors import ParseError
from tests.advisors.driving import talk

if TYPE_CHECKING:
    from shunt.advisors.pattern import Pattern

LETTERS = b"a" * (256 << 10)
HEAD = b"HTTP/1.1 200 OK\r\n\r\n"


@pytest.mark.parametrize("written", [r"\w+ up", ".*up", "(a+)+$b", "(a|a)*b", "(.*)(.*)(.*)x"])
def test_no_pattern_takes_long_for_one_letter_again_and_again(written: str) -> None:
    """A backtracking matcher takes minutes for each of these, or for ever."""
    verdict, _ = talk(make("http", {"body": written}, port=80).advisor, HEAD + LETTERS)
    assert verdict.up is False
    verdict, _ = talk(make("telnet", {"expect": written}, port=23).advisor, LETTERS)
    assert verdict.up is False
    metric = f'sum(m{{l=~"{written}"}})'
    page = HEAD + b'm{l="' + LETTERS[: 1 << 13] + b'"} 1\n'
    verdict, _ = talk(make("prometheus", {"expression": metric}).advisor, page)
    assert verdict.up is False


def _offloaded(wanted: Pattern, data: bytes) -> tuple[int, bool]:
    """Return how much was offloaded, and what came of it."""
    looking, count = wanted.looked_for(data), 0
    heard: bytes | None = None
    try:
        while True:
            step = looking.send(heard) if heard is not None else next(looking)
            assert isinstance(step, Offload)
            count, heard = count + 1, step.result()
    except StopIteration as end:
        return count, end.value


def test_what_may_take_long_is_offloaded_and_nothing_else() -> None:
    wanted = pattern("a[ab]{100}c")
    assert wanted.size > 100
    few = b"b" * (AT_ONCE // wanted.size)
    assert _offloaded(wanted, few) == (0, False)
    assert _offloaded(wanted, few + b"b") == (1, False)
    assert _offloaded(wanted, few + b"a" * 101 + b"c") == (1, True)
    assert _offloaded(pattern("healthy"), b"very healthy") == (0, True)
    noise = bytes(random.Random(1).choices(b"ab", k=64 << 10))
    assert _offloaded(wanted, noise) == (1, False)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("up(?=!)", "looking ahead or behind ((?= at character 3)"),
        ("(?<!not )up", "looking ahead or behind ((?<! at character 1)"),
        (r"(\w)\1", r"a reference back to a group (\1 at character 5)"),
        ("(?P<x>a)(?P=x)", "a reference back to a group ((?P= at character 9)"),
        ("a++b", "a possessive quantifier (++ at character 2)"),
        ("(?>a)", "an atomic or a conditional group ((?> at character 1)"),
        (r"up\Z", "the end of the text is `\\z` or `$`"),
        ("up)", "`up)` is not a regular expression: unexpected )"),
        ("a**", "not a regular expression: bad repetition operator: ** at character 2"),
        ("[z-a]", "not a regular expression: invalid character class range: z-a at character 2"),
        ("a{1001}", "not a regular expression: invalid repetition size: {1001} at character 2"),
        ("a{600}b{600}", f" instructions, and {MAX_PROGRAM} are allowed"),
        (r"(?:a{1000})b{1000}" * 9, "is too large"),
        ("a" * (MAX_LENGTH + 1), f"is {MAX_LENGTH + 1} characters long; {MAX_LENGTH} are allowed"),
        ("\udc80", "half a character"),
    ],
)
def test_a_pattern_that_cannot_be_taken_is_refused_with_the_place(written: str, words: str) -> None:
    for reader in (pattern, bytes_pattern):
        with pytest.raises(SettingError) as caught:
            reader(written)
        assert words in str(caught.value)


def test_a_pattern_is_like_another_that_is_written_like_it() -> None:
    assert pattern("a|b") == pattern("a|b") != pattern("b|a")
    assert make("http", {"body": "x"}, port=80) == make("http", {"body": "x"}, port=80)


def test_letters_are_letters_and_bytes_are_bytes() -> None:
    assert pattern("^.$").search("é".encode())
    assert not bytes_pattern("^.$").search("é".encode())
    assert bytes_pattern("é").search("café".encode())
    assert bytes_pattern(r"\xff\x00").search(b"\x00\xff\x00")


def test_a_pattern_of_a_label_is_refused_with_the_place_and_small() -> None:
    with pytest.raises(ParseError, match=r"looking ahead or behind \(\(\?! at character 1\)"):
        parse('sum(m{a=~"(?!x)"})')
    with pytest.raises(ParseError, match=r"is too large: \d+ instructions, and 250 are allowed"):
        parse('sum(m{a=~"a{300}b"})')


def test_the_end_as_python_writes_it_is_not_known_here() -> None:
    with pytest.raises(SettingError) as caught:
        pattern(r"ok\Z")
    assert r"has `\Z` at character 3, which is not known here" in str(caught.value)
    assert r"the end of the text is `\z` or `$`" in str(caught.value)
    assert "bound in time" not in str(caught.value)
    assert pattern(r"ok\z").search(b"ok")


@pytest.mark.parametrize("written", [r"(?i)" + r"\pL" * 60, r"(?i)(\pL{0,10}\pL{0,10}\pL{0,10})"])
def test_what_is_too_large_is_not_compiled_in_full(
    written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[int] = []
    compile_ = re2.compile

    def noted(pattern: bytes, options: re2.Options) -> object:
        compiled.append(options.max_mem)
        return compile_(pattern, options)

    monkeypatch.setattr(re2, "compile", noted)
    with pytest.raises(SettingError, match="too large"):
        pattern(written)
    assert compiled == [1 << 18]
    assert pattern("healthy").search(b"very healthy")
    assert compiled == [1 << 18, 1 << 18, 1 << 20]


@pytest.mark.parametrize(
    ("written", "body", "found"),
    [
        ("^a$", b"a", True),
        ("^a$", b"a\n", True),
        ("^a$", b"a\n\n", False),
        ("^a$", b"a\nb\n", False),
        (r"a\z", b"a\n", False),
        (r"^a\$x", b"a$x\n", True),
    ],
)
def test_an_end_may_stand_before_the_last_line_end(
    written: str, body: bytes, *, found: bool
) -> None:
    assert pattern(written).search(body) is found
