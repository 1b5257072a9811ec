"""A configuration file, read: the model, and where in the file everything stands."""

from __future__ import annotations

import codecs
import gc
import os
import stat
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from shunt.config import plain, references, resolve, tree
from shunt.config.draft import draft
from shunt.config.places import START, Path, Places, Position, render
from shunt.config.report import Report
from shunt.errors import ConfigError, Problem, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path as FilePath

    from shunt.model.addresses import Address
    from shunt.model.config import Config

MAX_SIZE = 64 << 20  # bytes; ten thousand services take five million


@dataclass(frozen=True, slots=True)
class Located:
    """A configuration with the way back to its text, for checks that come later.

    `addresses` has the path of each cluster address, as `where` and `problem` take it.
    """

    file: str
    config: Config
    places: Places
    addresses: Mapping[Address, Path]

    def where(self, path: Path) -> Position:
        """Return line and column, from 1, of the value at `path`.

        Paths are like `("clusters", "web", "address", 0)`. One that the file does not have,
        because a default stands in, is found at the nearest key around it.
        """
        return self.places.value(path)

    def problem(self, path: Path, message: str) -> Problem:
        """Return a problem with the value at `path`, for a `ConfigError` or a warning."""
        line, column = self.where(path)
        return Problem(line, column, render(self.places.known(path)), message)


def load(path: FilePath) -> Config:
    """Return the configuration in a file.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: it has problems; all of them are listed.
    """
    return load_located(path).config


def load_located(path: FilePath) -> Located:
    """Return the configuration in a file with its positions.

    Raises:
        UsageError: the file cannot be read.
        ConfigError: it has problems; all of them are listed.
    """
    return parse_located(_text(path), str(path))


def parse(text: str, file: str) -> Config:
    """Return the configuration in `text`; `file` names it in messages.

    Raises:
        ConfigError: it has problems; all of them are listed.
    """
    return parse_located(text, file).config


def parse_located(text: str, file: str) -> Located:
    """Return the configuration in `text` with its positions; `file` names it in messages.

    Raises:
        ConfigError: it has problems; all of them are listed.
    """
    with _collector_at_rest():
        return _read(text, file)


def _read(text: str, file: str) -> Located:
    report = Report(file)
    root = tree.compose(text, file)
    if root is None:
        report.at(START, "the file is empty; it has the keys dispatcher, clusters and servers")
        report.raise_if_any()
        raise AssertionError
    data = plain.flatten(root, report)
    made = draft(data, report)
    references.check(data, report)
    resolve.check(made, report)
    report.raise_if_any()
    return Located(file, resolve.build(made), report.places, resolve.address_paths(made))


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """Hold off the cycle collector: a tree has no cycles, and looking costs a third of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _text(path: FilePath) -> str:
    try:
        data = _data(path)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: there is no such file",
            hint="name the configuration file, or write one: examples/shunt.yaml shows how",
        ) from None
    except IsADirectoryError:
        raise UsageError(f"{path}: is a directory", hint="name a file in it") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(
            f"{path}: cannot be read: {reason}", hint="look at its owner and mode"
        ) from None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        at = _position(data[: error.start])
        what = (
            "UTF-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "no UTF-8"
        )
        message = (
            f"the byte 0x{data[error.start]:02x} shows that this is {what}; save the file as UTF-8"
        )
        raise ConfigError(str(path), (Problem(at.line, at.column, "", message),)) from None


def _data(path: FilePath) -> bytes:
    """Read a file that ends, and at once: a device might not, a named pipe might wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        state = os.fstat(descriptor)
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError
        if not stat.S_ISREG(state.st_mode):
            raise UsageError(f"{path}: is not a regular file", hint="write the text to a file")
        data = file.read(MAX_SIZE + 1)
    if len(data) > MAX_SIZE:
        raise UsageError(
            f"{path}: has more than {MAX_SIZE >> 20} MiB", hint="no configuration needs as much"
        )
    return data


def _position(before: bytes) -> Position:
    text = before.decode()
    return Position(text.count("\n") + 1, len(text) - text.rfind("\n"))
