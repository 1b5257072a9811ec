"""Makes one check: opens the connection, carries the dialogue, measures, and gives up in time.

All that a server can do ends in a verdict, never in an exception. What keeps this host from asking
at all (no route, no descriptors) gives a verdict that is neither up nor down, and so does whatever
a plug-in does that it must not.
"""

from __future__ import annotations

import contextlib
import errno
import time
from typing import TYPE_CHECKING

from shunt.advisors.advisor import Transport
from shunt.advisors.carrier import Carrier, Readiness, TooLateError
from shunt.advisors.command import Commands
from shunt.advisors.dialogue import (
    AdvisorError,
    Dialogue,
    Listener,
    Verdict,
    WrongAnswerError,
    down,
    noted,
    shown,
    started,
)
from shunt.advisors.sockets import open_wire
from shunt.advisors.tls import secured

if TYPE_CHECKING:
    from shunt.advisors.advisor import Target
    from shunt.advisors.check import Check

_SERVER_SAYS_NO = {
    errno.ECONNREFUSED: "refuses connections: nothing listens there",
    errno.ECONNRESET: "resets the connection",
    errno.EPIPE: "closed the connection before it was asked",
    errno.ECONNABORTED: "aborts the connection",
    errno.ETIMEDOUT: "does not answer",
    errno.EHOSTUNREACH: "is unreachable: nobody answers for its address, or a router says so",
    errno.EHOSTDOWN: "is down, says the kernel",
    errno.EPROTO: "breaks the protocol",
}


class Checker:
    """Makes checks on the running event loop, many at a time."""

    def __init__(self) -> None:
        self._readiness = Readiness()
        self._commands = Commands()

    def close(self) -> None:
        """Make no more; none may be on its way."""
        self._readiness.close()

    async def check(
        self, check: Check, target: Target, *, mark: int = 0, listener: Listener | None = None
    ) -> Verdict:
        """Make a check once.

        Args:
            check: what to ask, and for how long.
            target: whom.
            mark: of the sockets; 0: none.
            listener: is told what is said and heard, within TLS.

        Returns:
            The verdict; its `load` is the milliseconds that the check took, unless the advisor
            measures another load.
        """
        begin = time.monotonic()
        try:
            verdict = await self._made(check, target, mark, listener)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a plug-in may raise anything
            return _broken(check, error)
        if verdict.up and verdict.load is None:
            return verdict.with_load((time.monotonic() - begin) * 1000)
        return verdict

    async def _made(
        self, check: Check, target: Target, mark: int, listener: Listener | None
    ) -> Verdict:
        dialogue = started(check.advisor.talk(target))
        heard_by = dialogue if listener is None else noted(dialogue, listener)
        try:
            if check.advisor.transport is Transport.PROCESS:
                verdict = await self._commands.run(check, target, heard_by)
            else:
                verdict = await self._network(check, target, heard_by, mark)
        except BaseException:  # what it raises at its end must not hide that this was cancelled
            with contextlib.suppress(Exception, SystemExit):
                dialogue.close()
            raise
        dialogue.close()
        return verdict

    async def _network(
        self, check: Check, target: Target, dialogue: Dialogue, mark: int
    ) -> Verdict:
        secure = check.advisor.secure
        spoken = secured(dialogue, secure, str(target.address)) if secure else dialogue
        try:
            for _ in range(check.connect_tries):
                carrier = self._carrier(check, target, spoken, mark)
                with contextlib.suppress(TooLateError):
                    return await carrier.carry(target, check.connect_timeout, check.receive_timeout)
                if carrier.connected:
                    return down(f"no full answer within {check.receive_timeout:g} s")
            return down(f"no connection within {check.connect_timeout * check.connect_tries:g} s")
        except WrongAnswerError as error:
            return down(str(error))
        except OSError as error:
            if error.errno in _SERVER_SAYS_NO:
                return down(_SERVER_SAYS_NO[error.errno])
            return Verdict(None, f"this host cannot ask: {error.strerror or error}")

    def _carrier(self, check: Check, target: Target, dialogue: Dialogue, mark: int) -> Carrier:
        advisor = check.advisor
        first = advisor.speaks_first or advisor.secure is not None
        wire = open_wire(target, advisor.transport, mark, speaks_first=first)
        return Carrier(self._readiness, wire, dialogue)


async def run(
    check: Check, target: Target, *, mark: int = 0, listener: Listener | None = None
) -> Verdict:
    """Make one check; for its arguments see `Checker.check`."""
    checker = Checker()
    try:
        return await checker.check(check, target, mark=mark, listener=listener)
    finally:
        checker.close()


def _broken(check: Check, error: Exception | SystemExit) -> Verdict:
    name = getattr(check.advisor, "name", type(check.advisor).__name__)
    words = str(error) if isinstance(error, AdvisorError) else repr(error)
    return Verdict(None, shown(f"the advisor {name} failed: {words}", 300))
