"""Whether only root may change what the daemon obeys and runs as root.

That is its file, the scripts of `hooks` and the commands of `exec` advisors; plug-ins are looked at
where they are loaded. Any user who could write one of them would be root.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from shunt import trust
from shunt.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.config import Located
    from shunt.model.config import Advisor

_DO = "give it, and the folders that it is in, to root, and take the right to write from others"


def refuse(located: Located) -> None:
    """See that nobody but root may change what `located` has run.

    Raises:
        ConfigError: others may; everything of that kind, each with its line.
    """
    if problems := faults(located):
        raise ConfigError(located.file, problems)


def faults(located: Located) -> tuple[Problem, ...]:
    """Return what others than root may change, in the order of the file."""
    found = [*_file(located), *_hooks(located)]
    for path, advisor in _advisors(located):
        program = _program(advisor)
        if program is not None and (why := trust.fault(program)):
            found.append(located.problem(path, f"{program} is run as root, but {why}; {_DO}"))
    return tuple(sorted(set(found)))


def _file(located: Located) -> Iterator[Problem]:
    if why := trust.fault(Path(located.file)):
        yield Problem(1, 1, "", f"what this file says is done as root, but {why}; {_DO}")


def _hooks(located: Located) -> Iterator[Problem]:
    folder = Path(located.config.dispatcher.hooks)
    scripts = sorted(folder.iterdir()) if folder.is_dir() else []
    for path in (folder, *scripts):
        if why := trust.fault(path):
            message = f"{path} is run as root, but {why}; {_DO}"
            yield located.problem(("dispatcher", "hooks"), message)
            if path == folder:
                return


def _advisors(located: Located) -> Iterator[tuple[tuple[str, ...], Advisor]]:
    """Yield every advisor, with the path of what it belongs to."""
    for service in located.config.services:
        for advisor in service.advisors:
            yield ("clusters", service.cluster), advisor
    for name, server in located.config.servers.items():
        if server.metric is not None:
            yield ("servers", name, "metric"), server.metric


def _program(advisor: Advisor) -> Path | None:
    """Return what an advisor of kind exec runs; None of others, and of one that is not right."""
    command = advisor.settings.get("command") if advisor.type == "exec" else None
    words = (command,) if isinstance(command, str) else command
    first = str(words[0]) if isinstance(words, list | tuple) and words else ""
    return Path(first) if first.startswith("/") else None
