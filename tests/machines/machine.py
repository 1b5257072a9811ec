"""A machine under emulation (QEMU's TCG), on a segment of a laboratory, reached by SSH."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.machines.images import CACHE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.lab.processes import Completed
    from tests.machines.images import Image

ADDRESS = "10.9.0.5"
NETWORK = {
    "/etc/systemd/network/20-eth0.network": "[Match]\nName=eth0\n"
    f"[Network]\nAddress={ADDRESS}/24\nAddress=2001:db8:9::5/64\nIPv6AcceptRA=no\n"
}
"""Files that give a machine its addresses by systemd-networkd."""
SHUNT = Path(sys.executable).with_name("shunt")
_QEMU = "qemu-system-x86_64"
_BOOT_SECONDS = 600  # patience, not a requirement: the emulated CPU may have to share ours
_CONNECT_SECONDS = 60  # the same, until SSH names itself


def _card(number: int) -> tuple[str, ...]:
    """Return QEMU's words for a card; the first one's MAC ends with 05."""
    device = f"virtio-net-pci,netdev=lan{number},mac=52:54:00:09:00:{number + 5:02x}"
    tap = f"tap,id=lan{number},ifname=tap{number},script=no,downscript=no"
    return ("-netdev", tap, "-device", device)


@dataclass
class Machine:
    """One machine with its own copy of the disk.

    It makes the laboratory's segment "lan" and stands there beside the host "client", which
    reaches it by SSH.
    """

    lab: Lab
    made_of: Image
    files: Mapping[str, str]  # what is written on the disk before the first boot
    command_line: str  # what is added to the kernel's
    kernel: str = "6.1"
    more_disks: Sequence[Path] = ()  # /dev/vdb and on, read only
    memory: int = 768  # MiB
    cards: int = 1  # eth0 and on, all in the same segment
    client: Host = field(init=False)

    def __post_init__(self) -> None:
        lab = self.lab
        lab.segment("lan")
        self.client = lab.host("client")
        self.client.ip("link", "set", "lo", "up")
        lab.join(self.client, "lan", addresses=["10.9.0.1/24"])
        self._switch = lab.segments["lan"]
        self._wire()
        self.directory = self.client.directory
        self._disk = CACHE / f"machine-{lab.ident}.img"
        self._prepare()

    def _wire(self) -> None:
        """Plug its cards into the segment."""
        for number in range(self.cards):
            self._switch.ip("tuntap", "add", f"tap{number}", "mode", "tap")
            self._switch.ip("link", "set", f"tap{number}", "master", "br0", "up")

    @staticmethod
    def mode(path: str) -> int:
        """Return the mode of a file that the test writes; secrets are for root alone."""
        return 0o644 if path.endswith((".network", "interfaces")) else 0o600

    def _prepare(self) -> None:
        """Copy the disk and write the files on it, without mounting anything."""
        subprocess.run(
            ["cp", "--sparse=always", str(self.made_of.disk), str(self._disk)], check=True
        )
        commands = []
        for number, (path, text) in enumerate(self.files.items()):
            source = self.client.write(f"file-{number}", text)
            commands += [
                f"rm {path}",
                f"write {source} {path}",
                f"set_inode_field {path} mode 0100{self.mode(path):o}",
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
        kernel, initrd = self.made_of.kernel(self.kernel)
        line = f"root=/dev/vda rw console=ttyS0 mitigations=off net.ifnames=0 {self.command_line}"
        self._switch.start(
            [
                *(_QEMU, "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2"),
                *("-m", str(self.memory), "-kernel", str(kernel)),
                *("-initrd", str(initrd), "-append", line),
                *("-drive", f"file={self._disk},if=virtio,format=raw,cache=unsafe"),
                *(
                    word
                    for disk in self.more_disks
                    for word in ("-drive", f"file={disk},if=virtio,format=raw,readonly=on")
                ),
                *(word for number in range(self.cards) for word in _card(number)),
                *("-display", "none", "-serial", "stdio", "-monitor", "none"),
            ],
            log="console.log",
        )
        self.wait()

    def close(self) -> None:
        """Remove the disk; the laboratory ends the machine."""
        self._switch.stop_processes()
        self._disk.unlink(missing_ok=True)

    def ssh(self, line: str, *, check: bool = True, timeout: float = 300) -> Completed:
        """Run a line of shell on the machine, as root."""
        options = [
            *("-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "BatchMode=yes"),
            *("-o", f"ConnectTimeout={_CONNECT_SECONDS}", "-i", str(self.key)),
        ]
        command = ["ssh", "-F", "/dev/null", *options, f"root@{ADDRESS}", line]
        return self.client.run(command, check=check, timeout=timeout)

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
