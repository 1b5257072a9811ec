"""The real daemon on a laboratory's dispatcher; all of its files stay in the laboratory."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shunt.errors import LabError

if TYPE_CHECKING:
    from shunt.lab.host import Host
    from shunt.lab.processes import Completed, Process

_COMMAND = str(Path(sys.executable).with_name("shunt"))
_READY = "ready"


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running `shunt up`, its configuration file, and the root of its other files."""

    host: Host
    process: Process
    config: Path
    root: Path

    def shunt(self, *arguments: str, check: bool = True) -> Completed:
        """Run another `shunt` command on the dispatcher, with this daemon's root.

        Raises:
            LabError: (with `check`) it failed.
        """
        return run_command(self.host, *arguments, "--root", str(self.root), check=check)

    def status(self) -> dict[str, Any]:
        """Return what `shunt status --json` says.

        Raises:
            LabError: the command failed, or said something else than a JSON object.
        """
        text = self.shunt("status", "--json").stdout
        try:
            status = json.loads(text)
        except ValueError as error:
            raise LabError(f"`shunt status --json` printed no JSON: {text[:200]!r}") from error
        if not isinstance(status, dict):
            raise LabError(f"`shunt status --json` printed no object: {text[:200]!r}")
        return status


def start(host: Host, configuration: str) -> Daemon:
    """Start `shunt up` on a host, return when it says that it is ready.

    A second start on the same host finds the files, and the pinned state, of the first.

    Raises:
        LabError: it ended or was not ready in time; its words are in the hint.
    """
    config = host.write("shunt.yaml", configuration)
    root = host.directory / "shunt"
    root.mkdir(exist_ok=True)
    process = host.start([_COMMAND, "up", "-c", str(config), "--root", str(root)])
    process.wait_until_says(_READY, timeout=20)
    return Daemon(host, process, config, root)


def run_command(host: Host, *arguments: str, check: bool = True) -> Completed:
    """Run a `shunt` command inside a host.

    Raises:
        LabError: (with `check`) it failed.
    """
    return host.run([_COMMAND, *arguments], check=check)
