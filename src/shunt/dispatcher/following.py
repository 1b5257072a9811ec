"""Follows what changes around a running dispatcher: interfaces, MACs, own addresses, groups."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from shunt.dispatcher.groups import Groups
from shunt.dispatcher.surroundings import Surroundings
from shunt.errors import ShuntError
from shunt.network.groups import memberships_for

if TYPE_CHECKING:
    from shunt.dispatcher.daemon import Daemon

log = structlog.get_logger()

_AGAIN = 5.0  # seconds after an interface refused


class Following:
    """What a daemon has followed so far."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._followed = Surroundings.look(daemon.engine.config)
        self._groups = Groups(daemon.places.groups)
        self._failed: str | None = None

    async def adapt(self) -> None:
        """Follow what has changed since the last call."""
        daemon, before = self._daemon, self._followed
        now = Surroundings.look(daemon.engine.config)
        await self._join(now)
        if gone := now.missing - before.missing:
            log.warning("an interface of the dispatcher is gone", interfaces=sorted(gone))
        if new := now.unattached(await daemon.work(daemon.engine.attached)):
            try:
                await self._attach(now)
            except ShuntError as error:
                log.error("not attached", interfaces=sorted(new), reason=error.message)  # noqa: TRY400 - said in one line
                await asyncio.sleep(_AGAIN)
                return
            log.info("an interface of the dispatcher was made anew", interfaces=sorted(new))
        if now.own != before.own:
            await daemon.work(daemon.engine.write_addresses)
        if now.places != before.places:
            daemon.wake()
            daemon.announcer.take(daemon.addresses())
        self._followed = now

    async def _attach(self, now: Surroundings) -> None:
        daemon = self._daemon
        async with daemon.reloading.lock:
            settings = daemon.engine.config.dispatcher
            there = tuple(
                now.interfaces[name] for name in settings.interfaces if name in now.interfaces
            )
            await daemon.work(daemon.engine.attach, there, settings)

    async def _join(self, now: Surroundings) -> None:
        """Hear solicitations for the cluster addresses; without it, some switches withhold them."""
        indices = [link.index for link in now.interfaces.values()]
        wanted = memberships_for(indices, self._daemon.addresses())
        failed = None
        try:
            await self._daemon.work(self._groups.follow, wanted)
        except ShuntError as error:
            failed = error.message
            if failed != self._failed:
                log.error("groups are not followed", reason=failed)  # noqa: TRY400 - said in one line
        self._failed = failed
