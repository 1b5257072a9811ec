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
        self._own, self._places = self._followed.own, self._followed.places
        for each in self._followed.held:
            daemon.events.held(each)
        self._groups = Groups(daemon.places.groups)
        self._failed: str | None = None
        self._refused: dict[str, str] = {}
        self._again: dict[str, float] = {}
        if missing := self.missing:
            log.warning("an interface of the dispatcher is not there", interfaces=sorted(missing))

    @property
    def missing(self) -> frozenset[str]:
        """Return the interfaces of the configuration that are not there."""
        return self._followed.missing

    @property
    def refused(self) -> Mapping[str, str]:
        """Return why an interface that is there has no program, by its name."""
        return self._refused

    @property
    def held(self) -> frozenset[LocalAddress]:
        """Return the cluster addresses that the host itself holds."""
        return self._followed.held

    async def adapt(self) -> float:
        """Follow what has changed since the last call; return the seconds until the next one.

        What cannot be done is tried again, and keeps nothing else from being done.
        """
        daemon, before = self._daemon, self._followed
        now = self._followed = Surroundings.look(daemon.engine.config)
        self._tell(before, now)
        await self._join(now)
        attached = await self._attached(now)
        if now.places != self._places or attached:
            self._places = now.places
            daemon.wake()
            daemon.announcer.take(daemon.addresses())
        if now.own != self._own:
            await daemon.work(daemon.engine.write_addresses)
            self._own = now.own
        loop = asyncio.get_running_loop()
        await daemon.work(daemon.interfaces.look, daemon.engine.plane, loop.time())
        return _LOOK

    def _tell(self, before: Surroundings, now: Surroundings) -> None:
        if gone := now.missing - before.missing:
            log.warning("an interface of the dispatcher is gone", interfaces=sorted(gone))
        for each in now.held - before.held:
            self._daemon.events.held(each)
        for each in before.held - now.held:
            self._daemon.events.held(each, released=True)

    async def _attached(self, now: Surroundings) -> bool:
        """Attach to what is there without a program, or with one that does not suit it.

        Each interface is tried by itself, and after a refusal not too often.

        Returns:
            Whether one has a program that had none.
        """
        daemon, clock = self._daemon, asyncio.get_running_loop().time
        new = now.unattached(await daemon.work(daemon.engine.attached))
        auto = daemon.engine.config.dispatcher.mode is Mode.AUTO
        unfit = daemon.interfaces.unfit if auto else NONE_UNFIT
        wanted = new | unfit.keys()
        for name in self._refused.keys() - wanted:
            del self._refused[name], self._again[name]
        if all(clock() < self._again.get(name, 0.0) for name in wanted):
            return False
        refused = await self._attach(wanted, unfit)
        for name, reason in refused.items():
            if self._refused.get(name) != reason:
                log.error("not attached; it is tried again", interface=name, reason=reason)
            self._refused[name], self._again[name] = reason, clock() + _AGAIN
        if done := new - refused.keys():
            log.info("an interface of the dispatcher was made anew", interfaces=sorted(done))
        for name in unfit.keys() - refused.keys():
            log.info("attached again, in generic mode", interface=name, reason=unfit[name])
        return bool(done)

    async def _attach(self, wanted: frozenset[str], unfit: Mapping[str, str]) -> dict[str, str]:
        """Return why not, by name, for those where it could not be."""
        daemon = self._daemon
        async with daemon.reloading.lock:
            # A reload may have held the lock, and named other interfaces: look at them now.
            config = daemon.engine.config
            there = Surroundings.look(config).interfaces
            settings = config.dispatcher
            links = tuple(there[name] for name in settings.interfaces if name in there)
            try:
                refused = await daemon.work(daemon.engine.attach_each, links, settings, unfit)
                await daemon.work(daemon.engine.detach_others, settings)
            except ShuntError as error:
                return dict.fromkeys(wanted, error.message)
        return {name: error.message for name, error in refused.items()}

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
