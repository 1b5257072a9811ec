"""PowerShell scripts for Windows servers since 2012."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.servers.powershell import FOLDER, own_folder, quoted, statement, trusted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.servers.steps import Command, Plan, Step
    from shunt.servers.wish import Wish

_HEAD = """\
# Sets up {name} as a server of {clusters}.
#
#   powershell -File {file} check   says what is missing; exit status 1 if anything is
#   powershell -File {file} apply   does what is missing, each step checked
#   powershell -File {file} undo    takes back what `apply` did
#
# Run it as administrator. Every part may be repeated.
{notes}
param([ValidateSet('check', 'apply', 'undo')] [string] $Job = 'check')
$ErrorActionPreference = 'Stop'
if (-not (Get-Command Get-NetIPAddress -ErrorAction SilentlyContinue)) {{
    Write-Output 'FAILED:  this needs Windows Server 2012 or later'
    exit 2
}}
$State = {state}

$Steps = @(
"""
_TAIL = """)

function Test-Step($Step) { try { & $Step.Check } catch { $false } }
function Get-Done { TRUSTED; if (Test-Path $State) { @(Get-Content $State) } else { @() } }
function Set-Done($Ids) {
    FOLDER
    if ($Ids.Count) { Set-Content $State $Ids }
    else { Remove-Item -Force -ErrorAction Ignore $State }
}
function Undo-Steps($Some) {
    [array]::Reverse($Some)
    foreach ($Step in $Some) {
        Write-Output "undo:    $($Step.What)"
        & $Step.Undo
        Set-Done @(Get-Done | Where-Object { $_ -ne $Step.Id })
    }
}

if ($Job -eq 'undo') {
    $Done = Get-Done
    $Foreign = @($Done | Where-Object { @($Steps | ForEach-Object { $_.Id }) -notcontains $_ })
    if ($Foreign) {
        Write-Output "FAILED:  undo with the script that did them first: $Foreign ($State)"
        exit 1
    }
    Undo-Steps @($Steps | Where-Object { $Done -contains $_.Id })
    exit 0
}
$Missing = 0
$Reached = @()
foreach ($Step in $Steps) {
    if (Test-Step $Step) { Write-Output "right:   $($Step.What)"; continue }
    if ($Job -eq 'check') { Write-Output "missing: $($Step.What)"; $Missing = 1; continue }
    Write-Output "do:      $($Step.What)"
    $Reached += $Step
    Set-Done @(@(Get-Done) + $Step.Id | Select-Object -Unique)
    $Fault = 'the check fails'
    try { & $Step.Do; $Good = Test-Step $Step } catch { $Good = $false; $Fault = $_ }
    if (-not $Good) { Write-Output "FAILED:  $($Step.What): $Fault"; Undo-Steps $Reached; exit 1 }
}
exit $Missing
"""  # PowerShell's own lines


def script(wish: Wish, plan: Plan) -> str:
    """Return the plan as a PowerShell script."""
    name = wish.server.name
    state = rf"{FOLDER}\script-{name}.txt"
    notes = (f"# Note: {finding.what}. {finding.why}." for finding in plan.findings)
    head = _HEAD.format(
        name=name,
        clusters=", ".join(str(address) for address in wish.clusters),
        file=f"shunt-{name}.ps1",
        notes="\n".join(notes),
        state=quoted(state),
    )
    tail = _TAIL.replace("TRUSTED", trusted(state)).replace("FOLDER", own_folder(state))
    return head + "".join(_step(number, step) for number, step in enumerate(plan.steps, 1)) + tail


def _step(number: int, step: Step) -> str:
    checks = " -and ".join(f"({_checked(command)})" for command in step.check)
    return (
        f"    # {number}. {step.what}\n    # Why: {step.why}.\n"
        f"    @{{\n        Id = {quoted(step.id)}; What = {quoted(step.what)}\n"
        f"        Check = {{ {checks} }}\n"
        f"        Do = {_block(step.do)}\n        Undo = {_block(step.undo)}\n    }}\n"
    )


def _checked(command: Command) -> str:
    if command.shell == "powershell":
        return command.argv[0]
    return f"& {{ {statement(command)}; $true }}"


def _block(commands: Iterable[Command]) -> str:
    lines = "".join(f"            {statement(c)}\n" for c in commands)
    return f"{{\n{lines}        }}"
