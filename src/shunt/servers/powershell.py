"""How commands become text that PowerShell understands, and where a Windows server keeps state."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.servers.steps import Command

FOLDER = r"C:\ProgramData\shunt"
_QUOTES = re.compile("['\u2018-\u201b]")  # each of these ends a string in single quotes
_TRUSTED = "'S-1-5-32-544', 'S-1-5-18'"  # Administrators, SYSTEM
_PROTECTED = "O:BAG:BAD:PAI(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)"


def quoted(text: str) -> str:
    """Return a string of PowerShell that stands for `text` as it is."""
    return "'" + _QUOTES.sub(lambda match: match[0] * 2, text) + "'"


def trusted(file: str) -> str:
    """Return the statement that throws unless administrators own the folder of state and `file`.

    Everybody may make folders in ProgramData. What somebody else put there is neither read nor
    written over: what a record says is done as an administrator. What is not there yet is right.
    """
    return (
        f"foreach ($Path in {quoted(FOLDER)}, {quoted(file)}) {{"
        " if (-not (Test-Path -LiteralPath $Path)) { continue };"
        " $Owner = (Get-Acl -LiteralPath $Path).GetOwner([Security.Principal.SecurityIdentifier]);"
        " $Link = (Get-Item -Force -LiteralPath $Path).Attributes"
        " -band [IO.FileAttributes]::ReparsePoint;"
        f" if ($Link -or @({_TRUSTED}) -notcontains $Owner.Value) {{"
        " throw \"$Path does not belong to the administrators, so it may be anybody's: look who"
        ' made it, delete it, and try again" } }'
    )


def own_folder(file: str) -> str:
    """Return statements that make the folder of state, for administrators only.

    A folder that an earlier release made is narrowed; `file` is looked at as well.
    """
    return (
        "$Access = New-Object Security.AccessControl.DirectorySecurity;"
        f" $Access.SetSecurityDescriptorSddlForm('{_PROTECTED}');"
        f" [void][IO.Directory]::CreateDirectory({quoted(FOLDER)}, $Access); {trusted(file)};"
        f" [IO.Directory]::SetAccessControl({quoted(FOLDER)}, $Access)"
    )


def stored(file: str, text: str) -> str:
    """Return statements that put `text` into a file of state, owned by the administrators."""
    return (
        f"{own_folder(file)}; [IO.File]::WriteAllText({quoted(file)}, {quoted(text)});"
        f" $Access = Get-Acl -LiteralPath {quoted(file)};"
        " $Access.SetOwner([Security.Principal.SecurityIdentifier]'S-1-5-32-544');"
        f" Set-Acl -LiteralPath {quoted(file)} -AclObject $Access"
    )


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
