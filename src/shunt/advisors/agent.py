"""HAProxy's agent check: one line in which a server says how it is.

Sources: HAProxy's configuration manual, section 5.2, `agent-check`, and for what the manual leaves
open `tcpcheck_agent_expect_reply` in its `src/tcpcheck.c`.

    line   := { separator | word } [ "#" remark ] ( CR | LF )
    word   := health | admission | NUMBER "%" | "maxconn:" NUMBER        in any case of letters
    health := "up" | "down" | "stopped" | "fail"      admission := "ready" | "drain" | "maint"
    separator := blank | tab | comma

Of several words of one kind the last one holds. What a line does not speak of stays as it was. A
line without its end is none. The manual of some releases says `failed`; it is taken as `fail`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import StreamAdvisor, Target
from shunt.advisors.dialogue import Reader, Verdict, WrongAnswerError, shown
from shunt.advisors.octets import octets
from shunt.advisors.settings import setting
from shunt.advisors.wish import Admission, Wish

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_WORD = re.compile(r"#[ \t]*(.*)|([^ \t,]+)")
_PART = re.compile(r"([0-9]{1,9})%")
_MAX_CONNECTIONS = re.compile(r"maxconn:[0-9]+")
_HEALTH = {"up": "up", "down": "down", "stopped": "stopped", "fail": "fail", "failed": "fail"}
_ADMISSIONS = frozenset(Admission)
_LONGEST = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent(StreamAdvisor):
    """Asks an agent on the server what share of its weight it wants."""

    name = "agent"
    at_server = True
    send: bytes = field(
        default=b"", metadata=setting(octets, "What to say first; `\\n` is a line's end.")
    )

    def talk(self, _target: Target, /) -> Dialogue:
        """Say what the agent wants to hear, hear one line."""
        if self.send:
            yield self.send
        line = yield from Reader().line(_LONGEST, cr=True)
        return judged(line.decode("utf-8", "replace"))


def judged(line: str) -> Verdict:
    """Return what an agent's line says by itself; words that no agent says become a warning.

    Raises:
        WrongAnswerError: it has no word that agents say.
    """
    wish, unknown, remark, known = Wish(), [], "", False
    for found in _WORD.finditer(line):
        remark, word = found[1] or "", (found[2] or "").lower()
        if not word:
            continue
        said = _said(word)
        if said is not None:
            wish = said.after(wish)
            known = True
        elif _MAX_CONNECTIONS.fullmatch(word):  # there is no such bound here
            known = True
        else:
            unknown.append(found[2])
    strange = ", ".join(repr(shown(word, 40)) for word in unknown[:3])
    if not known:
        raise WrongAnswerError(f"not a word of agents: {strange}" if unknown else "an empty line")
    words = shown(f"the agent says {line.partition('#')[0].strip()}")
    return Verdict(
        wish.up,
        shown(f"{words} ({remark.strip()})") if remark.strip() else words,
        share=wish.share,
        warning=f"the agent says {strange}, which is not a word of agents" if unknown else None,
        wish=wish,
    )


def _said(word: str) -> Wish | None:
    """Return what one word wishes, None if it is not a wish."""
    if word in _HEALTH:
        return Wish(health=_HEALTH[word])
    if word in _ADMISSIONS:
        return Wish(admission=Admission(word))
    if found := _PART.fullmatch(word):
        return Wish(part=int(found[1]) / 100)
    return None
