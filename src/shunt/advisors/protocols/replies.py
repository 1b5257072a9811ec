"""Replies of three digits and text, as SMTP (RFC 5321 section 4.2), FTP and NNTP give them.

    220-first line
    220 last line

Every line of a reply begins with its code; FTP's middle lines may begin with anything (RFC 959
section 4.2), so only the line `code, space` ends a reply.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import NamedTuple, TypeAlias

from shunt.advisors.dialogue import Reader, Step, WrongAnswerError, shown

_LINE = re.compile(rb"([1-5][0-9]{2})([ -]|$)(.*)", re.DOTALL)
_MOST_LINES = 200


class Reply(NamedTuple):
    """A code, and the text of the first line."""

    code: int
    words: str


Replying: TypeAlias = Generator[Step, bytes, Reply]


def reply(reader: Reader) -> Replying:
    """Return the next reply.

    Raises:
        WrongAnswerError: what comes is no reply.
    """
    first = yield from reader.line()
    found = _LINE.fullmatch(first)
    if not found:
        raise WrongAnswerError(f"no reply code in {shown(first)!r}")
    answer = Reply(int(found[1]), shown(first))
    if found[2] != b"-":
        return answer
    for _ in range(_MOST_LINES):
        line = yield from reader.line()
        if line[:3] == found[1] and line[3:4] != b"-":
            return answer
    raise WrongAnswerError(f"a reply of more than {_MOST_LINES} lines")


def expected(reader: Reader, *codes: int) -> Replying:
    """Return the next reply if it has one of the codes.

    Raises:
        WrongAnswerError: it has not; its words are in the message.
    """
    answer = yield from reply(reader)
    if answer.code not in codes:
        raise WrongAnswerError(answer.words)
    return answer
