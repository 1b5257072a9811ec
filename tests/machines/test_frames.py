"""A million random and mutated frames on the oldest kernel: its verifier and JIT are others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.machines import software
from tests.machines.images import image
from tests.machines.machine import NETWORK, Machine

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.lab import Lab

pytestmark = [pytest.mark.machines, pytest.mark.lab, pytest.mark.timeout(7200)]
FRAMES = 1_000_000
PATIENCE = 6000.0  # seconds: minutes on a quiet machine, for every instruction is emulated


def test_hostile_frames_on_the_oldest_kernel(lab: Lab, tmp_path: Path) -> None:
    wanted = "systemd.wants=systemd-networkd.service"
    more = [software.disk(tmp_path, tests=True)]
    machine = Machine(lab, image(), NETWORK, wanted, more_disks=more, memory=1536)
    try:
        machine.boot()
        software.install(machine)
        done = machine.ssh(
            f"cd {software.HOME}/checkout && SHUNT_FUZZ_FRAMES={FRAMES}"
            f" PYTHONPATH=.:src:{software.HOME}/packages PYTHONDONTWRITEBYTECODE=1"
            " python3 -m pytest -q -p no:cacheprovider --timeout=6000"
            " tests/bpf/test_hostile_frames.py",
            check=False,
            timeout=PATIENCE,
        )
        assert done.status == 0, done.stdout[-4000:] + done.stderr[-2000:]
        assert "3 passed" in done.stdout
    finally:
        machine.close()
