"""How commands become text that PowerShell understands, for runners and for scripts."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.servers.steps import Command


def statement(command: Command) -> str:
    """Return a command as a PowerShell statement; a program's exit status becomes an error."""
    if command.shell == "powershell":
        return command.argv[0]
    text = " ".join(command.argv).replace("'", "''")
    good = ", ".join(map(str, command.ok))
    return (
        f"& cmd.exe /d /c '{text}'; "
        f'if (@({good}) -notcontains $LASTEXITCODE) {{ throw "status $LASTEXITCODE" }}'
    )


def strict(command: Command) -> str:
    """Return the statement so that it stops at the first error."""
    return f"$ErrorActionPreference = 'Stop'; {statement(command)}"


def program(command: Command) -> tuple[str, ...]:
    """Return the words that start Windows PowerShell for one command, free of quoting."""
    text = f"$ProgressPreference = 'SilentlyContinue'; {strict(command)}"
    encoded = base64.b64encode(text.encode("utf-16-le")).decode("ascii")
    return ("powershell", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded)
