"""YAML: what is text, where it stands, and what is refused before any key is looked at."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shunt.config import parse
from shunt.config.places import Position
from shunt.config.plain import MAX_NODES, flatten
from shunt.config.report import Report
from shunt.config.tree import compose
from shunt.errors import ConfigError, Problem


def flat(text: str) -> tuple[object, Report]:
    report = Report("f")
    root = compose(text, "f")
    assert root is not None
    return flatten(root, report), report


def refused(text: str) -> Problem:
    with pytest.raises(ConfigError) as caught:
        flat(text)
    (problem,) = caught.value.problems
    return problem


def test_no_scalar_is_guessed() -> None:
    words = "[on, no, 1:30, 08, null, ~, 1e3, 0x10, 2001-01-01, 1_000, .inf, =, true]"
    data, _ = flat(f"a: {words}")
    assert data == {"a": words[1:-1].split(", ")}


def test_nothing_written_is_not_an_empty_text() -> None:
    data, report = flat("a:\nb: ''\nc: \"\"\n")
    assert data == {"a": None, "b": "", "c": ""}
    assert report.places.values[("a",)] == Position(1, 1)


def test_positions_count_characters_from_one() -> None:
    _, report = flat("é: [x, {ü: y}]\n# c\nb:\n  - z\n")
    places = report.places
    assert places.values[("é", 0)] == (1, 5)
    assert places.values[("é", 1, "ü")] == (1, 12)
    assert places.keys[("é", 1, "ü")] == (1, 9)
    assert places.values[("b", 0)] == (4, 5)


def test_a_byte_order_mark_and_windows_line_ends_are_fine() -> None:
    data, report = flat("\ufeffa: 1\r\nb: 2\r\n")
    assert data == {"a": "1", "b": "2"}
    assert report.places.values[("b",)] == (2, 4)


def test_aliases_repeat_and_merge_keys_yield_to_own_keys() -> None:
    data, report = flat(
        "x-a: &a {m: 1, n: 2}\nx-b: &b {n: 3, o: 4}\nc: {<<: [*a, *b], m: 9}\nd: *a\ne: {'<<': 1}"
    )
    assert isinstance(data, dict)
    assert data["c"] == {"m": "9", "n": "2", "o": "4"}
    assert data["d"] == {"m": "1", "n": "2"}
    assert data["e"] == {"<<": "1"}
    assert report.problems == ()
    assert report.places.values[("c", "o")] == (2, 19)


def test_every_duplicate_key_is_reported_with_the_first_place() -> None:
    _, report = flat("a: 1\nb: {c: 1, c: 2}\na: 3\na: 4\n")
    assert [(p.line, p.column, p.path) for p in report.problems] == [
        (2, 11, "b.c"),
        (3, 1, "a"),
        (4, 1, "a"),
    ]
    assert "line 1 already" in report.problems[1].message


def test_keys_and_merges_of_a_wrong_kind() -> None:
    _, report = flat("[a]: 1\n<<: 2\n")
    assert [(p.line, p.column) for p in report.problems] == [(1, 1), (2, 5)]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a:\n\tb: 1", 2, 1, "a tab"),
        ("a:\n  b: 1\n \tc: 2", 3, 2, "a tab"),
        ("a:\t@x", 1, 4, "cannot begin with `@`"),
        ("a: 'x\n\nb: 1", 1, 4, "never closed"),
        ("a: b: c", 1, 5, "no `:`"),
        ("a: 1\n  b: 2", 2, 4, "no `:`"),
        ("a: [1, 2\nb: 3", 1, 4, "not closed"),
        ("x:\n  a: {b: 1", 2, 6, "not closed"),
        ("- a\nb: 1", 2, 1, "list above"),
        ("  a: 1\nb: 2", 2, 1, "indented less"),
        ('a: "\\q"', 1, 5, "escape"),
        ("a: 1\n---\nb: 1", 2, 1, "second document"),
        ("a: !secret x", 1, 4, "`!secret`"),
        ("a: !!int 3", 1, 4, "`!!int`"),
        ("a: !!python/object:os.system {}", 1, 4, "`!!python/object:os.system`"),
        ("a: *b", 1, 4, "`&b`"),
        ("a: &x [*x]", 1, 8, "inside what it repeats"),
        ("a: &x {b: {c: *x}}", 1, 15, "inside what it repeats"),
        ("a: 1\nb: x\x00y", 2, 5, "U+0000"),
        ("a: \ud800", 1, 4, "U+D800"),
        ("%FOO\n---\na: 1", 1, 5, "%"),
    ],
)
def test_broken_yaml_is_explained(text: str, line: int, column: int, words: str) -> None:
    problem = refused(text)
    assert (problem.line, problem.column) == (line, column)
    assert words in problem.message


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 100_000])
def test_nesting_ends_no_process(text: str) -> None:
    assert "nested deeper" in refused(text).message


def test_aliases_of_aliases_are_bounded() -> None:
    lines = ["x0: &a0 [y, y, y, y, y, y, y, y, y, y]"]
    lines += [f"x{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert f"{MAX_NODES:,}" in refused("\n".join(lines)).message
    lines = ["x0: &a0 {k: v}"]
    lines += [f"x{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10)]
    assert f"{MAX_NODES:,}" in refused("\n".join(lines)).message


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "---\n", "~", "[]", "a word"])
def test_a_file_without_keys_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^f:\d+:\d+: the file is .* dispatcher"):
        parse(text, "f")


YAML_LIKE = st.text(
    alphabet=st.sampled_from("ab:-[]{},&*!|>'\"%@`#?~<= \n\t\r0\\é\u2028"), max_size=60
)


@settings(max_examples=600, deadline=None)
@given(st.one_of(YAML_LIKE, st.text(max_size=60)))
@example("? \n")
@example("- - ? a\n")
def test_any_text_is_read_or_explained(text: str) -> None:
    with pytest.raises(ConfigError) as caught:  # no text this short is a configuration
        parse(text, "f")
    found = caught.value.problems
    assert found
    assert all(p.line >= 1 and p.column >= 1 and p.message for p in found)
