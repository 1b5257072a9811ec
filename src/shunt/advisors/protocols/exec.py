"""exec: a command of one's own. It leaves with 0 if the server works, and may print a load."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.dialogue import HEAR, WrongAnswerError, shown, up
from shunt.advisors.settings import SettingError, setting, words

if TYPE_CHECKING:
    from shunt.advisors.dialogue import Dialogue

_LONGEST = 1 << 16
_LOAD = re.compile(rb"\s*([0-9]{1,7}(?:\.[0-9]{1,6})?)\s*")


def command(value: object) -> tuple[str, ...]:
    """Return a program's absolute path and its arguments; no shell reads them."""
    found = words(value)
    if not found or not found[0].startswith("/"):
        raise SettingError("give a list: the program's absolute path, then its arguments")
    if any("\0" in word for word in found):
        raise SettingError("holds a NUL character, which no argument can have")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Exec(Advisor):
    """Runs a command for each check.

    In its arguments %a stands for the address, %p for the port, %s for the server's name, %% for %.
    Exit code 0: works. A first line that is a number is the load; otherwise it is shown.
    The address is the server's own: connections of a command cannot be led along the way of
    requests.
    """

    name = "exec"
    at_server = True
    command: tuple[str, ...] = field(
        metadata=setting(command, "The program's absolute path, and its arguments.")
    )

    @property
    def transport(self) -> Transport:
        """Return a process's output."""
        return Transport.PROCESS

    def argv(self, target: Target, /) -> list[str]:
        """Return the command with address, port and name in place."""
        known = {"a": str(target.address), "p": str(target.port), "s": target.server, "%": "%"}
        return [re.sub(r"%([aps%])", lambda found: known[found[1]], word) for word in self.command]

    def talk(self, _target: Target, /) -> Dialogue:
        """Hear the output; the runner turns another exit code than 0 into the end of the matter."""
        output = bytearray()
        while (data := (yield HEAR)) and len(output) < _LONGEST:
            output += data
        first = bytes(output.split(b"\n", 1)[0])
        if found := _LOAD.fullmatch(first):
            return up(f"load {shown(first)}", load=float(found[1]))
        return up(first or b"leaves with 0")


def failed(code: int, output: bytes) -> WrongAnswerError:
    """Return what to raise for a command that left with another code than 0."""
    how = f"left with {code}" if code > 0 else f"was ended by signal {-code}"
    said = shown(output.split(b"\n", 1)[0])
    return WrongAnswerError(f"the command {how}" + (f": {said}" if said else ""))
