"""Batch files for Windows 2003, which has no PowerShell of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shunt.servers.steps import Command, Plan, Step
    from shunt.servers.wish import Wish


def script(wish: Wish, plan: Plan) -> str:
    """Return the plan as a batch file with the labels check, apply and undo; lines end in CR LF."""
    name = wish.server.name
    clusters = ", ".join(str(address) for address in wish.clusters)
    lines = [
        "@echo off",
        f"rem Sets up {name} as a server of {clusters}.",
        f"rem   shunt-{name}.cmd check   says what is missing; errorlevel 1 if anything is",
        f"rem   shunt-{name}.cmd apply   does what is missing; undoes its steps if one fails",
        f"rem   shunt-{name}.cmd undo    takes back what apply did; noted in {_state(wish)}",
        *(f"rem Note: {finding.what}. {finding.why}." for finding in plan.findings),
        "setlocal",
        "set missing=0",
        f"set state={_state(wish)}",
        'if "%1"=="check" goto check',
        'if "%1"=="apply" goto apply',
        'if "%1"=="undo" goto undo',
        "echo usage: %0 check^|apply^|undo",
        "exit /b 2",
        "",
        ":check",
    ]
    for number, step in enumerate(plan.steps, 1):
        missing = f"(echo missing: {_safe(step.what)}& set missing=1)"
        lines += [
            f"call :check{number} >nul 2>&1",
            f"if errorlevel 1 {missing} else echo right:   {_safe(step.what)}",
        ]
    lines += ["exit /b %missing%", "", ":apply"]
    for number, step in enumerate(plan.steps, 1):
        lines += _apply(number, step)
    lines += ["exit /b 0", "", ":back"]
    backwards = list(enumerate(plan.steps, 1))[::-1]
    for number, step in backwards:
        lines += [f"if not defined did{number} goto kept{number}", *_undo(step), f":kept{number}"]
    lines += ["exit /b 1", "", ":undo"]
    for number, step in backwards:
        lines += [f"if not exist {_note(step)} goto past{number}", *_undo(step), f":past{number}"]
    lines += ["exit /b 0", ""]
    for number, step in enumerate(plan.steps, 1):
        lines += [f":check{number}"]
        for text in _texts(step.check):
            lines += [text, "if errorlevel 1 exit /b 1"]
        lines += ["exit /b 0", ""]
    return "\r\n".join(lines)


def _state(wish: Wish) -> str:
    return rf"%SystemRoot%\shunt-{wish.server.name}"


def _note(step: Step) -> str:
    return f'"%state%\\{step.id.replace(":", "-")}"'


def _undo(step: Step) -> list[str]:
    return [
        f"echo undo:    {_safe(step.what)}",
        *_texts(step.undo),
        f"del {_note(step)}",
        'rd "%state%" 2>nul',
    ]


def _apply(number: int, step: Step) -> list[str]:
    return [
        f"rem {number}. {step.what}",
        f"rem Why: {step.why}.",
        f"set did{number}=",
        f"call :check{number} >nul 2>&1",
        f"if not errorlevel 1 goto right{number}",
        f"echo do:      {_safe(step.what)}",
        'if not exist "%state%" md "%state%"',
        f"echo.>{_note(step)}",
        f"set did{number}=1",
        *_texts(step.do),
        f"call :check{number} >nul 2>&1",
        f"if errorlevel 1 (echo FAILED:  {_safe(step.what)}& goto back)",
        f":right{number}",
    ]


def _texts(commands: Iterable[Command]) -> list[str]:
    return [command.text for command in commands]


def _safe(text: str) -> str:
    """Return `text` with what cmd.exe would interpret in an `echo` taken out of its hands."""
    for mark in "^&|<>()":
        text = text.replace(mark, f"^{mark}")
    return text
