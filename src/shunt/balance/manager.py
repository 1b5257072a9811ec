"""Weights from counts, loads and health; pure. docs/manager.md has the formula and its reasons.

    (what is seen of each server, settings, what was decided before, now) -> what is decided

Begin with `decide`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shunt.model.config import Manager

INPUTS = ("active", "new", "port", "system")
_GREATEST = 65535


@dataclass(frozen=True, slots=True)
class Seen:
    """One server of one service, as it is seen now.

    Attributes:
        server: its name.
        capacity: the weight that the file or the operator gives it.
        up: the checks succeed, or there are none.
        since: when it became what it is, seconds of the monotonic clock; 0: it always was.
        words: of the last check.
        fixed: the manager leaves its weight alone.
        active: connections open now.
        new: connections opened per second.
        port: the advisor's load; any unit, the same for the whole service.
        system: the machine's load, 0 to 100.
        share: of its weight, as the server's agent wishes, 0 to 1 and more.
        barred: it gets no new connections, whatever is seen of it: quiesced, or without a MAC.
        waiting: only because its MAC is not known yet.
        earning: down, though its last check succeeded: it fell too often to be back by one.
    """

    server: str
    capacity: int
    up: bool = True
    since: float = 0.0
    words: str = ""
    fixed: bool = False
    active: float | None = None
    new: float | None = None
    port: float | None = None
    system: float | None = None
    share: float | None = None
    barred: bool = False
    waiting: bool = False
    earning: bool = False

    @property
    def able(self) -> bool:
        """Return whether it may get connections if its checks succeed."""
        return not self.barred and self.capacity > 0 and self.share != 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What a server gets.

    Attributes:
        weight: in the units of the file; 0 if it is out.
        up: it is in service, be it in spite of its failing.
        factor: of its capacity, smoothed, before rounding; 1 is neutral.
        parts: the factor of each input that was measured.
        reason: why the weight is not the file's; None: it is.
    """

    weight: int
    up: bool = True
    factor: float = 1.0
    parts: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """What a service gets.

    Attributes:
        servers: a decision for each, by name.
        alert: why nobody serves, and where traffic goes instead; None: somebody serves.
        kept: servers that are in service only because too few would be left.
        basis: what else than measurements went into it; another basis takes effect at once.
    """

    servers: Mapping[str, Decision]
    alert: str | None = None
    kept: frozenset[str] = frozenset()
    basis: tuple[object, ...] = ()


NOTHING = Decided(MappingProxyType({}))


def decide(
    seen: Sequence[Seen], settings: Manager, before: Decided, now: float, *, measured: bool = True
) -> Decided:
    """Return the weights of a service's servers.

    Args:
        seen: every server, in the order of the file.
        settings: the manager's.
        before: what was decided last; `NOTHING` at first.
        now: seconds of the monotonic clock.
        measured: the measurements are new. Else factors stay: smoothing goes by measurements, not
            by whatever else is decided meanwhile.
    """
    alert = bool(seen) and not any(
        (s.up and (s.able or s.waiting)) or (s.earning and s.able) for s in seen
    )
    spread = frozenset(s.server for s in seen if alert and s.able)
    kept = frozenset() if alert else _kept(seen, settings.min_servers)
    parts = _parts([s for s in seen if s.able and (s.up or s.server in kept)], settings)
    decisions: dict[str, Decision] = {}
    for server in seen:
        if server.server in spread:
            reason = f"down like all that could serve, so traffic is spread ({server.words})"
            decisions[server.server] = Decision(server.capacity, reason=reason)
        elif server.up or server.server in kept:
            found = parts.get(server.server, {})
            factor = _factor(server, settings, before, found if measured else None)
            decisions[server.server] = _decision(server, settings, factor, found, now, kept)
        else:
            decisions[server.server] = Decision(0, up=False, reason=_why_down(server))
    basis = _basis(seen, settings, now)
    if basis == before.basis and _insensitive(before.servers, decisions, settings.sensitivity):
        decisions = {name: _held(before.servers[name], new) for name, new in decisions.items()}
    words = _alert(spread, len(seen)) if alert else None
    return Decided(MappingProxyType(decisions), words, kept, basis)


def _why_down(server: Seen) -> str:
    """Return why a server is out: the last check's words, if that is what takes it out."""
    if server.earning:
        return f"returning: more checks must succeed in a row (the last one did: {server.words})"
    return server.words or "down"


def _alert(spread: frozenset[str], servers: int) -> str:
    if not spread:
        return "no server can take connections: new ones are dropped"
    if len(spread) == servers:
        return "every server is down: traffic is spread over all of them"
    return "every server that could take connections is down: traffic is spread over " + ", ".join(
        sorted(spread)
    )


def _kept(seen: Sequence[Seen], least: int) -> frozenset[str]:
    """Return the servers that are down and stay in service all the same.

    Where nobody is up, these are all whose last check succeeded: a server that must earn its return
    is better than one that fails. Where too few would be left, they are those, and then the ones
    that failed last, until the share is met.
    """
    wanted = sum(server.capacity for server in seen) * least / 100
    have = sum(server.capacity for server in seen if server.up and server.able)
    kept = [s for s in seen if not have and s.able and s.earning]
    have += sum(server.capacity for server in kept)
    for server in sorted(seen, key=lambda each: (each.earning, each.since), reverse=True):
        if have >= wanted:
            break
        if server.able and not server.up and server not in kept:
            kept.append(server)
            have += server.capacity
    return frozenset(server.server for server in kept)


def _factor(
    server: Seen, settings: Manager, before: Decided, parts: Mapping[str, float] | None
) -> float:
    """Return a server's smoothed factor; without new parts it is what it was."""
    if not settings.dynamic or server.fixed:
        return 1.0
    previous = before.servers.get(server.server)
    old = previous.factor if previous is not None and previous.up else 1.0
    return old if parts is None else _smoothed(old, _combined(parts, settings), settings)


def _parts(serving: Sequence[Seen], settings: Manager) -> dict[str, dict[str, float]]:
    """Return each server's factor for each input that counts and that all of them measured."""
    parts: dict[str, dict[str, float]] = {server.server: {} for server in serving}
    if not settings.dynamic:
        return parts
    for name in INPUTS:
        if not getattr(settings, name):
            continue
        loads = [_load(server, name) for server in serving]
        known = [load for load in loads if load is not None]
        mean = sum(known) / len(known) if known else 0.0
        for server, load in zip(serving, loads, strict=True):
            if load is not None and mean > 0:
                parts[server.server][name] = min(2.0, max(0.0, 2.0 - load / mean))
    return parts


def _load(server: Seen, name: str) -> float | None:
    """Return an input as a load that is equal for all servers if each carries its part."""
    value: float | None = getattr(server, name)
    if value is None or name in {"port", "system"}:
        return value
    return value / server.capacity if server.capacity else None


def _combined(parts: Mapping[str, float], settings: Manager) -> float:
    """Return the mean of the factors in the proportions; an input not measured is neutral."""
    total: float = sum(getattr(settings, name) * parts.get(name, 1.0) for name in INPUTS)
    return total / 100


def _smoothed(old: float, wanted: float, settings: Manager) -> float:
    return old + (wanted - old) / (settings.smoothing / 100)


def _stepped(factor: float, bound: int) -> float:
    """Return the factor as one of the bound's steps: 1/half, 2/half ... bound/half.

    Half the bound, rounded up, is a step: so the neutral factor stays what it is.
    """
    half = -(-bound // 2)
    return min(bound, max(1, round(factor * half))) / half


def _decision(
    server: Seen,
    settings: Manager,
    factor: float,
    parts: Mapping[str, float],
    now: float,
    kept: frozenset[str],
) -> Decision:
    multiple = _stepped(factor, settings.weightbound) if settings.dynamic else 1.0
    if server.fixed:
        multiple = 1.0
    growing = 1.0 if server.fixed else _growth(server, settings.slow_start, now)
    share = 1.0 if server.share is None else server.share
    weight = round(server.capacity * multiple * growing * share)
    if server.capacity and share > 0:
        weight = min(_GREATEST, max(1, weight))
    reasons = []
    if server.server in kept:
        reasons.append(
            f"fell too often to be back yet, and serves: too few would be left ({server.words})"
            if server.earning
            else f"failing ({server.words}), and kept: without it less than "
            f"{settings.min_servers} % of the capacity would be left"
        )
    if multiple != 1.0:
        told = ", ".join(f"{name} {value:.2f}" for name, value in parts.items())
        reasons.append(f"the manager's factor {multiple:.2f} ({told})")
    if growing < 1.0:
        reasons.append(f"slow start: {growing:.0%} after its return")
    if share != 1.0:
        reasons.append(f"its agent wishes {share:.0%} of it")
    return Decision(
        weight,
        factor=factor,
        parts=MappingProxyType(dict(parts)),
        reason="; ".join(reasons) or None,
    )


def _growth(server: Seen, time: int, now: float) -> float:
    """Return the part of its weight that a server has so long after its return, 0.1 to 1."""
    if not time or not server.up or server.since <= 0:
        return 1.0
    return min(1.0, max(0.1, (now - server.since) / time))


def _basis(seen: Sequence[Seen], settings: Manager, now: float) -> tuple[object, ...]:
    """Return all that must take effect at once: membership, health, wishes, settings."""
    return (
        settings,
        *(
            (
                s.server,
                s.capacity,
                s.up,
                s.earning,
                s.fixed,
                s.share,
                s.barred,
                _growth(s, settings.slow_start, now),
            )
            for s in seen
        ),
    )


def _insensitive(
    before: Mapping[str, Decision], after: Mapping[str, Decision], per_cent: int
) -> bool:
    """Return whether what would change is too little of the total weight to move slots for."""
    changed = sum(abs(new.weight - before[name].weight) for name, new in after.items())
    total = sum(old.weight for old in before.values())
    return changed * 100 <= per_cent * total


def _held(old: Decision, new: Decision) -> Decision:
    """Return the old weight, and why it is that; and the new factor to go on from."""
    reason = new.reason if new.weight == old.weight else old.reason
    return Decision(old.weight, old.up, new.factor, new.parts, reason)
