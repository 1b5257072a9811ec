"""Prometheus's text format: what is read is what was written, and only what is wanted."""

from __future__ import annotations

import math
import re
from itertools import accumulate
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.advisors.dialogue import HEAR, TURN, Verdict, progress
from shunt.advisors.exposition import Sample, samples, slices
from shunt.advisors.expression import MAX_SERIES
from shunt.advisors.prometheus import Prometheus
from shunt.errors import ParseError
from tests.advisors.driving import TARGET, finish, talk

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

NAMES = ("a", "b:c", "a_b")
LABELS = st.dictionaries(
    st.from_regex(r"[a-z_][a-z0-9_]{0,5}", fullmatch=True),
    st.text(st.characters(codec="utf-8"), max_size=8),
    max_size=3,
)
SAMPLES = st.builds(Sample, st.sampled_from(NAMES), LABELS, st.floats(allow_nan=False))
GAP = st.sampled_from(["", " ", "\t", " \t"])


@st.composite
def written(draw: st.DrawFn, sample: Sample) -> str:
    def escaped(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    def gap() -> str:
        return draw(GAP)

    labels = ",".join(
        f'{gap()}{name}{gap()}={gap()}"{escaped(value)}"{gap()}'
        for name, value in sample.labels.items()
    )
    if labels or draw(st.booleans()):
        last = draw(st.sampled_from(["", ","])) if labels else ""
        name = f"{sample.name}{gap()}{{{gap()}{labels}{last}{gap()}}}{gap()}"
    else:
        name = sample.name + draw(st.sampled_from([" ", "\t", "  "]))
    time = draw(st.sampled_from(["", " 1395066363000", "\t-3"]))
    return f"{gap()}{name}{sample.value!r}{time}{gap()}"


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(SAMPLES, max_size=5))
def test_an_exposition_read_is_the_one_written(data: st.DataObject, wanted: list[Sample]) -> None:
    lines = [data.draw(written(sample)) for sample in wanted]
    others = ["# HELP a b", "# a 1", "", "ab what is this", 'x{a="\\na 1"} 2', "\xe9"]
    for at in data.draw(st.lists(st.integers(0, len(lines)), max_size=3)):
        lines.insert(at, data.draw(st.sampled_from(others)))
    found = list(samples("\n".join([*lines, ""]), NAMES))
    for name in NAMES:
        assert [s for s in found if s.name == name] == [s for s in wanted if s.name == name]


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1.0), ("+.5e-1", 0.05), ("-2.", -2.0), ("+Inf", math.inf), ("-infinity", -math.inf)],
)
def test_values_are_written_as_the_format_says(text: str, value: float) -> None:
    assert next(samples(f"x\t{text} 7", ["x"])).value == value
    assert math.isnan(next(samples("x NaN", ["x"])).value)


@pytest.mark.parametrize(
    "line",
    ["x", "x y", "x{a=1} 2", 'x{a="1" 2', 'x{a="b"}', "x 1 2 3", "x 1_0", "x 0x10", "x 1 soon",
     "x 1 2.5", "x -NaN", "x \u0661", 'x{a="\\t"} 1', 'x{a="1",,b="2"} 1', 'x{,a="1"} 1',
     'x{a="1"b="2"} 1', "x 1\r", "x{", "x " + "1" * 20_000],
)  # fmt: skip
def test_a_line_that_is_no_sample_is_refused(line: str) -> None:
    with pytest.raises(ParseError, match="line 2"):
        list(samples("y 1\n" + line, ["x"]))


def test_lines_that_nobody_asks_for_are_not_looked_at() -> None:
    page = 'no sample\nxy 1\nx:y 1\n# x 1\nz{x="1"} 1\n  x 2\n'
    assert list(samples(page, ["x"])) == [Sample("x", {}, 2.0)]
    assert not list(samples(page, []))


def test_too_many_series_are_refused_before_they_take_long() -> None:
    page = b"HTTP/1.0 200 OK\r\n\r\n" + b"node_load1 1\n" * (MAX_SERIES + 1)
    verdict, _ = talk(Prometheus(), page)
    assert verdict.up is False
    assert f"more than {MAX_SERIES} series" in verdict.words


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet='x{}=",\\ \t\n1eaN+-.', max_size=60))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        found = list(samples(text, ["x"]))
    except ParseError:
        return
    assert len(found) == len(re.findall(r"^[ \t]*x[ \t{]", text, re.MULTILINE))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["x 1", "x 22", " x 3", "y", "", "x" * 20_000, "#"]), max_size=30))
def test_a_page_in_slices_is_the_same_page(lines: list[str]) -> None:
    page = "\n".join(lines * 40)
    found = [each for first, part in slices(page) for each in samples(part, ["x"], first)]
    assert found == list(samples(page, ["x"]))
    assert "".join(part for _, part in slices(page)) == page
    ends = list(accumulate(part.count("\n") for _, part in slices(page)))
    assert [first for first, _ in slices(page)] == [1, *(1 + end for end in ends)][: len(ends)]


def test_a_wrong_line_is_named_by_its_number_in_the_whole_page() -> None:
    page = b"HTTP/1.0 200 OK\r\n\r\n" + b"# nothing\n" * 50_000 + b"node_load1 wrong\n"
    assert "line 50001 of the metrics is no sample" in talk(Prometheus(), page)[0].words


def test_others_get_their_turn_while_a_page_is_read() -> None:
    page = b"HTTP/1.0 200 OK\r\n\r\n" + b"node_load1 1\n" * 9000
    turns = 0

    def counted() -> Dialogue:
        nonlocal turns
        dialogue, heard = Prometheus().talk(TARGET), None
        while not isinstance(step := progress(dialogue, heard), Verdict):
            turns += step == TURN
            heard = (yield step) if step is HEAR else None
        return step

    assert "9000 series match" in finish(counted(), [page])[0].words
    assert turns > 9000 * 2 / 1000
