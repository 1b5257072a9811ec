"""Files of the dispatcher's own: written whole or not at all, in folders that are only root's.

The umask plays no part: entry points of containers and old daemon tools leave 0, and in a folder
that anybody may write, anybody may put a link where root writes next.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from shunt import trust
from shunt.errors import HostError, refusal

if TYPE_CHECKING:
    from pathlib import Path


def failed(path: Path, error: OSError) -> HostError:
    """Return the error to raise, with what to do."""
    return refusal(error, path) or HostError(f"{path}: {error.strerror or error}")


def make_folder(path: Path) -> None:
    """Make a folder that everybody may read and only its owner may write, if it is not there.

    Raises:
        HostError: others than root and this process' user could change what is in it.
        OSError: it cannot be made.
    """
    for folder in (*reversed(path.parents), path):
        try:
            folder.mkdir(mode=0o755)
        except FileExistsError:
            continue
        folder.chmod(0o755)  # whatever the umask is
    refuse_unsafe(path)


def refuse_unsafe(path: Path) -> None:
    """See that only root and this process' user can change what is in a folder, if it is there.

    Raises:
        HostError: others can.
    """
    if not os.path.lexists(path):
        return  # nobody's yet: `make_folder` looks at what it has made, or found made meanwhile
    if why := trust.fault(path):
        raise HostError(
            f"{path} is not safe to keep files in: {why}",
            hint=f"see what is in there; then chown root: {path} and chmod 755 {path}",
        )


def write_whole(path: Path, text: str, *, durable: bool = False) -> None:
    """Replace a file's content, or leave it as it was; only its owner may read it.

    A draft beside it, made anew and through no link, takes its place when it is complete.

    Args:
        path: the file; its folder is one of `make_folder`.
        text: the content.
        durable: whether it must outlast a loss of power from now on.

    Raises:
        OSError: the old content is as it was.
    """
    draft = draft_of(path)
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(draft, flags, 0o600), "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def draft_of(path: Path) -> Path:
    """Return where a file's next content is written."""
    return path.with_name(f".{path.name}")
