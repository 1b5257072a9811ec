"""OpenSSH servers for tests: own keys, own configuration, in namespaces."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shunt.lab.host import Host

SSHD = shutil.which("sshd") or "/usr/sbin/sshd"
_CONFIG = """\
Port 22
HostKey {key}
AuthorizedKeysFile {authorized}
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
AllowTcpForwarding yes
"""


_USERS = """\
sshd:x:100:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534::/nonexistent:/bin/sh
"""


class Keys:
    """One host key for all servers (its making is what takes time), and one user's key."""

    def __init__(self, directory: Path) -> None:
        directory.chmod(0o755)  # a user's authorized keys are read as that user
        self.host = directory / "host"
        self.user = directory / "user"
        self.wrong = directory / "wrong"
        for key in (self.host, self.user, self.wrong):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True
            )
        self.authorized = directory / "authorized"
        self.authorized.write_text(self.public(self.user))
        self.authorized.chmod(0o644)

    @staticmethod
    def public(key: Path) -> str:
        """Return the public half, as a line."""
        return Path(f"{key}.pub").read_text()


def start(host: Host, keys: Keys, *, key: Path | None = None, sudo: bool = False) -> None:
    """Start a server in `host`, port 22; in its own view of /etc/passwd, `nobody` has a shell.

    With `sudo`, the same user may do everything by it.
    """
    Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    config = host.write(
        "sshd_config", _CONFIG.format(key=key or keys.host, authorized=keys.authorized)
    )
    passwd = host.write("passwd", "root:x:0:0::/root:/bin/sh\n" + _USERS)
    sudoers = host.write("sudoers", "nobody ALL=(ALL) NOPASSWD: ALL\n" if sudo else "")
    sudoers.chmod(0o440)
    binds = f"mount --bind {passwd} /etc/passwd && mount --bind {sudoers} /etc/sudoers"
    bind = f"{binds} && exec {SSHD} -D -e -f {config}"
    host.start(["unshare", "--mount", "sh", "-c", bind])
