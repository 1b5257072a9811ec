"""How a server is reached, as the configuration writes it: `ssh://root@192.0.2.21`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from shunt.errors import UsageError

_SCHEMES = ("ssh", "winrm")


@dataclass(frozen=True, slots=True)
class Via:
    """A way in: `scheme` is `local`, `ssh` or `winrm`."""

    scheme: str
    host: str = ""
    port: int | None = None
    user: str | None = None
    jump: str | None = None

    def __str__(self) -> str:
        if self.scheme == "local":
            return "this machine"
        return f"{self.user}@{self.host}" if self.user else self.host


def parse(text: str) -> Via:
    """Return the way in that `text` names.

    Raises:
        UsageError: It names none, or carries a password.
    """
    if text == "local":
        return Via("local")
    try:
        parts = urlsplit(text if "://" in text else f"ssh://{text}")
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{text!r} is no way to a server: {error}") from error
    if parts.password is not None:
        raise UsageError(
            f"the way to {parts.hostname} carries a password",
            hint="SSH uses keys; WinRM's password is asked for, or read from SHUNT_WINRM_PASSWORD",
        )
    if parts.scheme not in _SCHEMES or not parts.hostname:
        raise UsageError(
            f"{text!r} is no way to a server",
            hint="write local, ssh://user@host:port or winrm://user@host",
        )
    jump = parse_qs(parts.query).get("jump", [None])[-1]
    return Via(parts.scheme, parts.hostname, port, parts.username, jump)
