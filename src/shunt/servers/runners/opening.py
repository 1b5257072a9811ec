"""Which runner a server needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.errors import NoWayInError, UsageError
from shunt.model.config import OperatingSystem
from shunt.model.via import Via, Way

if TYPE_CHECKING:
    from shunt.model.config import Server
    from shunt.servers.runners.base import Access, Runner


def runner_for(server: Server, access: Access) -> Runner:
    """Return the runner for `server`, not connected yet.

    Raises:
        NoWayInError: Nobody is let in there.
        UsageError: The way makes no sense.
    """
    if server.via is None:
        raise NoWayInError(
            f"the configuration has no way into server {server.name}",
            hint=f"add `via: ssh://root@...`, or use `shunt server script {server.name}`",
        )
    try:
        via = Via.parse(server.via)
    except ValueError as error:
        raise UsageError(f"server {server.name} cannot be entered: {error}") from error
    if via.endpoint is None:
        from shunt.servers.runners.local import LocalRunner

        return LocalRunner(netns=server.netns, timeout=access.timeout)
    if via.way is Way.WINRM:
        from shunt.servers.runners.winrm import WinRmRunner

        return WinRmRunner(via.endpoint, access)
    from shunt.servers.runners.ssh import SshRunner

    unix = server.os not in {OperatingSystem.WINDOWS, OperatingSystem.WINDOWS2003}
    jump = via.jump or access.jump
    return SshRunner(via.endpoint, access, jump=jump, sudo=via.sudo, netns=server.netns, unix=unix)
