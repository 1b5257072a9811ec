"""A program in the kernel."""

from __future__ import annotations

from typing import Self

from shunt.dataplane.handle import Handle
from shunt.dataplane.info import ProgramInfo, program_info
from shunt.dataplane.libbpf import checked, libbpf


class Program(Handle):
    """A loaded program; it lives while a descriptor, a pin or an attachment holds it."""

    def __init__(self, fd: int) -> None:
        super().__init__(fd)
        self.name = program_info(fd).name

    @classmethod
    def by_id(cls, program_id: int) -> Self:
        """Open a program by the kernel's number.

        Raises:
            DataplaneError: there is none (ENOENT).
        """
        doing = f"open program {program_id}"
        return cls(checked(libbpf().bpf_prog_get_fd_by_id(program_id), doing))

    def info(self) -> ProgramInfo:
        """Ask the kernel: number, tag, owner, time and runs."""
        return program_info(self.fd)
