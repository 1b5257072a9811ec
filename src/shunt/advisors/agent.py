"""HAProxy's agent check: one line in which a server says how it is (HAProxy manual, agent-check).

75%            three quarters of its weight
drain          no new connections      maint, down, stopped, failed   out of service
up 50% #tired  words may be joined by blanks or commas; after # comes a remark
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, Verdict, WrongAnswerError, shown
from shunt.advisors.settings import setting, text

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_SHARE = re.compile(r"([0-9]{1,3})%")
_OUT = {"maint", "down", "stopped", "failed"}
_KNOWN = {"up", "ready"}
_LONGEST = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(StreamAdvisor):
    """Asks an agent on the server what share of its weight it wants."""

    name = "agent"
    at_server = True
    send: str = field(
        default="", metadata=setting(text, "What to say first; `\\n` is a line's end.")
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Say what the agent wants to hear, hear one line."""
        if self.send:
            yield self.send.replace("\\n", "\n").encode()
        line = yield from Reader().line(_LONGEST)
        return judged(line.decode("utf-8", "replace"))


def judged(line: str) -> Verdict:
    """Return what an agent's line says; who is out of service wishes no weight, whatever else.

    Raises:
        WrongAnswerError: a word of it is none that agents say.
    """
    said, _, remark = line.partition("#")
    is_up, is_out, share = True, False, None
    words = re.split(r"[\s,]+", said.strip().lower())
    for word in filter(None, words):
        if found := _SHARE.fullmatch(word):
            share = int(found[1]) / 100
        elif word == "drain":
            is_out = True
        elif word in _OUT:
            is_up, is_out = False, True
        elif word not in _KNOWN and not word.startswith("maxconn:"):
            raise WrongAnswerError(f"no agent's word: {shown(word)!r}")
    if not any(words):
        raise WrongAnswerError("an empty line")
    text = shown(f"the agent says {said.strip()}" + (f" ({remark.strip()})" if remark else ""))
    return Verdict(is_up, text, share=0.0 if is_out else share)
