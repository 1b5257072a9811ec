"""Settings of advisors: typed fields of a dataclass, read from what the file says.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Smtp(Advisor):
        helo: str = field(default="localhost", metadata=setting(text, "The name that EHLO gives."))

`read` takes the mapping of the configuration and names every mistake at once, with the nearest
known word for an unknown key. How many keys there are and how long a value is, a stranger may have
chosen; so both are bounded before anything is done whose cost grows with them.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from shunt.advisors.dialogue import shown
from shunt.errors import UsageError

T = TypeVar("T")
Read = Callable[[object], Any]

_READ, _MEANING = "read", "meaning"
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)?")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_YES, _NO = ("yes", "true", "on"), ("no", "false", "off")
_LONGEST_DURATION = 32_000_000

MAX_SETTINGS = 64  # of one advisor
MAX_TEXT = 8192  # characters of a value, of all texts of a list together
MAX_HOST_NAME = 253  # octets (RFC 1035 section 2.3.4, less what its wire format adds)
_MAX_AUTHORITY = MAX_HOST_NAME + len("[]:65535")
_MAX_WORD = 64  # characters of a word that others are compared with


class SettingError(ValueError):
    """A setting is not what it must be; the message completes "KEY: ..."."""


class SettingsError(UsageError):
    """Settings of one advisor are wrong; `mistakes` has each key with its message."""

    def __init__(self, kind: str, mistakes: Mapping[str, str]) -> None:
        self.mistakes = dict(mistakes)
        listed = "; ".join(f"{key}: {message}" for key, message in mistakes.items())
        super().__init__(f"advisor {kind}: {listed}")


def setting(read: Read, meaning: str) -> dict[str, Any]:
    """Return the metadata of a field that is a setting: its reader, a sentence for the manual."""
    return {_READ: read, _MEANING: meaning}


def meanings(kind: type[Any]) -> dict[str, tuple[object, str]]:
    """Return each setting's default (`MISSING` if it must be given) and meaning."""
    return {
        field.name: (field.default, field.metadata[_MEANING])
        for field in dataclasses.fields(kind)
        if _MEANING in field.metadata
    }


def read(
    kind: type[T], name: str, given: Mapping[str, object], also: Mapping[str, object] | None = None
) -> T:
    """Return a dataclass made of settings.

    Args:
        kind: the dataclass.
        name: what to call it in messages.
        given: keys as the file has them: text, sequences of text, or mappings.
        also: keys that are known elsewhere; no mistake here.

    Raises:
        SettingsError: keys are unknown, missing or wrong.
    """
    fields = {f.name: f for f in dataclasses.fields(kind) if _READ in f.metadata}  # type: ignore[arg-type]  # every caller's kind is a dataclass
    values: dict[str, object] = {}
    mistakes: dict[str, str] = {}
    if len(given) > MAX_SETTINGS:
        first = _short(next(iter(given)))
        much = f"{len(given)} settings are given; {MAX_SETTINGS} are allowed"
        raise SettingsError(name, {first: much})
    for key, value in given.items():
        if key in fields:
            try:
                values[key] = fields[key].metadata[_READ](value)
            except (ValueError, TypeError) as error:  # a plug-in may read by `int` or the like
                mistakes[key] = str(error)
        elif key not in (also or {}):
            mistakes[_short(key)] = _unknown(key, [*fields, *(also or {})])
    for key, field in fields.items():
        if field.default is dataclasses.MISSING and key not in given:
            mistakes[key] = f"is missing; give it: {field.metadata[_MEANING]}"
    if mistakes:
        raise SettingsError(name, mistakes)
    return kind(**values)


def _unknown(key: str, known: list[str]) -> str:
    near = nearest(key, known)
    right = f"did you mean `{near}`?" if near else f"known here: {', '.join(known) or 'none'}"
    return f"is no setting of this advisor; {right}"


def _short(word: str) -> str:
    return word if len(word) <= _MAX_WORD else shown(word, _MAX_WORD)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the word that was probably meant; of a long one, which costs much, None."""
    near = get_close_matches(word, known, n=1) if len(word) <= _MAX_WORD else ()
    return near[0] if near else None


# Readers.


def text(value: object) -> str:
    """Return text as it is."""
    if not isinstance(value, str):
        raise SettingError("give a single value")
    return bounded(value, MAX_TEXT)


def bounded(value: str, longest: int) -> str:
    """Return text that is not too long; looked at before what costs more than its length."""
    if len(value) > longest:
        raise SettingError(f"is {len(value)} characters long; {longest} are allowed")
    return value


def line(value: object) -> str:
    """Return text that can be sent on a line: no control characters."""
    found = text(value)
    if not found or not found.isprintable():
        raise SettingError(
            f"{found!r} is no line; give at least one printable character, and only such"
        )
    return found


def host_name(value: object) -> str:
    """Return a host's name, or an address, as it can stand in a TLS hello."""
    found = bounded(text(value), MAX_HOST_NAME)
    try:
        fits = 0 < len(found.encode("idna")) <= MAX_HOST_NAME and re.fullmatch(r"[^\s./]\S*", found)
    except UnicodeError:
        fits = None
    if not fits:
        raise SettingError(f"`{found}` is no host's name; write like www.example")
    return found


def authority(value: object) -> str:
    """Return a host with or without a port, as it is named in a request."""
    return bounded(line(value), _MAX_AUTHORITY)


def without_port(authority: str) -> str:
    """Return the host of `host`, `host:port` or `[address]:port` (RFC 3986 section 3.2.2)."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    host, colon, port = authority.rpartition(":")
    return host if colon and ":" not in host and port.isdigit() else authority


def number(low: int, high: int) -> Callable[[object], int]:
    """Return a reader of whole numbers."""

    def of(value: object) -> int:
        found = text(value)
        if not re.fullmatch(r"[0-9]{1,12}", found) or not low <= int(found) <= high:
            raise SettingError(f"`{found}` is not right; give a whole number from {low} to {high}")
        return int(found)

    return of


def duration(value: object) -> float:
    """Return seconds: `3`, `1.5s`, `500ms`, `5m`."""
    found = _DURATION.fullmatch(text(value))
    if not found:
        raise SettingError(f"`{value}` is no duration; write like 3, 1.5s, 500ms, 5m")
    seconds = float(found[1]) * _UNITS[found[2] or "s"]
    if not 0.01 <= seconds <= _LONGEST_DURATION or not math.isfinite(seconds):
        raise SettingError(f"`{value}` is out of range; give 10ms or more")
    return seconds


def yes_no(value: object) -> bool:
    """Return whether it says yes."""
    found = text(value).lower()
    if found not in {*_YES, *_NO}:
        raise SettingError(f"`{found}` is neither yes nor no")
    return found in _YES


def choice(*words: str) -> Callable[[object], str]:
    """Return a reader of one of some words."""

    def of(value: object) -> str:
        found = text(value)
        if found not in words:
            near = nearest(found, words)
            right = f"did you mean `{near}`?" if near else f"one of {', '.join(words)}"
            raise SettingError(f"`{_short(found)}` is not known; {right}")
        return found

    return of


def words(value: object) -> tuple[str, ...]:
    """Return a list of texts; a single one is a list of one."""
    if isinstance(value, str):
        return (text(value),)
    if isinstance(value, tuple | list) and all(isinstance(each, str) for each in value):
        length = sum(len(each) + 1 for each in value)
        if length > MAX_TEXT:
            raise SettingError(f"are {length} characters together; {MAX_TEXT} are allowed")
        return tuple(value)
    raise SettingError("give a text, or a list of texts")
