"""Host keys: checked always, whatever the client's own settings say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncssh

from shunt.errors import RemoteError

if TYPE_CHECKING:
    from shunt.model.via import Endpoint

_USUAL = Path("~/.ssh/known_hosts")


class KnownHosts(asyncssh.SSHKnownHosts):
    """Files of known host keys; remembers whether they name the host that was looked for."""

    def __init__(self) -> None:
        super().__init__()
        self._named = False

    def read(self, there: Endpoint, file: Path | None) -> None:
        """Read `file`, or those of ~/.ssh/config for this host, or else ~/.ssh/known_hosts.

        `UserKnownHostsFile none` switches the check off in OpenSSH; here it means the last of them.

        Raises:
            OSError: A file cannot be read.
            ValueError: It has another form, or ~/.ssh/config has.
        """
        for path in [file] if file else _configured(there) or [_USUAL.expanduser()]:
            if file or path.is_file():
                self.load(path.read_text())

    def match(self, host: str, addr: str, port: int | None) -> Any:  # asyncssh's own tuple
        """Return the keys of a host, as asyncssh asks for them."""
        found = super().match(host, addr, port)
        self._named = any(found)
        return found

    def refusal(self, there: Endpoint, reason: str) -> RemoteError:
        """Return the error that says whether the key is unknown, or another than the known one."""
        if self._named:
            return RemoteError(
                f"{there}: the host key is not the one that is known: {reason}",
                hint="make sure that it is the right machine, then put its key into known_hosts",
            )
        return RemoteError(
            f"{there}: nothing is known of this host's key",
            hint="log in once with `ssh` and compare the fingerprint, or name a file that has the"
            " key with --known-hosts",
        )


def _configured(there: Endpoint) -> list[Path]:
    """Return the files that the client's settings name for this host."""
    options = asyncssh.SSHClientConnectionOptions(
        host=there.host,
        port=there.port,
        username=there.user or (),
        client_keys=None,
        agent_path=None,
        config=(),  # the usual file
    )
    names: Any = options.known_hosts  # from a settings file: names, or None for `none`
    return [Path(name).expanduser() for name in names or ()]
