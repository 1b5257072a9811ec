"""Reads the configuration anew and puts it in force: wholly, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from shunt.config import load_located, warnings
from shunt.dispatcher import control, files, overrides, permissions
from shunt.dispatcher.checks import Demands, check_host
from shunt.dispatcher.health_jobs import check_advisors
from shunt.errors import ShuntError
from shunt.network.links import links

if TYPE_CHECKING:
    from shunt.config import Located
    from shunt.dispatcher.daemon import Daemon
    from shunt.dispatcher.overrides import Overrides
    from shunt.model.config import Config
    from shunt.network.links import Link

FIRST_ANSWERS = 0.5  # seconds that servers' MACs are waited for

log = structlog.get_logger()


class Reloading:
    """The one who changes a daemon's configuration.

    Attributes:
        lock: held by who changes what the program is attached to.
    """

    def __init__(self, daemon: Daemon) -> None:
        self.lock = asyncio.Lock()
        self._daemon = daemon

    def checked(self, demands: Demands = Demands.RELOAD) -> tuple[Located, tuple[Link, ...]]:
        """Return the file and its interfaces, once all that can be checked beforehand is right.

        Args:
            demands: what must be true of this host.

        Raises:
            ConfigError, HostError, UsageError: something is not, or others than root may change it.
        """
        located = load_located(self._daemon.file)
        permissions.refuse(located)
        files.refuse_unsafe(self._daemon.places.state)
        interfaces = check_host(located, demands)
        check_advisors(located)
        control.group_number(located.config.dispatcher.group)
        for problem in warnings(located):
            log.warning("configuration", where=problem.render(str(self._daemon.file)))
        return located, interfaces

    async def reload(self) -> dict[str, Any]:
        """Read the file again and apply it; one that is wrong, or refused, changes nothing.

        Raises:
            ConfigError, HostError, DataplaneError: the old state stays in force.
        """
        async with self.lock:
            located, interfaces = await asyncio.to_thread(self.checked)
            before = self._daemon.engine.config
            moved = await self._put_in_force(located.config, interfaces)
        services = len(located.config.services)
        log.info("reloaded", file=str(self._daemon.file), slots=moved)
        return {"moved": moved, "services": services, "before": len(before.services)}

    async def reload_quietly(self) -> None:
        """Do the same, and say in the log why not."""
        try:
            await self.reload()
        except ShuntError as error:
            log.error("reload refused; the old state stays", problem=error.message)  # noqa: TRY400 - said in one line

    async def _put_in_force(self, config: Config, interfaces: tuple[Link, ...]) -> int:
        daemon, engine = self._daemon, self._daemon.engine
        before, changes = engine.config, engine.overrides
        moved_before = engine.balancer.moved
        kept = changes.for_config(config)
        try:
            control.permit(daemon.places.socket, config.dispatcher.group)
            await daemon.work(engine.attach, interfaces, config.dispatcher)
            self._name(config, kept)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIRST_ANSWERS):
                    await daemon.watch.settled()
            await daemon.apply()
            # Not what this call moved: a neighbour's news may have had it done a moment ago.
            moved = engine.balancer.moved - moved_before
            await daemon.work(engine.write_addresses)
            if kept != changes:
                await daemon.work(overrides.write, daemon.places.overrides, kept)
        except ShuntError:
            await self._take_back(before, changes)
            raise
        daemon.health.take()
        daemon.neighbour_news.follow(daemon.watch.neighbours, config)
        daemon.watch.watch(engine.watched())  # who has left may still be needed
        if config.dispatcher == before.dispatcher:
            daemon.announcer.take(daemon.addresses())
            daemon.guardian.keep_to(daemon.addresses())
        else:
            daemon.attend()
        return moved

    def _name(self, config: Config, changes: Overrides) -> None:
        daemon = self._daemon
        daemon.engine.config, daemon.engine.overrides = config, changes
        daemon.events.hooks.folder = Path(config.dispatcher.hooks)
        daemon.watch.watch(daemon.engine.watched())

    async def _take_back(self, before: Config, changes: Overrides) -> None:
        """Put the configuration that was in force back, as far as the kernel lets us."""
        daemon, settings = self._daemon, before.dispatcher
        self._name(before, changes)
        daemon.neighbour_news.follow(daemon.watch.neighbours, before)
        try:
            control.permit(daemon.places.socket, settings.group)
            there = tuple(link for link in links() if link.name in settings.interfaces)
            await daemon.work(daemon.engine.attach, there, settings)
            await daemon.apply()
            await daemon.work(daemon.engine.write_addresses)
        except ShuntError as error:
            log.error("what was in force is not wholly back", reason=error.message)  # noqa: TRY400 - said in one line
            daemon.wake()
