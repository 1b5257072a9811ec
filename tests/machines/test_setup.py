"""Setup in a fresh Debian: what it installs is not started at boot, what was there is as it was."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = [pytest.mark.machines, pytest.mark.timeout(1800)]
ROOT = Path(__file__).parents[2]
# As many kinds as there are of being started: units, scripts, timers, sockets, instances.
DAEMONS = (
    "nginx-light", "exim4-daemon-light", "dovecot-imapd", "vsftpd", "redis-server", "slapd",
    "openssh-server", "inetutils-telnetd", "prometheus-node-exporter", "postgresql",
)  # fmt: skip
MIRROR = r"""
cd /etc/apt
cat sources.list sources.list.d/*.sources sources.list.d/*.list 2>/dev/null |
    sed -n 's/^URIs: *\([^ ]*\).*/\1/p; s/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' |
    grep -E '/debian/?$' | head -n 1
"""


def output(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{words}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def enabled(tree: Path) -> set[str]:
    """Return what systemd itself calls enabled there, asked from outside."""
    listed = output(
        "systemctl",
        f"--root={tree}",
        "list-unit-files",
        "--state=enabled",
        "--no-legend",
        "--plain",
    )
    return {line.split()[0] for line in listed.splitlines()}


def start_links(tree: Path) -> set[str]:
    return {path.name for path in tree.glob("etc/rc[2-5S].d/S*")}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small Debian with a scheduler of its own that is started at boot."""
    tree = tmp_path / "debian"
    mirror = output("sh", "-c", MIRROR).strip()
    assert mirror, "no Debian mirror among this machine's package sources"
    output("debootstrap", "--variant=minbase", "--include=systemd-sysv,cron", "bookworm",
           str(tree), mirror)  # fmt: skip
    output("cp", "/etc/resolv.conf", f"{tree}/etc/resolv.conf")
    output("cp", "-r", str(ROOT / "setup"), f"{tree}/srv/setup")
    return tree


def test_what_setup_installs_is_not_started_at_boot(tree: Path) -> None:
    before, scripts = enabled(tree), start_links(tree)
    assert "cron.service" in before
    install = "set -euo pipefail; cd /srv; . setup/services.sh; . setup/packages.sh"
    chroot = ("unshare", "--mount", "--pid", "--fork", "chroot", str(tree), "bash", "-c")
    said = output(*chroot, f"{install}; install_packages {' '.join(DAEMONS)}")
    assert enabled(tree) == before
    assert start_links(tree) == scripts
    assert "not started at boot: " in said
    for name in ("nginx", "exim4", "dovecot", "vsftpd", "redis-server", "slapd", "ssh"):
        assert name in said
    assert not (tree / "usr/sbin/policy-rc.d").exists()
    # The packages do bring them: by hand, one is there again.
    output(*chroot, "systemctl enable nginx")
    assert enabled(tree) == before | {"nginx.service"}
