"""A machine under emulation (QEMU's TCG), on a segment of a laboratory, reached by SSH."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.lab.processes import Completed

BUILDER = Path(__file__).with_name("build-image.sh")
CACHE = Path(__file__).parents[2] / ".cache" / "machines"
ADDRESS = "10.9.0.5"
SHUNT = Path(sys.executable).with_name("shunt")
_QEMU = "qemu-system-x86_64"
_BOOT_SECONDS = 600  # patience, not a requirement: the emulated CPU may have to share ours


@dataclass(frozen=True)
class Image:
    """What the builder made: a disk, the kernel that boots it, the key that opens it."""

    directory: Path

    @property
    def disk(self) -> Path:
        """Return the disk; machines get copies."""
        return self.directory / "disk.img"

    @property
    def key(self) -> Path:
        """Return root's private key."""
        return self.directory / "key"


def image() -> Image:
    """Return the image, built if the builder has changed since the last time."""
    name = hashlib.sha256(BUILDER.read_bytes()).hexdigest()[:12]
    directory = CACHE / name
    if not (directory / "disk.img").exists():
        shutil.rmtree(CACHE, ignore_errors=True)
        fresh = CACHE / f"{name}.new"
        subprocess.run([str(BUILDER), str(fresh)], check=True, timeout=1500)
        fresh.rename(directory)
    return Image(directory)


@dataclass
class Machine:
    """One machine with its own copy of the disk."""

    lab: Lab
    made_of: Image
    files: Mapping[str, str]  # what is written on the disk before the first boot
    command_line: str  # what is added to the kernel's
    client: Host = field(init=False)

    def __post_init__(self) -> None:
        lab = self.lab
        lab.segment("lan")
        self.client = lab.host("client")
        self.client.ip("link", "set", "lo", "up")
        lab.join(self.client, "lan", addresses=["10.9.0.1/24"])
        self._switch = lab.segments["lan"]
        self._switch.ip("tuntap", "add", "tap0", "mode", "tap")
        self._switch.ip("link", "set", "tap0", "master", "br0", "up")
        self.directory = self.client.directory
        self._disk = CACHE / f"machine-{lab.ident}.img"
        self._prepare()

    def _prepare(self) -> None:
        """Copy the disk and write the files on it, without mounting anything."""
        subprocess.run(
            ["cp", "--sparse=always", str(self.made_of.disk), str(self._disk)], check=True
        )
        commands = []
        for number, (path, text) in enumerate(self.files.items()):
            source = self.client.write(f"file-{number}", text)
            mode = "0644" if path.endswith((".network", "interfaces")) else "0600"
            commands += [
                f"rm {path}",
                f"write {source} {path}",
                f"set_inode_field {path} mode 0100{mode[1:]}",
            ]
        script = self.client.write("debugfs", "\n".join(commands) + "\n")
        self._debugfs("-w", "-f", str(script))
        known = self._debugfs("-R", "cat /etc/ssh/ssh_host_ed25519_key.pub")
        self.known_hosts = self.client.write("known_hosts", f"{ADDRESS} {known}")
        self.key = self.client.write("key", self.made_of.key.read_text())
        self.key.chmod(0o600)

    def _debugfs(self, *arguments: str) -> str:
        done = subprocess.run(
            ["debugfs", *arguments, str(self._disk)], check=True, capture_output=True, text=True
        )
        return done.stdout

    def boot(self) -> None:
        """Switch the machine on, and wait until it is up."""
        if shutil.which(_QEMU) is None:
            raise RuntimeError("qemu is not here: setup/setup.sh machines")
        line = f"root=/dev/vda rw console=ttyS0 mitigations=off net.ifnames=0 {self.command_line}"
        self._switch.start(
            [
                *(_QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "768"),
                *("-kernel", str(self.made_of.directory / "vmlinuz")),
                *("-initrd", str(self.made_of.directory / "initrd.img"), "-append", line),
                *("-drive", f"file={self._disk},if=virtio,format=raw,cache=unsafe"),
                *("-netdev", "tap,id=lan,ifname=tap0,script=no,downscript=no"),
                *("-device", "virtio-net-pci,netdev=lan,mac=52:54:00:09:00:05"),
                *("-display", "none", "-serial", "stdio", "-monitor", "none"),
            ],
            log="console.log",
        )
        self.wait()

    def close(self) -> None:
        """Remove the disk; the laboratory ends the machine."""
        self._switch.stop_processes()
        self._disk.unlink(missing_ok=True)

    def ssh(self, line: str, *, check: bool = True) -> Completed:
        """Run a line of shell on the machine, as root."""
        options = [
            *("-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "BatchMode=yes"),
            *("-o", "ConnectTimeout=5", "-i", str(self.key)),
        ]
        command = ["ssh", "-F", "/dev/null", *options, f"root@{ADDRESS}", line]
        return self.client.run(command, check=check, timeout=120)

    def wait(self, other_than: str = "") -> str:
        """Wait until the machine has booted, another time than `other_than`; return which boot."""
        deadline = time.monotonic() + _BOOT_SECONDS
        while time.monotonic() < deadline:
            done = self.ssh("cat /proc/sys/kernel/random/boot_id", check=False)
            if done.status == 0 and done.stdout.strip() != other_than:
                self.ssh("systemctl is-system-running --wait", check=False)
                return done.stdout.strip()
            time.sleep(0.5)
        log = self._switch.directory / "console.log"
        raise AssertionError(f"the machine does not boot:\n{log.read_text()[-2000:]}")

    def reboot(self) -> None:
        """Reboot, and wait until the machine is up again."""
        before = self.ssh("cat /proc/sys/kernel/random/boot_id").stdout.strip()
        self.ssh("systemctl reboot", check=False)
        self.wait(other_than=before)

    def shunt(self, command: str, *more: str) -> Completed:
        """Run `shunt server COMMAND` for this machine, from the client."""
        options = ["--identity", str(self.key), "--known-hosts", str(self.known_hosts)]
        way = ["--via", f"ssh://root@{ADDRESS}", "--own", ADDRESS]
        words = [str(SHUNT), "server", command, *way, *options, "--timeout", "90", *more]
        environment = {**os.environ, "HOME": str(self.directory)}
        return self.client.run(words, check=False, timeout=300, env=environment)
