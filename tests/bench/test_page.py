"""The page of figures: a run renews its own sections and leaves the others alone."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from bench.figures import Figure, Plot, Row, interleaved
from bench.page import merged
from bench.plot import HEIGHT, WIDTH, svg

from bench import __main__ as command

ORDER = ["packets", "web"]


def test_a_run_replaces_its_own_section_only() -> None:
    page = merged("", {"web": "## Web\nold\n"}, ORDER)
    page = merged(page, {"packets": "## Packets\nfirst\n"}, ORDER)
    page = merged(page, {"web": "## Web\nnew\n"}, ORDER)
    assert page.index("## Packets\nfirst") < page.index("## Web\nnew")
    assert "old" not in page
    assert page.count("<!-- bench: ") == page.count("<!-- end -->") == 2
    assert merged(page, {}, ORDER) == page


def test_sections_of_subjects_that_are_gone_leave_the_page() -> None:
    page = merged("", {"gone": "## Gone\n", "web": "## Web\n"}, [*ORDER, "gone"])
    assert "Gone" not in merged(page, {}, ORDER)


def test_a_table_has_a_column_a_key_and_a_line_a_row() -> None:
    rows: list[Row] = [
        {"way": "straight", "per second": 1234.56},
        {"way": "around", "per second": "n/a"},
    ]
    table = Figure("Ways", rows, ["a note"]).markdown()
    assert "| way | per second |\n| --- | --- |\n| straight | 1,234.6 |\n| around | n/a |" in table
    assert table.rstrip().endswith("- a note")


def test_a_plot_is_well_formed_and_stays_within_its_frame() -> None:
    flows = (1.0, 1_000.0, 900_000.0)
    series = {"a <b> & c": [(x, 31.0) for x in flows], "all": [(x, x**0.4) for x in flows]}
    drawing = ET.fromstring(svg(Plot("x", "flows", "nanoseconds", series)))
    circles = drawing.findall(".//{*}circle")
    assert len(circles) == 6
    assert all(0 <= float(c.attrib["cx"]) <= WIDTH for c in circles)
    assert all(0 <= float(c.attrib["cy"]) <= HEIGHT for c in circles)
    heights = [float(c.attrib["cy"]) for c in circles[:3]]
    assert heights == sorted(heights, reverse=True) == [heights[0]] * 3
    assert float(circles[3].attrib["cy"]) > float(circles[5].attrib["cy"]), "more is higher"
    words = [text.text for text in drawing.findall(".//{*}text")]
    assert {"a <b> & c", "all", "flows", "nanoseconds", "1,000"} <= set(words)


def test_measures_take_turns() -> None:
    turns: list[str] = []

    def measure(name: str) -> float:
        turns.append(name)
        return float(len(turns))

    taken = interleaved({name: lambda n=name: measure(n) for name in "ab"}, 3, min)  # type: ignore[misc]  # a default binds the name
    assert turns == ["a", "b"] * 3
    assert taken == {"a": 1.0, "b": 2.0}


def test_an_unknown_subject_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        command.main(["nonsense"])
    assert refused.value.code == 2
    assert "nonsense" in capsys.readouterr().err


@pytest.mark.parametrize("name", command.SUBJECTS)
def test_every_subject_has_a_module_with_a_method_at_its_top(name: str) -> None:
    module = __import__(f"bench.{name}", fromlist=["run"])
    assert callable(module.run)
    assert module.__doc__
