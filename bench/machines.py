"""What a packet costs in instructions, beside IPVS, nftables and plain forwarding.

Method: a machine is emulated one instruction at a time, and its clock counts them (QEMU's TCG with
`-icount`), so a figure is the same to half a per cent whatever else this machine does. Inside, two
namespaces and one veth pair (`bench.guest`): the sender's live frames come to the director as a
driver's do, the director is drop, a bare hop, Shunt's own daemon, the kernel's forwarding, IPVS in
direct routing, or DNAT by nftables; a sink counts what arrives. Each is measured over XDP_DROP in
the same wire. A figure of which not every frame arrived is refused. Instructions know no cache
misses, mispredictions, atomics or PCI: this guards against regressions and compares ways; what a
packet takes in time is for `bench.packets` to say.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.machines import software
from tests.machines.images import CACHE, Recipe, image

from bench.figures import Figure, Row
from bench.world import compiled
from shunt.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KERNEL = "6.12"
RECIPE = Recipe(
    "bookworm",
    (f"linux-image-{KERNEL}-cloud-amd64", "python3", "libbpf1", "ethtool", "ipvsadm", "nftables"),
)
WAYS = ("drop", "hop", "shunt", "shunt-all", "shunt-generic", "forward", "ipvs", "dnat")
QUICK = ("drop", "hop", "shunt", "ipvs")
FLOWS = ("1", "1000", "100000", "new")
NAMES = {
    "hop": "a program that writes the MACs",
    "shunt": "Shunt, settled slots",
    "shunt-all": "Shunt, `track: all`",
    "shunt-generic": "Shunt, generic mode",
    "forward": "plain forwarding",
    "ipvs": "IPVS, direct routing",
    "dnat": "nftables DNAT, requests only",
}
ROUNDS = 3  # the kernel's own timers fall into one window or another: the median counts
OVER_HOP, EQUAL, IPVS_RATIOS = 700, 0.01, (4.5, 4.5, 5.0)
_GUEST = Path(__file__).with_name("guest")
_QEMU = "qemu-system-x86_64"
_SECONDS = 3600
_INIT = """\
#!/bin/sh
for kind in proc sysfs; do mountpoint -q /${kind%fs} || mount -t $kind $kind /${kind%fs}; done
mount -t bpf bpf /sys/fs/bpf
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mkdir -p /run/netns /opt/shunt
mount -o ro /dev/vdb /opt/shunt
mount -o ro /dev/vdc /mnt
ip link set lo up
modprobe -a veth ip_vs ip_vs_wrr nf_tables nft_chain_nat nft_hash nft_nat
PYTHONPATH=/opt/shunt/packages:/mnt python3 -m guest ARGUMENTS
echo o > /proc/sysrq-trigger
sleep 60
"""


def run(*, quick: bool = False) -> list[Figure]:
    """Boot the machine once, and measure every way at every number of flows.

    Raises:
        LabError: the machine does not boot, or a way loses frames; its console says what.
    """
    taken = _measured(QUICK if quick else WAYS)
    base = taken["drop", "1"]
    rows = [_row(way, taken, base) for way in NAMES if (way, "1") in taken]
    title = f"Instructions per IPv4/TCP packet over XDP_DROP, Linux {KERNEL}"
    about = (
        f"XDP_DROP itself, with sender and wire: {base:.0f}; frames of 60 bytes, 64 to a poll, ten"
        " servers of equal weight; every frame that was sent arrived"
    )
    return [Figure(title, rows, [about, *_verdicts(taken, base)])]


def _row(way: str, taken: Mapping[tuple[str, str], float], base: float) -> Row:
    heads = {"1": "1 flow", "1000": "1,000", "100000": "100,000", "new": "new flows"}
    costs = {head: f"{taken[way, flows] - base:,.0f}" for flows, head in heads.items()}
    ratio = (taken[way, "1000"] - base) / (taken["shunt", "1000"] - base)
    return {"way": NAMES[way], **costs, "of Shunt, at 1,000": f"{ratio:.1f}"}


def _verdicts(taken: Mapping[tuple[str, str], float], base: float) -> list[str]:
    known = FLOWS[:3]
    own = [taken["shunt", flows] - taken["hop", flows] for flows in known]
    whole = [taken["shunt", flows] - base for flows in known]
    apart = max(whole) / min(whole) - 1
    ratios = [(taken["ipvs", flows] - base) / (taken["shunt", flows] - base) for flows in known]
    said = " / ".join(f"{ratio:.1f}" for ratio in ratios)
    least = " / ".join(f"{ratio:.1f}" for ratio in IPVS_RATIOS)
    holds = (
        max(own) <= OVER_HOP
        and apart <= EQUAL
        and all(ratio >= bar for ratio, bar in zip(ratios, IPVS_RATIOS, strict=True))
    )
    return [
        f"Shunt's program takes at most {max(own):.0f} over the bare hop (to hold: {OVER_HOP})",
        f"1 to 100,000 flows differ by {apart:.2%} (to hold: {EQUAL:.0%})",
        f"IPVS : Shunt is {said} (to hold: {least})",
        "all of that holds" if holds else "NOT ALL OF THAT HOLDS",
    ]


def _measured(ways: Sequence[str]) -> dict[tuple[str, str], float]:
    """Boot, and return nanoseconds of the machine's clock by way and number of flows."""
    if shutil.which(_QEMU) is None:
        raise LabError("qemu is not here", hint="setup/setup.sh machines")
    made_of = image(RECIPE)
    kernel, initrd = made_of.kernel(KERNEL)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix="bench-") as name:
        folder = Path(name)
        disk = _root_disk(made_of.disk, folder, ways)
        command = [
            *(_QEMU, "-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"),
            *("-cpu", "max", "-smp", "1", "-m", "2048", "-rtc", "clock=vm", "-nic", "none"),
            *("-kernel", str(kernel), "-initrd", str(initrd), "-append", _line()),
            *("-display", "none", "-serial", "stdio", "-monitor", "none", "-no-reboot"),
        ]
        for image_file in (disk, software.disk(folder), _payload(folder)):
            command += ["-drive", f"file={image_file},if=virtio,format=raw,cache=unsafe"]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                check=False,
                timeout=_SECONDS,
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired as error:
            console = (error.stdout or b"").decode(errors="replace")
            raise LabError("the machine did not end in time", hint=console[-2000:]) from error
    console = done.stdout.decode(errors="replace")
    if "figures end" not in console:
        raise LabError("the machine gave no figures", hint=console[-3000:])
    return read(console)


def read(console: str) -> dict[tuple[str, str], float]:
    """Return the figures of a console: nanoseconds by way and number of flows."""
    lines = re.findall(r"figure: (\{.*\})", console)
    figures: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return {(each["way"], each["flows"]): float(each["cost"]) for each in figures}


def _line() -> str:
    return (
        "root=/dev/vda rw console=ttyS0 quiet mitigations=off nokaslr net.ifnames=0 panic=-1"
        " init=/measure ip_vs.conn_tab_bits=12"
    )


def _root_disk(disk: Path, folder: Path, ways: Sequence[str]) -> Path:
    copy = folder / "root.img"
    subprocess.run(["cp", "--sparse=always", str(disk), str(copy)], check=True)
    init = folder / "measure"
    init.write_text(_INIT.replace("ARGUMENTS", " ".join([str(ROUNDS), *ways])))
    commands = folder / "debugfs"
    commands.write_text(f"write {init} measure\nset_inode_field measure mode 0100755\n")
    subprocess.run(
        ["debugfs", "-w", "-f", str(commands), str(copy)], check=True, capture_output=True
    )
    return copy


def _payload(folder: Path) -> Path:
    content = folder / "payload"
    shutil.copytree(_GUEST, content / "guest", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(compiled("wire"), content / "wire.bpf.o")
    made = folder / "payload.img"
    make = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-d", str(content), str(made), "8M"]
    subprocess.run(make, check=True, capture_output=True)
    return made
