r"""What a check says and hears, without input or output.

A dialogue is a generator. It yields bytes to send them, and yields `HEAR` to be handed what came:
some bytes, or none at the end of the stream. It returns a `Verdict`, or raises `WrongAnswerError`.
It yields `TURN` to let others have their turn, and an `Offload` to be handed its result.

    def dialogue() -> Dialogue:
        line = yield from Reader().line()
        yield b"QUIT\r\n"
        return up(line)

On a datagram transport each yield and each hearing is one datagram.

Plug-ins bring dialogues, too; so `started` and `advance` look at what they yield and return.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from types import GeneratorType
from typing import TYPE_CHECKING, Any, TypeAlias

from shunt.letters import is_seen

if TYPE_CHECKING:
    from shunt.advisors.wish import Wish

HEAR = None
TURN = b""  # nothing to say: others get their turn
Step: TypeAlias = "bytes | Offload | None"
Dialogue: TypeAlias = Generator[Step, bytes, "Verdict"]
Hearing: TypeAlias = Generator[Step, bytes, bytes]
Judging: TypeAlias = Generator[Step, bytes, bool]
Listener: TypeAlias = Callable[[str, bytes], None]
Enough: TypeAlias = Callable[[bytes], Judging]

LONGEST_LINE = 4096
LONGEST_ANSWER = 1 << 20
_SMALL, _LEAST = 1 << 14, 1 << 10
_PIECES = 100  # that a reader takes before others get their turn


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found.

    Attributes:
        up: the server does its work. None: the check itself could not be made.
        words: what was seen, for a person.
        load: milliseconds, or 0 to 100 where the advisor measures a machine's load.
        share: what the server asks for itself, as a part of its weight; None: it asks nothing.
        warning: what will go wrong soon.
        wish: what an agent said, where `up` and `share` depend on what it said before as well.
    """

    up: bool | None
    words: str
    load: float | None = None
    share: float | None = None
    warning: str | None = None
    wish: Wish | None = None

    def with_load(self, load: float) -> Verdict:
        """Return the same with a load; quicker than `replace`, for it is done for each check."""
        return Verdict(self.up, self.words, load, self.share, self.warning, self.wish)


@dataclass(frozen=True, slots=True)
class Offload:
    """A question of which the answer may take long, computed without the interpreter's lock."""

    compute: Callable[[], bool]

    def result(self) -> bytes:
        """Compute it; return what the dialogue is handed: something for yes, nothing for no."""
        return b"1" if self.compute() else b""


class WrongAnswerError(Exception):
    """The server answered, and not as it should; the message goes into the verdict."""

    def __init__(self, words: str | bytes) -> None:
        super().__init__(shown(words, 240))


class AdvisorError(Exception):
    """The advisor itself is wrong, whatever the server said; the message says how."""


def up(words: str | bytes, *, load: float | None = None, warning: str | None = None) -> Verdict:
    """Return the verdict that the server does its work."""
    return Verdict(up=True, words=shown(words), load=load, warning=warning)


def down(words: str | bytes) -> Verdict:
    """Return the verdict that it does not."""
    return Verdict(up=False, words=shown(words))


def shown(words: str | bytes, longest: int = 120) -> str:
    """Return what a server said as one printable line of at most `longest` characters."""
    text = words.decode("utf-8", "replace") if isinstance(words, bytes) else words
    text = text.strip()
    if not is_seen(text):
        text = "".join(letter if is_seen(letter) else "·" for letter in text)
    return text if len(text) <= longest else text[: longest - 1] + "…"


def started(dialogue: object) -> Dialogue:
    """Return what an advisor's `talk` returned, if it is a dialogue.

    Raises:
        AdvisorError: it is none.
    """
    if not isinstance(dialogue, GeneratorType):
        raise AdvisorError(f"its talk() returned {_known(dialogue)}, and must yield")
    return dialogue


def advance(dialogue: Dialogue, heard: bytes | None = None) -> bytes | Verdict | None:
    """Go on with a dialogue up to the next bytes to say, or `HEAR`, or its verdict: the end.

    What it would offload is computed here and now.

    Raises:
        WrongAnswerError: the server's answer is wrong.
        AdvisorError: it raised anything else, or yielded or returned what it must not.
    """
    step = progress(dialogue, heard)
    while isinstance(step, Offload):
        step = progress(dialogue, step.result())
    return step


def progress(dialogue: Dialogue, heard: bytes | None = None) -> bytes | Offload | Verdict | None:
    """Go on with a dialogue as `advance` does, but leave what it offloads to the caller."""
    try:
        step: object = dialogue.send(heard) if heard is not None else next(dialogue)
    except StopIteration as end:
        if wrong := _wrong(end.value):
            raise AdvisorError(wrong) from None
        verdict: Verdict = end.value
        return verdict
    except (WrongAnswerError, AdvisorError, KeyboardInterrupt):
        raise
    except BaseException as error:  # also SystemExit, which would end the whole daemon
        raise AdvisorError(f"it raised {_known(error)}") from error
    if step is HEAR or isinstance(step, bytes | Offload):
        return step
    raise AdvisorError(f"it yielded {_known(step)}; bytes or HEAR were right")


def _wrong(verdict: object) -> str | None:
    """Return what is wrong with a verdict."""
    if not isinstance(verdict, Verdict):
        return f"it returned {_known(verdict)}, no verdict; `return up(...)` were right"
    found: Any = verdict
    if found.up not in (True, False, None) or not isinstance(found.words, str):
        return f"it returned {_known(verdict)}; `up` is yes, no or None, and `words` are text"
    if not (_is_number(found.load) and _is_number(found.share)):
        return f"it returned {_known(verdict)}; load and share are numbers of 0 or more"
    return None


def _is_number(found: object) -> bool:
    return found is None or (isinstance(found, int | float) and 0 <= found < math.inf)


def _known(found: object) -> str:
    """Return what something is, as a line that is not too long, whatever its `repr` does."""
    try:
        return shown(repr(found), 160)
    except Exception:  # noqa: BLE001 - it is a plug-in's
        return f"a {type(found).__name__}"


class Growth:
    """Says when a growing text is worth another look, so that all looks cost little more than one.

    A small one is looked at whenever it has grown and no more has come yet, any other when it has
    grown by a quarter.
    """

    def __init__(self) -> None:
        self._seen = -1
        self._next = 0

    def worth(self, size: int, *, more: bool = False) -> bool:
        """Return whether to look at it now; `more` has come, and will be part of it."""
        small = size < _SMALL and size != self._seen and not more
        if not small and size < self._next:
            return False
        self._seen = size
        self._next = size + max(size // 4, _LEAST)
        return True


class Reader:
    """Takes what arrives apart into lines and counted pieces, and refuses to hoard."""

    def __init__(self, limit: int = LONGEST_ANSWER) -> None:
        self._buffer = bytearray()
        self._left = limit
        self._limit = limit
        self._taken = 0  # pieces since something was heard

    @property
    def ahead(self) -> bool:
        """Return whether something has come that nobody took yet."""
        return bool(self._buffer)

    def line(self, longest: int = LONGEST_LINE, *, cr: bool = False) -> Hearing:
        """Return a line without its end (LF or CRLF; with `cr` a CR alone, too).

        Raises:
            WrongAnswerError: the stream ended, or the line is too long.
        """
        searched = 0
        if self._is_turn():
            yield TURN
        while (end := self._line_end(searched, cr=cr)) < 0:
            searched = len(self._buffer)
            if searched > longest:
                raise WrongAnswerError(f"a line of more than {longest} bytes")
            if not (yield from self._more()):
                raise WrongAnswerError(self._ended("within a line" if self._buffer else "at once"))
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def _line_end(self, searched: int, *, cr: bool) -> int:
        """Return where a line ends, or a negative number."""
        end = self._buffer.find(b"\n", searched)
        if not cr:
            return end
        found = self._buffer.find(b"\r", searched, len(self._buffer) if end < 0 else end)
        return end if found < 0 else found

    def exactly(self, count: int) -> Hearing:
        """Return `count` bytes.

        Raises:
            WrongAnswerError: the stream ended before.
        """
        if self._is_turn():
            yield TURN
        while len(self._buffer) < count:
            if not (yield from self._more()):
                raise WrongAnswerError(self._ended(f"after {len(self._buffer)} of {count} bytes"))
        taken = bytes(self._buffer[:count])
        del self._buffer[:count]
        return taken

    def rest(self, most: int | None = None, enough: Enough | None = None) -> Hearing:
        """Return everything up to the end of the stream, or the limit.

        Args:
            most: return when there are so many bytes.
            enough: return when it is content; asked as `Growth` says.
        """
        wanted = self._limit if most is None else most
        growth = Growth()
        while self._left > 0 and len(self._buffer) < wanted:
            if (
                enough
                and growth.worth(len(self._buffer))
                and (yield from enough(bytes(self._buffer)))
            ):
                break
            if not (yield from self._more()):
                break
        taken = bytes(self._buffer[:wanted])
        del self._buffer[:wanted]
        return taken

    def _more(self) -> Judging:
        if self._left <= 0:
            raise WrongAnswerError(f"an answer of more than {self._limit} bytes")
        data = yield HEAR
        self._taken = 0
        self._left -= len(data)
        self._buffer += data
        return bool(data)

    def _is_turn(self) -> bool:
        """Return whether so many pieces were taken of what came at once that others get a turn."""
        self._taken += 1
        return self._taken % _PIECES == 0

    def _ended(self, where: str) -> str:
        heard = f", it had said {shown(bytes(self._buffer[:80]))!r}" if self._buffer else ""
        return f"closed the connection {where}{heard}"


def noted(dialogue: Dialogue, listener: Listener) -> Dialogue:
    """Return the same dialogue; `listener` is told `>` and what it sends, `<` and what it hears."""
    heard: bytes | None = None
    while True:
        step = progress(dialogue, heard)
        if isinstance(step, Verdict):
            return step
        if isinstance(step, Offload):
            heard = yield step
        elif step is None:
            heard = yield HEAR
            listener("<", heard)
        else:
            if step:
                listener(">", step)
            yield step
            heard = None


def with_warning(verdict: Verdict, warning: str | None) -> Verdict:
    """Return the verdict with one more warning."""
    if warning is None:
        return verdict
    both = f"{verdict.warning}; {warning}" if verdict.warning else warning
    return replace(verdict, warning=both)
