"""What this machine has of what Shunt needs: library, kernel, privileges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shunt.dataplane.kernel import OLDEST, ProgramType
from shunt.dataplane.libbpf import libbpf
from shunt.errors import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

# Bits of /proc/PID/status, from <linux/capability.h>, and what each is for.
_CAPABILITIES = {
    "CAP_NET_ADMIN": (12, "attaches programs and changes neighbours"),
    "CAP_NET_RAW": (13, "sends gratuitous ARP and neighbour advertisements"),
    "CAP_SYS_ADMIN": (21, "opens maps by number and mounts the bpf filesystem"),
    "CAP_BPF": (39, "loads programs and makes maps"),
}


@dataclass(frozen=True, slots=True)
class Feature:
    """One thing needed: whether it is there, what was found, and what to do if not."""

    name: str
    present: bool
    found: str
    hint: str = ""


def report(root: Path = Path("/")) -> tuple[Feature, ...]:
    """Look for everything that Shunt needs.

    Args:
        root: where the machine's /proc and /sys are.
    """
    probes: tuple[Callable[[Path], Feature], ...] = (
        _library,
        _kernel,
        _types,
        _privileges,
        _xdp,
    )
    return tuple(probe(root) for probe in probes)


def require(root: Path = Path("/")) -> None:
    """Insist on everything that `report` looks for.

    Raises:
        HostError: the first that is missing, and what to do about it.
    """
    for feature in report(root):
        if not feature.present:
            raise HostError(f"{feature.name}: {feature.found}", hint=feature.hint)


def _library(_root: Path) -> Feature:
    try:
        return Feature("libbpf", present=True, found=f"version {libbpf().version}")
    except HostError as error:
        return Feature("libbpf", present=False, found=error.message, hint=error.hint or "")


def _kernel(root: Path) -> Feature:
    text = _read(root / "proc/sys/kernel/osrelease")
    numbers = [part for part in text.replace("-", ".").split(".")[:2] if part.isdigit()]
    release = tuple(int(part) for part in numbers)
    return Feature(
        "kernel",
        present=len(release) == 2 and release >= OLDEST,
        found=text or "release unknown",
        hint=f"Shunt needs Linux {OLDEST[0]}.{OLDEST[1]} or later.",
    )


def _types(root: Path) -> Feature:
    present = (root / "sys/kernel/btf/vmlinux").exists()
    return Feature(
        "kernel type information (BTF)",
        present=present,
        found="/sys/kernel/btf/vmlinux" if present else "/sys/kernel/btf/vmlinux is absent",
        hint="Use a kernel built with CONFIG_DEBUG_INFO_BTF; every distribution's is.",
    )


def _privileges(root: Path) -> Feature:
    status = _read(root / "proc/self/status")
    lines = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    effective = int(lines.get("CapEff", "0"), 16)
    missing = [name for name, (bit, _) in _CAPABILITIES.items() if not effective >> bit & 1]
    purposes = "; ".join(f"{name} {_CAPABILITIES[name][1]}" for name in missing)
    return Feature(
        "privileges",
        present=not missing,
        found=f"{', '.join(missing)} missing" if missing else ", ".join(_CAPABILITIES),
        hint=f"Run as root: {purposes}." if missing else "",
    )


def _xdp(_root: Path) -> Feature:
    """Asks the kernel itself, by a program of two instructions."""
    try:
        answer = libbpf().libbpf_probe_bpf_prog_type(ProgramType.XDP, None)
    except HostError as error:
        return Feature("XDP", present=False, found="unknown without libbpf", hint=error.hint or "")
    return Feature(
        "XDP",
        present=answer == 1,
        found="supported" if answer == 1 else "the kernel takes no XDP program",
        hint="Use a kernel built with CONFIG_BPF_SYSCALL and CONFIG_NET.",
    )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
