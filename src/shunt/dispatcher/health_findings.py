"""What is known of each server: by its checks, its metric, its connections, and the operator.

It gathers what comes in one by one and hands the manager the whole picture. No clock, no loop, no
events: `health.py` has those.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shunt.advisors.check import At
from shunt.advisors.wish import Wish
from shunt.balance.manager import Seen
from shunt.balance.manager_counts import Connections
from shunt.balance.manager_streak import Streak, after, combined
from shunt.dispatcher.health_jobs import METRIC, Key
from shunt.dispatcher.wishes import UNKNOWN
from shunt.model.config import MAX_ADVISORS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from shunt.advisors.check import Check
    from shunt.advisors.dialogue import Verdict
    from shunt.advisors.rounds import Job
    from shunt.balance.manager import Decision
    from shunt.dispatcher.health_counts import Reading
    from shunt.dispatcher.health_jobs import Rule
    from shunt.dispatcher.overrides import Override
    from shunt.dispatcher.wishes import Way
    from shunt.model.config import Config, Member, Service


class Findings:
    """What is known now.

    Attributes:
        streaks: what the checks say of each server in each service.
        machines: what each server's metric said last.
        untold: why a check could not be made, where the last one could not.
    """

    def __init__(self) -> None:
        self.streaks: dict[Key, Streak] = {}
        self.machines: dict[str, Verdict] = {}
        self.untold: dict[Key, str] = {}
        self._connections: dict[Key, Connections] = {}
        self._wishes: dict[Key, Wish] = {}
        self._parts: dict[Key, list[Streak]] = {}  # of each check, where a server has several

    def streak(self, key: Key) -> Streak:
        """Return what the checks say; of a server that was never checked, that it is up."""
        return self.streaks.get(key, Streak())

    def checked(
        self, key: Key, verdict: Verdict, check: Check, now: float, rule: Rule | None = None
    ) -> tuple[Streak, Streak]:
        """Take a verdict of a check that was made; return what holds before and after.

        Args:
            key: of the check.
            verdict: of it.
            check: that was made.
            now: seconds of the monotonic clock.
            rule: how the service's advisors make one state; None: there is one.
        """
        whole = key.whole
        before = self.streak(whole)
        verdict = self._as_it_holds(key, verdict)
        self.untold.pop(key, None)
        parts = [before] if rule is None else self._parts.get(whole, [])
        if rule is not None and len(parts) != len(rule.labels):
            parts = self._parts[whole] = [replace(before, known=False) for _ in rule.labels]
        parts[key.number] = after(
            parts[key.number], now, _words(verdict), good=bool(verdict.up), fall=check.fall,
            rise=check.rise, load=verdict.load, share=verdict.share,
        )  # fmt: skip
        self.streaks[whole] = (
            parts[0]
            if rule is None
            else combined(dict(zip(_unlike(rule.labels), parts, strict=True)), every=rule.every)
        )
        return before, self.streaks[whole]

    def measured(self, server: str, verdict: Verdict) -> tuple[Verdict | None, Verdict]:
        """Take what a server's metric says; return what it said before, and what holds now.

        An agent that falls silent has not taken its wish back.
        """
        before = self.machines.get(server)
        verdict = self._as_it_holds(Key(METRIC, server), verdict)
        if before is not None and verdict.up is not True and verdict.share is None:
            verdict = replace(verdict, share=before.share)
        self.machines[server] = verdict
        return before, verdict

    def _as_it_holds(self, key: Key, verdict: Verdict) -> Verdict:
        """Return an agent's verdict with what it said before and has not taken back."""
        if verdict.wish is None:
            return verdict
        wish = self._wishes[key] = verdict.wish.after(self._wishes.get(key, Wish()))
        words = verdict.words
        if (wish.up, wish.share) != (verdict.wish.up, verdict.wish.share):
            words = f"{words}; with what it said before: {wish.words}"
        return replace(verdict, up=wish.up, share=wish.share, words=words, wish=wish)

    def _untold(self, key: Key) -> dict[int, str]:
        """Return why checks of a server could not be made, by the number of the advisor."""
        if not self.untold:
            return {}
        each = {number: replace(key, number=number) for number in range(MAX_ADVISORS)}
        return {n: self.untold[one] for n, one in each.items() if one in self.untold}

    def _row_words(self, key: Key, untold: Mapping[int, str], rule: Rule | None) -> str:
        """Return what is known, or why nothing is: of each advisor by itself, where it matters.

        One that could not ask hides nothing of what another has seen.
        """
        streak = self.streak(key)
        if not untold:
            return streak.words
        if rule is None:
            return "; ".join(dict.fromkeys(untold.values()))
        parts = self._parts.get(key, [])
        if len(parts) != len(rule.labels):
            parts = [replace(streak, known=False) for _ in rule.labels]
        said = []
        for number, (label, part) in enumerate(zip(_unlike(rule.labels), parts, strict=True)):
            if number in untold:
                said.append(f"{label}: {untold[number]}")
            elif part.up == streak.up or not part.up:
                said.append(f"{label}: {part.words}" if part.known else part.words)
        return "; ".join(dict.fromkeys(said))

    def counted(self, reading: Reading, services: Iterable[Service]) -> None:
        """Take a reading of the counters."""
        counts = reading.by_key()
        for service in services:
            for member in service.members:
                key = Key(service.name, member.server)
                if key not in counts:
                    continue
                _, opened, closed = counts[key]
                before = self._connections.get(key, Connections(opened, closed, reading.at))
                self._connections[key] = before.read(opened, closed, reading.at, service.stale)

    def forget_all_but(self, config: Config) -> dict[Key, Streak]:
        """Forget what is not asked for any more; return what was known of servers that were down.

        Measured connections stay as long as the server belongs to the service.
        """
        members = {Key(s.name, m.server): s for s in config.services for m in s.members}
        asked = {key for key, service in members.items() if service.advisors}
        gone = {key: self.streaks.pop(key) for key in self.streaks.keys() - asked}
        checks = {
            Key(key.service, key.server, number)
            for key in asked
            for number in range(len(members[key].advisors))
        }
        for key in self.untold.keys() - checks:
            del self.untold[key]
        for key in self._parts.keys() - asked:
            del self._parts[key]
        for key in self._connections.keys() - members.keys():
            del self._connections[key]
        measured = {name for name, server in config.servers.items() if server.metric}
        for name in self.machines.keys() - measured:
            del self.machines[name]
        for key in self._wishes.keys() - checks - {Key(METRIC, name) for name in measured}:
            del self._wishes[key]
        return {key: streak for key, streak in gone.items() if not streak.up}

    def seen(
        self, service: Service, member: Member, override: Override, ways: Mapping[str, Way]
    ) -> Seen:
        """Return the whole picture of a server, for the manager."""
        key = Key(service.name, member.server)
        streak = self.streak(key)
        connections = self._connections.get(key)
        machine = self.machines.get(member.server)
        shares = [s for s in (streak.share, machine.share if machine else None) if s is not None]
        way = ways.get(member.server, UNKNOWN)
        by_hand = override.weight is not None
        return Seen(
            server=member.server,
            capacity=member.weight if override.weight is None else override.weight,
            up=streak.up,
            since=streak.since,
            words=streak.words,
            fixed=member.fixed or by_hand,
            active=connections.active if connections else None,
            new=connections.new if connections else None,
            port=streak.load,
            system=machine.load if machine and machine.up and machine.share is None else None,
            share=min(shares) if shares and not by_hand else None,
            barred=override.quiesced or not way.open,
            waiting=way.asked and not override.quiesced,
            earning=streak.earning,
        )

    def row(
        self, key: Key, decision: Decision, job: Job | None, rule: Rule | None = None
    ) -> dict[str, Any]:
        """Return what is known of a server and what was decided, for `shunt status`."""
        streak = self.streak(key)
        connections = self._connections.get(key)
        machine = self.machines.get(key.server)
        untold = self._untold(key)
        return {
            "up": streak.up if streak.known or not streak.up else None,
            "checked": streak.known,
            "untold": bool(untold),
            "at": None if job is None else str(At.CLUSTER if job.mark else At.SERVER),
            "words": self._row_words(key, untold, rule),
            "load": streak.load if streak.up else None,
            "falls": streak.falls,
            "weight": decision.weight,
            "reason": decision.reason,
            "factor": decision.factor,
            "parts": dict(decision.parts),
            "active": connections.active if connections else None,
            "new": connections.new if connections else None,
            "machine": _words(machine) if machine else None,
        }


def _unlike(labels: Sequence[str]) -> list[str]:
    """Return the labels, with a number where one stands twice."""
    return [
        label if labels.count(label) == 1 else f"{label} ({number})"
        for number, label in enumerate(labels, 1)
    ]


def _words(verdict: Verdict) -> str:
    return f"{verdict.words}; {verdict.warning}" if verdict.warning else verdict.words
