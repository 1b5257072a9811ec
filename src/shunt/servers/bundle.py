"""Several commands as one, so that a distant server is asked once and not fourteen times.

The commands become one shell script on the standard input of `sh -s`. After each, a line on both
streams says its number and status, under a word that nobody can know beforehand.
"""

from __future__ import annotations

import re
import secrets
import shlex
from typing import TYPE_CHECKING

from shunt.errors import RemoteError
from shunt.servers.steps import Command, Output

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shunt.servers.runners.base import Runner


async def run_all(
    runner: Runner, commands: Sequence[Command], *, stop: bool = False
) -> tuple[Output, ...]:
    """Return the output of every command, in their order.

    With `stop`, none is started after one whose status is not among its `ok`; then there are fewer
    outputs than commands.

    Raises:
        RemoteError: As the runner does, or when the answer is cut off.
    """
    if all(command.shell == "sh" for command in commands):
        word = f"shunt-{secrets.token_hex(8)}"
        output = await runner.run(Command(("sh", "-s"), script(commands, word, stop=stop)))
        return split(output, word, len(commands), stop=stop)
    outputs = []
    for command in commands:
        outputs.append(await runner.run(command))
        if stop and outputs[-1].status not in command.ok:
            break
    return tuple(outputs)


def script(commands: Sequence[Command], word: str, *, stop: bool) -> str:
    """Return the shell script that runs the commands and marks their ends with `word`."""
    parts = []
    for number, command in enumerate(commands):
        text = shlex.join(command.argv)
        if command.stdin is None:
            parts.append(f"( {text} ) </dev/null; status=$?")
        else:
            parts.append(f"printf %s {shlex.quote(command.stdin)} | ( {text} ); status=$?")
        mark = f'echo; echo "{word} {number} $status"'
        parts.append(f"{mark}; ( {mark} ) >&2")
        if stop:
            good = "|".join(map(str, command.ok))
            parts.append(f"case $status in {good}) ;; *) echo {word} end; exit 0 ;; esac")
    return "\n".join(parts) + f"\necho {word} end\n"


def split(output: Output, word: str, expected: int, *, stop: bool) -> tuple[Output, ...]:
    """Return each command's part of the output of `script`.

    Raises:
        RemoteError: It is cut off.
    """
    mark = re.compile(rf"\n{word} (\d+) (\d+)\n")
    out, err = mark.split(output.stdout), mark.split(output.stderr)
    # What split returns: text, number, status, text, number, status, ..., rest.
    streams = zip(out[0:-1:3], err[0:-1:3], out[2::3], strict=False)
    outputs = tuple(Output(text, errors, int(status)) for text, errors, status in streams)
    whole = out[-1] == f"{word} end\n" and len(out) == len(err)
    if output.status or not whole or not (len(outputs) == expected or (stop and outputs)):
        said = output.stderr.strip() or f"exit status {output.status}"
        begun = word in output.stdout + output.stderr
        raise RemoteError(f"the answer is cut off: {said}" if begun or not output.status else said)
    return outputs
