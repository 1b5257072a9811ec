"""`shunt config`: check the configuration file, show it with every default, print its schema."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import cyclopts

from shunt.cli.output import Output
from shunt.cli.terminal import tell
from shunt.errors import ConfigError

if TYPE_CHECKING:
    from shunt.cli.output import JsonValue
    from shunt.config import Located
    from shunt.errors import Problem

app = cyclopts.App(name="config", help="Check and show the configuration file.")

DEFAULT = Path("/etc/shunt/shunt.yaml")
File = Annotated[Path | None, cyclopts.Parameter(help=f"Configuration file; default {DEFAULT}.")]
Option = Annotated[
    Path | None, cyclopts.Parameter(name=("-c", "--config"), help="The same, as other commands do.")
]
Root = Annotated[Path | None, cyclopts.Parameter(name="--root")]
Json = Annotated[bool, cyclopts.Parameter(help="Print one JSON document.", negative=())]


@app.command
def check(file: File = None, /, *, config: Option = None, json: Json = False) -> int:
    """Say whether the file is right, or everything that is wrong with it.

    Leaves with 0 if it is right, warnings or not, and with 2 if it is wrong.

    For example: `shunt config check shunt.yaml --json`
    """
    from shunt.config import load_located, warnings
    from shunt.dispatcher.health_jobs import check_advisors
    from shunt.dispatcher.permissions import faults

    out = Output(json=json)
    path = _path(file, config)
    try:
        located = load_located(path)
        check_advisors(located)
    except ConfigError as error:
        out.document(_verdict(str(path), error.problems, ()))
        for problem in error.problems:
            out.text(problem.render(str(path)))
        out.text(f"{path}: {_count(len(error.problems), 'problems')}")
        return error.exit_code
    found = warnings(located)
    if os.geteuid() == 0:  # who is not root will not run it, and cannot see all that is run
        found = (*found, *faults(located))
    out.document(_verdict(str(path), (), found) | _counts(located))
    for problem in found:
        out.warn(problem.render(str(path)))
    counts = ", ".join(_count(number, what) for what, number in _counts(located).items())
    out.text(f"{path}: {counts}: right")
    return 0


@app.command
def show(
    file: File = None,
    /,
    *,
    config: Option = None,
    secret: Annotated[bool, cyclopts.Parameter(help="Show the hash key too.", negative=())] = False,
    json: Json = False,
) -> int:
    """Print the file with every default filled in, always in the same order.

    The key of the flow hash is left out, unless asked for with --secret.

    For example: `shunt config show shunt.yaml > normal.yaml`
    """
    from shunt.config import dump, load, normalised

    out = Output(json=json)
    model = load(_path(file, config))
    out.document(normalised(model, secret=secret))
    if not json:
        tell(dump(model, secret=secret), end="")
    return 0


@app.command
def schema() -> int:
    """Print the JSON Schema of the file, for editors that complete and check YAML.

    For example: `shunt config schema > shunt.schema.json`
    """
    from shunt.config import jsonschema

    tell(jsonschema.text(), end="")
    return 0


@app.command
def diff(
    *, root: Annotated[Path | None, cyclopts.Parameter(name="--root")] = None, json: Json = False
) -> int:
    """Show how what is in force differs from the file: edits not reloaded, and run-time changes.

    Leaves with 0 if nothing differs, 1 if something does, 2 if the file is not right.

    For example: `shunt config diff`

    Args:
        root: as for `shunt up`.
        json: print the result as JSON.
    """
    from difflib import unified_diff

    from shunt.config import dump, load
    from shunt.dispatcher.control import request
    from shunt.dispatcher.places import places

    out = Output(json=json)
    running = request(places(root).socket, "configuration")
    wished = dump(load(Path(running["file"])), secret=False)
    lines = list(
        unified_diff(
            running["configuration"].splitlines(), wished.splitlines(),
            "in force", running["file"], lineterm="",
        )
    )  # fmt: skip
    differences = {key: running[key] for key in ("overrides", "kept")}
    out.document({"file": running["file"], "edits": lines} | differences)
    for line in lines:
        out.text(line)
    for change in running["overrides"]:
        what = [
            f"weight {change['weight']}" if change["weight"] is not None else "",
            "quiesced" if change["quiesced"] else "",
            "now" if change["now"] else "",
        ]
        out.text(
            f"run time: {change['server']} in {change['service']}: {' '.join(filter(None, what))}"
        )
    for what in running["kept"]:
        out.text(f"as it was until `shunt down` and `shunt up`: {what}")
    if lines or any(differences.values()):
        return 1
    out.text("nothing differs from the file")
    return 0


def _path(file: Path | None, config: Path | None) -> Path:
    return file or config or DEFAULT


def _counts(located: Located) -> dict[str, int]:
    config = located.config
    clusters = {service.cluster for service in config.services}
    return {
        "clusters": len(clusters),
        "services": len(config.services),
        "servers": len(config.servers),
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what.removesuffix('s') if number == 1 else what}"


def _verdict(
    file: str, problems: tuple[Problem, ...], warnings: tuple[Problem, ...]
) -> dict[str, JsonValue]:
    return {
        "file": file,
        "right": not problems,
        "problems": [_entry(problem) for problem in problems],
        "warnings": [_entry(problem) for problem in warnings],
    }


def _entry(problem: Problem) -> dict[str, JsonValue]:
    return {
        "line": problem.line,
        "column": problem.column,
        "path": problem.path,
        "message": problem.message,
    }
