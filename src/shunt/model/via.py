"""The way into a server for its set-up: `local`, `ssh://...` or `winrm://...`, as data.

    local
    ssh://[user@]host[:port][?jump=[user@]host[:port]][&sudo=yes|no]
    winrm://[user@]host[:port]

IPv6 hosts stand in brackets (RFC 3986 section 3.2.2). Passwords are refused: they belong in no file
that many can read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qsl, unquote, urlsplit


class Way(StrEnum):
    """Kinds of runners."""

    LOCAL = "local"
    SSH = "ssh"
    WINRM = "winrm"


_PORTS = {Way.SSH: 22, Way.WINRM: 5986}
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+(%[A-Za-z0-9._-]+)?")
_SEEN = re.compile(r"[!-~]+")  # systems take more in a user's name; of ASCII all can be told apart
_FORM = "write local, ssh://[user@]host[:port] or winrm://[user@]host[:port]"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A host to log in to; `user` None means the one that the client's own settings name."""

    host: str
    port: int
    user: str | None = None

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Return the SSH server that `[user@]host[:port]` names.

        Raises:
            ValueError: `text` has another form; the message says what is wrong and what is right.
        """
        return _endpoint(text, Way.SSH)


@dataclass(frozen=True, slots=True)
class Via:
    """A parsed `via`; `endpoint` is None for `local` only, `jump` and `sudo` are for SSH."""

    way: Way
    endpoint: Endpoint | None = None
    jump: Endpoint | None = None
    sudo: bool = False

    @classmethod
    def parse(cls, text: str) -> Via:
        """Return the way in that `text` describes.

        Raises:
            ValueError: `text` has another form; the message says what is wrong and what is right.
        """
        if text == Way.LOCAL:
            return cls(Way.LOCAL)
        if not re.fullmatch(
            r"[ -~]*", text
        ):  # `urlsplit` leaves tabs and line ends out without a word
            raise ValueError(f"{text!a} has other than letters, digits and signs of ASCII")
        scheme, colon, _ = text.partition("://")
        if not colon or scheme not in _PORTS:
            raise ValueError(f"`{text}` is no way in; {_FORM}")
        way = Way(scheme)
        try:
            parts = urlsplit(text)
        except ValueError as error:
            raise ValueError(f"`{text}` is no way in ({error}); {_FORM}") from None
        if parts.path not in {"", "/"} or parts.fragment:
            raise ValueError(f"`{text}` has something after the host; {_FORM}")
        endpoint = _endpoint(parts.netloc, way)
        if way is Way.WINRM and parts.query:
            raise ValueError("winrm takes no `?...`; jump and sudo are for ssh")
        options = _options(parts.query)
        jump = options.get("jump")
        return cls(
            way,
            endpoint,
            None if jump is None else _endpoint(jump, Way.SSH),
            sudo=options.get("sudo") == "yes",
        )


def _options(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in {"jump", "sudo"}:
            raise ValueError(
                f"`{key}` is no option of ssh; jump=[user@]host[:port] and sudo=yes are"
            )
        if key in options:
            raise ValueError(f"`{key}` is there twice; keep one")
        if key == "sudo" and value not in {"yes", "no"}:
            raise ValueError(f"`sudo={value}` is not understood; write sudo=yes or sudo=no")
        options[key] = value
    return options


def _endpoint(text: str, way: Way) -> Endpoint:
    user, at, rest = text.rpartition("@")
    if ":" in user:
        raise ValueError("a password does not belong in this file; use a key or an agent")
    name = unquote(user)
    if name and (not _SEEN.fullmatch(name) or name.startswith("-")):
        raise ValueError(
            f"`{user}` is not a user; give ASCII letters, digits and signs, no `-` first"
        )
    bracketed = re.fullmatch(r"\[([^\]]*)\](?::(.*))?", rest)
    host, port = bracketed.groups() if bracketed else _split_port(rest)
    if not host or not _HOST.fullmatch(host) or (bracketed is None and ":" in host):
        raise ValueError(f"`{rest}` names no host; {_FORM}, an IPv6 host in brackets")
    if at and not user:
        raise ValueError(f"`{text}` has no user before `@`; {_FORM}")
    if port is None:
        return Endpoint(host, _PORTS[way], name or None)
    if not re.fullmatch(r"[0-9]{1,5}", port) or not 1 <= int(port) <= 65535:
        raise ValueError(f"port `{port}` is no port; give 1 to 65535")
    return Endpoint(host, int(port), name or None)


def _split_port(text: str) -> tuple[str, str | None]:
    host, colon, port = text.rpartition(":")
    return (host, port) if colon else (text, None)
