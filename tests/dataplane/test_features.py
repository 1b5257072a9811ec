"""What the machine has, read from a machine made of files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.dataplane import features
from shunt.dataplane.libbpf import libbpf
from shunt.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

ALL = "000001ffffffffff"


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    for folder in ("proc/sys/kernel", "proc/self", "sys/kernel/btf"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "proc/sys/kernel/osrelease").write_text("6.1.0-18-amd64\n")
    (tmp_path / "proc/self/status").write_text(f"Name:\tshunt\nCapEff:\t{ALL}\n")
    (tmp_path / "sys/kernel/btf/vmlinux").touch()
    return tmp_path


@pytest.mark.bpf
def test_a_good_machine_passes(machine: Path) -> None:
    features.require(machine)
    assert [feature.present for feature in features.report(machine)] == [True] * 5


def test_a_kernel_without_xdp_is_named(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf(), "libbpf_probe_bpf_prog_type", lambda _kind, _options: 0)
    with pytest.raises(HostError, match="XDP: the kernel takes no XDP program"):
        features.require(machine)


def test_without_libbpf_every_line_still_says_something(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent() -> None:
        raise HostError("libbpf is not installed", hint="apt install libbpf1")

    monkeypatch.setattr(features, "libbpf", absent)
    found = {feature.name: feature for feature in features.report(machine)}
    assert not found["libbpf"].present
    assert "apt" in found["libbpf"].hint
    assert not found["XDP"].present
    assert found["kernel"].present


@pytest.mark.parametrize("release", ["5.15.0-91-generic", "6.0.19", "4.19.0", "6", "", "strange"])
def test_an_old_kernel_is_named(machine: Path, release: str) -> None:
    (machine / "proc/sys/kernel/osrelease").write_text(release)
    with pytest.raises(HostError, match=f"kernel: {release}") as raised:
        features.require(machine)
    assert "Linux 6.1 or later" in (raised.value.hint or "")


@pytest.mark.parametrize(
    "release", ["6.1.0-56-cloud-amd64", "6.12.117+deb12-cloud-amd64", "10.0.0"]
)
def test_from_the_oldest_on_every_kernel_will_do(machine: Path, release: str) -> None:
    (machine / "proc/sys/kernel/osrelease").write_text(release)
    found = {feature.name: feature for feature in features.report(machine)}
    assert found["kernel"].present


def test_a_kernel_without_types_is_named(machine: Path) -> None:
    (machine / "sys/kernel/btf/vmlinux").unlink()
    with pytest.raises(HostError, match="/sys/kernel/btf/vmlinux is absent"):
        features.require(machine)


@pytest.mark.parametrize(
    ("effective", "missing"),
    [
        ("0000000000000000", "CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN, CAP_BPF missing"),
        (f"{int(ALL, 16) & ~(1 << 39):016x}", "privileges: CAP_BPF missing"),
        (f"{int(ALL, 16) & ~(1 << 12):016x}", "privileges: CAP_NET_ADMIN missing"),
    ],
)
def test_each_missing_privilege_is_named(machine: Path, effective: str, missing: str) -> None:
    (machine / "proc/self/status").write_text(f"CapEff:\t{effective}\n")
    with pytest.raises(HostError, match=missing) as raised:
        features.require(machine)
    assert "Run as root" in (raised.value.hint or "")


def test_unreadable_privileges_are_none(machine: Path) -> None:
    (machine / "proc/self/status").unlink()
    with pytest.raises(HostError, match="CAP_BPF missing"):
        features.require(machine)
