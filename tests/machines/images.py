"""Disks of small Debians, built once for each recipe and kept under `.cache/machines`."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILDER = Path(__file__).with_name("build-image.sh")
CACHE = Path(__file__).parents[2] / ".cache" / "machines"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a disk is made of. Every kernel among the packages can be booted."""

    suite: str
    packages: tuple[str, ...]


MANAGERS = ("nftables", "ifupdown", "network-manager", "netplan.io")
DISPATCHER = ("python3", "libbpf1")
BOOKWORM = Recipe(
    "bookworm",
    ("linux-image-cloud-amd64", "linux-image-6.12-cloud-amd64", *MANAGERS, *DISPATCHER),
)
"""Debian 12: its own kernel, 6.1, and the one that it has from Debian 13, 6.12."""
TRIXIE = Recipe("trixie", ("linux-image-cloud-amd64", *MANAGERS))
"""Debian 13: kernel 6.12, NetworkManager 1.52, systemd 257."""


@dataclass(frozen=True, slots=True)
class Image:
    """What the builder made: a disk, kernels that boot it, the key that opens it."""

    directory: Path

    @property
    def disk(self) -> Path:
        """Return the disk; machines get copies."""
        return self.directory / "disk.img"

    @property
    def key(self) -> Path:
        """Return root's private key."""
        return self.directory / "key"

    def kernel(self, version: str) -> tuple[Path, Path]:
        """Return the kernel of a version, as in "6.1", and its initrd."""
        (kernel,) = self.directory.glob(f"vmlinuz-{version}.*")
        return kernel, kernel.with_name(kernel.name.replace("vmlinuz", "initrd.img", 1))


def image(recipe: Recipe = BOOKWORM) -> Image:
    """Return a recipe's image, built if there is none; those of another builder are removed."""
    builder, wanted = _digest(BUILDER.read_bytes()), _digest(repr(recipe).encode())
    directory = CACHE / f"image-{builder}-{wanted}"
    with locked():
        if not directory.exists():
            for stale in set(CACHE.glob("image-*")) - set(CACHE.glob(f"image-{builder}-*")):
                shutil.rmtree(stale)
            fresh = directory.with_suffix(".new")
            command = [str(BUILDER), str(fresh), recipe.suite, *recipe.packages]
            subprocess.run(command, check=True, timeout=1500)
            fresh.rename(directory)
    return Image(directory)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


@contextmanager
def locked() -> Iterator[None]:
    """Let one process at a time change what the cache has."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
