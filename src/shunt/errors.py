"""Every error that Shunt raises on purpose, in one tree.

    ShuntError                    exit 1   something went wrong; message, and what to do
    ├── UsageError                exit 2   the request itself is wrong; nothing was changed
    │   ├── ConfigError                    problems in a configuration file, all at once
    │   │   └── UnreadyError      exit 1   the host is not yet, or no more, as the file needs it
    │   ├── InUseError                     a server gets traffic that the change would interrupt
    │   ├── NoWayInError                   the configuration has no way into a server
    │   └── ParseError                     text (a route table, a command's output) not understood
    ├── HostError                 exit 2   this machine lacks root, BTF, libbpf, an interface
    ├── DataplaneError            exit 1   the kernel refused a program or a map; its errno
    │   ├── LoadError                      the verifier refused; its last line, and the full log
    │   └── LayoutError                    the kernel's structs are not the ones this release knows
    ├── NetworkError              exit 1   netlink or a packet socket failed (also the errno)
    ├── ControlError              exit 1   the daemon is not there, or refused
    ├── LabError                  exit 1   a laboratory could not be built, run or removed
    └── RemoteError               exit 3   a server could not be reached or a command there failed
        └── StillRunningError              a command there was given up, and nobody saw it end

`shunt.cli` prints message and hint, never a traceback, and leaves with `exit_code`.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from typing import ClassVar

# What is over when somebody closes files, memory is free again, or an interface is back or up.
_PASSING = {
    errno.EAGAIN, errno.EBUSY, errno.EDQUOT, errno.EINTR, errno.EMFILE, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ENFILE, errno.ENOBUFS, errno.ENODEV, errno.ENOMEM, errno.ENOSPC,
    errno.ENXIO, errno.ETIMEDOUT,
}  # fmt: skip


def passes(error: BaseException) -> bool:
    """Return whether what has failed may go well next time: the kernel's number says so."""
    cause: BaseException | None = error
    while cause is not None:
        if getattr(cause, "errno", None) in _PASSING:
            return True
        cause = cause.__cause__
    return False


class ShuntError(Exception):
    """Base of the tree: a message for a person, and a hint that says what to do."""

    exit_code: ClassVar[int] = 1
    longest: ClassVar[int | None] = None  # letters of a message; None: as many as there are

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        if self.longest is not None and len(message) > self.longest:
            message = (
                f"{message[: self.longest]} ... ({len(message) - self.longest:,} letters more)"
            )
        super().__init__(message)
        self.message = message
        self.hint = hint
        if hint:
            self.add_note(hint)  # for who sees the error itself, as in a test's report


class UsageError(ShuntError):
    """The request is wrong; nothing was changed."""

    exit_code = 2


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake in a configuration file: line and column from 1, key path, what, the fix."""

    line: int
    column: int
    path: str
    message: str

    def render(self, file: str) -> str:
        """Return `file:line:column: key.path: message`."""
        where = f"{self.path}: " if self.path else ""
        return f"{file}:{self.line}:{self.column}: {where}{self.message}"


class ConfigError(UsageError):
    """A configuration file has problems; all of them are listed."""

    def __init__(self, file: str, problems: tuple[Problem, ...]) -> None:
        self.file = file
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(problem.render(file) for problem in self.problems))


class InUseError(UsageError):
    """A server gets traffic, and what was asked for would interrupt it."""


class NoWayInError(UsageError):
    """Nobody is let into a server: it is set up by hand, with a script."""


class UnreadyError(ConfigError):
    """This host is not as a right file needs it: an interface is absent, an address is held.

    It may be so later without anybody changing the file, so systemd tries again.
    """

    exit_code = 1


class ParseError(UsageError):
    """Text was not understood. Never swallowed: what cannot be read is not "clean"."""

    longest = 4000  # it may repeat what a server said


class HostError(ShuntError):
    """This machine lacks a privilege, a kernel feature, a library or an interface."""

    exit_code = 2


_REFUSALS = {
    errno.EACCES: "run as root",
    errno.EPERM: "run as root",
    errno.EROFS: "the file system is read-only: see `findmnt`, and ReadWritePaths of the unit",
    errno.ENOSPC: "the file system is full: see `df`",
    errno.EDQUOT: "the quota is used up: see `quota`",
    errno.EMFILE: "raise `ulimit -n`, or LimitNOFILE of the unit",
    errno.ENFILE: "this machine's descriptors are used up: see /proc/sys/fs/file-nr",
    errno.ENOMEM: "this machine's or this unit's memory is used up: see `free`, and MemoryMax",
    errno.EAGAIN: "too many processes or threads: see `ulimit -u`, and TasksMax of the unit",
    errno.EIO: "see the kernel's log: `dmesg`",
}


def remedy(number: int) -> str | None:
    """Return what to do where the kernel refuses a program or a map for want of something.

    None of other errnos: the verifier has meanings of its own for EACCES and the like.
    """
    return _REFUSALS[number] if number in {errno.EMFILE, errno.ENFILE, errno.ENOMEM} else None


def refusal(error: OSError | MemoryError, what: object = None) -> HostError | None:
    """Return what the machine's refusal means; None if it is no refusal of the machine's.

    Args:
        error: of the operating system.
        what: the file that it is about, if `error` does not say.
    """
    if isinstance(error, MemoryError):
        return HostError("out of memory", hint=_REFUSALS[errno.ENOMEM])
    if error.errno not in _REFUSALS:
        return None
    about = what or error.filename
    words = error.strerror or str(error)
    message = f"{about}: {words}" if about else f"this machine refused: {words}"
    return HostError(message, hint=_REFUSALS[error.errno])


class DataplaneError(ShuntError):
    """The kernel refused a program, a map or an attachment; `errno` is the kernel's, 0 if none."""

    def __init__(self, message: str, *, errno: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.errno = errno


class LoadError(DataplaneError):
    """The verifier refused a program; `log` is all that it said."""

    def __init__(self, message: str, *, log: str, errno: int = 0, hint: str | None = None) -> None:
        super().__init__(message, errno=errno, hint=hint)
        self.log = log


class LayoutError(DataplaneError):
    """The object's or the pinned maps' structs differ from those that this release knows."""


class NetworkError(ShuntError):
    """Netlink or a packet socket failed; `errno` is the kernel's, 0 if none."""

    def __init__(self, message: str, *, errno: int = 0, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.errno = errno


class ControlError(ShuntError):
    """The daemon does not run, or refused the request."""


class LabError(ShuntError):
    """A laboratory could not be built, run or removed."""


class RemoteError(ShuntError):
    """A server could not be reached, or a command failed there."""

    exit_code = 3
    longest = 4000  # it may repeat what the server said


class StillRunningError(RemoteError):
    """A command was given up, and may still change the server: nothing of it can be undone yet."""
