"""Follows what changes around a running dispatcher: interfaces, MACs, own addresses, groups."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from shunt.dispatcher.groups import Groups
from shunt.dispatcher.interfaces import NONE_UNFIT
from shunt.dispatcher.surroundings import Surroundings
from shunt.errors import ShuntError
from shunt.model.config import Mode
from shunt.network.groups import memberships_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.dispatcher.daemon import Daemon
    from shunt.network.addresses import LocalAddress

log = structlog.get_logger()

_LOOK = 1.0  # seconds between two looks
_AGAIN = 5.0  # seconds after an interface refused


class Following:
    """What a daemon has followed so far."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._followed = Surroundings.look(daemon.engine.config)
        for each in self._followed.held:
            daemon.events.held(each)
        self._groups = Groups(daemon.places.groups)
        self._failed: str | None = None
        self._attach_again = 0.0
        if missing := self.missing:
            log.warning("an interface of the dispatcher is not there", interfaces=sorted(missing))

    @property
    def missing(self) -> frozenset[str]:
        """Return the interfaces of the configuration that are not there."""
        return self._followed.missing

    @property
    def held(self) -> frozenset[LocalAddress]:
        """Return the cluster addresses that the host itself holds."""
        return self._followed.held

    async def adapt(self) -> float:
        """Follow what has changed since the last call; return the seconds until the next one."""
        daemon, before = self._daemon, self._followed
        now = Surroundings.look(daemon.engine.config)
        await self._join(now)
        if gone := now.missing - before.missing:
            log.warning("an interface of the dispatcher is gone", interfaces=sorted(gone))
        for each in now.held - before.held:
            daemon.events.held(each)
        for each in before.held - now.held:
            daemon.events.held(each, released=True)
        new = now.unattached(await daemon.work(daemon.engine.attached))
        unfit = await self._unfit()
        if (new or unfit) and not await self._attached(new, unfit):
            return _LOOK
        if now.own != before.own:
            await daemon.work(daemon.engine.write_addresses)
        if now.places != before.places:
            daemon.wake()
            daemon.announcer.take(daemon.addresses())
        self._followed = now
        return _LOOK

    async def _unfit(self) -> Mapping[str, str]:
        """Look at the interfaces; return those to be attached in generic mode, with reasons."""
        daemon, now = self._daemon, asyncio.get_running_loop().time()
        await daemon.work(daemon.interfaces.look, daemon.engine.plane, now)
        auto = daemon.engine.config.dispatcher.mode is Mode.AUTO
        return daemon.interfaces.unfit if auto else NONE_UNFIT

    async def _attached(self, new: frozenset[str], unfit: Mapping[str, str]) -> bool:
        """Attach to what is there, and return whether that is all; not too often where refused."""
        time = asyncio.get_running_loop().time
        if time() < self._attach_again:
            return False
        try:
            await self._attach(unfit)
        except ShuntError as error:
            log.error("not attached", interfaces=sorted(new | unfit.keys()), reason=error.message)  # noqa: TRY400 - said in one line
            self._attach_again = time() + _AGAIN
            return False
        if new:
            log.info("an interface of the dispatcher was made anew", interfaces=sorted(new))
        for name, reason in unfit.items():
            log.info("attached again, in generic mode", interface=name, reason=reason)
        return True

    async def _attach(self, unfit: Mapping[str, str]) -> None:
        daemon = self._daemon
        async with daemon.reloading.lock:
            # A reload may have held the lock, and named other interfaces: look at them now.
            config = daemon.engine.config
            there = Surroundings.look(config).interfaces
            settings = config.dispatcher
            links = tuple(there[name] for name in settings.interfaces if name in there)
            await daemon.work(daemon.engine.attach, links, settings, unfit)

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
