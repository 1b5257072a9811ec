"""What libyaml's complaints mean to the person who wrote the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shunt.config.places import START, Position

if TYPE_CHECKING:
    import yaml

_MEANINGS = (
    ("unexpected end of stream", "the quote that begins here is never closed; close it"),
    ("mapping values are not allowed", "no `:` can stand here; check the indentation, or quote it"),
    ("did not find expected ',' or", "the bracket that opens here is not closed, or a comma lacks"),
    ("did not find expected node content", "a value is missing; close the bracket or write one"),
    ("did not find expected '-'", "this does not belong to the list above; check the indentation"),
    ("did not find expected key", "this does not belong to the mapping; check the indentation"),
    ("expected <document start>", "indented less than the first key; begin all at one column"),
    ("could not find expected ':'", "a key without its `:`; write `key: value`"),
    ("unknown escape character", "no such escape in double quotes; use single quotes"),
    ("expected alphabetic or numeric", "an anchor or alias without a name; quote `&` and `*`"),
    ("expected comment or line break", "nothing may follow `|` or `>` on the line; begin below it"),
    ("unknown directive", "a line that begins with `%`; remove it"),
)
_FROM_THE_OPENING = ("unexpected end of stream", "did not find expected ',' or")


def explain(error: yaml.MarkedYAMLError, text: str) -> tuple[Position, str]:
    """Return where the person should look, and what is wrong there and would be right."""
    problem = error.problem or error.context or "not understood"
    mark = error.problem_mark or error.context_mark
    if any(words in problem for words in _FROM_THE_OPENING) and error.context_mark:
        mark = error.context_mark
    if mark is None:
        return START, f"this is no YAML: {problem}"
    at = Position(mark.line + 1, mark.column + 1)
    line = _line(text, mark.line)
    indent = re.match(r"[ \t]*", line)
    if indent and (tab := indent.group().find("\t")) >= 0:
        return Position(at.line, tab + 1), "a tab; YAML indents with spaces only"
    if "cannot start any token" in problem:
        found = line[mark.column : mark.column + 1]
        what = "a tab" if found == "\t" else f"`{found}`"
        return at, f"a value cannot begin with {what}; put it in quotes"
    for words, meaning in _MEANINGS:
        if words in problem:
            return at, meaning
    return at, f"this is no YAML: {problem}"


def _line(text: str, number: int) -> str:
    lines = re.split("\r\n|[\n\r\x85\u2028\u2029]", text)
    return lines[number] if number < len(lines) else ""
