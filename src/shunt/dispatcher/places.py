"""Where a dispatcher keeps its things."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Places:
    """Directories of one dispatcher.

    `run` is for the lifetime of the machine, `state` outlives it, `pins` lies on a bpf filesystem
    mounted at `bpffs`.
    """

    run: Path
    state: Path
    bpffs: Path
    pins: Path

    @property
    def socket(self) -> Path:
        """Return the control socket's path."""
        return self.run / "control.sock"

    @property
    def root_socket(self) -> Path:
        """Return the path of the control socket that only root may use."""
        return root_socket(self.socket)

    @property
    def lock(self) -> Path:
        """Return the file that the daemon locks while it runs."""
        return self.run / "lock"

    @property
    def health(self) -> Path:
        """Return the file that says which servers are down, for the next daemon."""
        return self.run / "health.json"

    @property
    def groups(self) -> Path:
        """Return the file of the groups that interfaces are in for the cluster addresses."""
        return self.run / "groups.json"

    @property
    def overrides(self) -> Path:
        """Return the file of what an operator has changed at run time."""
        return self.state / "overrides.json"


def root_socket(path: Path) -> Path:
    """Return the path of the control socket for root only that is beside the one at `path`."""
    return path.with_name("root.sock")


def places(root: Path | None = None) -> Places:
    """Return the usual places, or all of them below one directory."""
    if root is None:
        bpffs = Path("/sys/fs/bpf")
        return Places(Path("/run/shunt"), Path("/var/lib/shunt"), bpffs, bpffs / "shunt")
    root = root.absolute()
    return Places(root / "run", root / "state", root / "bpf", root / "bpf" / "shunt")
