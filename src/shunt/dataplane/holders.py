"""Which processes hold a BPF program: read from /proc/*/fdinfo, which needs no library."""

from __future__ import annotations

from pathlib import Path

_KINDS = ("anon_inode:bpf-prog", "anon_inode:bpf_link")


def holders(program_id: int, proc: Path = Path("/proc")) -> tuple[str, ...]:
    """Return "name (pid N)" for every process with a descriptor of the program or a link to it.

    Processes that end meanwhile, or that may not be looked at, are left out.
    """
    found = []
    for process in sorted(proc.glob("[0-9]*"), key=lambda path: int(path.name)):
        try:
            if _holds(process, program_id):
                name = (process / "comm").read_text().strip()
                found.append(f"{name} (pid {process.name})")
        except OSError:
            continue
    return tuple(found)


def _holds(process: Path, program_id: int) -> bool:
    for descriptor in (process / "fd").iterdir():
        try:
            if str(descriptor.readlink()) not in _KINDS:
                continue
            text = (process / "fdinfo" / descriptor.name).read_text()
        except OSError:
            continue
        if ["prog_id:", str(program_id)] in (line.split() for line in text.splitlines()):
            return True
    return False
