"""The driver that the Unix systems share: facts, reading, and the order of the plan.

The order: switches that would drop the cluster address, masks that are too wide, the alias, extra
routes, then all of it once more for the next boot.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from shunt.model.config import Forward, OperatingSystem
from shunt.servers import record
from shunt.servers.drivers.unix import boot, elsewhere, parse, plan, words
from shunt.servers.drivers.unix.observed import Held, Host
from shunt.servers.routes.recognise import read
from shunt.servers.routes.sight import command
from shunt.servers.steps import Command, Fact, Finding, Item, Output, Plan, Severity, Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shunt.model.addresses import Address
    from shunt.servers.drivers.unix.boot import Sweep
    from shunt.servers.wish import Wish


@dataclass(frozen=True, slots=True)
class Switch:
    """A setting of the kernel that decides whether the cluster address is heard.

    Attributes:
        name: Its name, the key among the settings.
        get: Words that print its value, and fail where the system has no such setting.
        put: Words that set it, with `{value}` in them.
        good: Values with which the cluster address is heard; the first one is set if need be.
        why: What happens otherwise.
        version: The family that it is about, 4 or 6.
    """

    name: str
    get: str
    put: str
    good: tuple[str, ...]
    why: str
    version: int = 4

    @property
    def exists(self) -> str:
        """Return words that are true where this release has it."""
        return f"{self.get} >/dev/null 2>&1"


def sysctl(name: str, good: str, why: str, *, version: int = 4, word: str = "sysctl") -> Switch:
    """Return a switch of the BSDs."""
    return Switch(name, f"sysctl -n {name}", f"{word} {name}={{value}}", (good,), why, version)


class UnixDriver(ABC):
    """One Unix system. A system's module says its words; this class knows the order."""

    system: OperatingSystem
    switches: tuple[Switch, ...] = ()
    interfaces = "ifconfig -a"  # lists every address
    loopback = "ifconfig lo0"  # lists the aliases
    arp = "arp -an"
    alive = "sysctl -n kern.ostype"  # succeeds where switches can be asked
    boot_files: tuple[str, ...] = ()  # globs of files where people put aliases
    adds_again = True  # adding an alias that is there changes nothing

    @abstractmethod
    def add(self, address: Address) -> str:
        """Return the words that add the alias."""

    @abstractmethod
    def drop(self, held: Held) -> str:
        """Return the words that take an address from its interface."""

    @abstractmethod
    def give_back(self, held: Held) -> str:
        """Return the words that put an address back as it was."""

    @property
    @abstractmethod
    def kept_words(self) -> str:
        """Return shell words that print everything that brings addresses back at boot."""

    @abstractmethod
    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return the steps that make it last over a reboot."""

    def sweep(self, address: Address) -> Sweep:
        """Return how the extra routes of an address are found and deleted, unseen."""
        return boot.bsd(address)

    def more(self, host: Host, wish: Wish) -> Plan:
        """Return steps and findings that only this system has."""
        del host, wish
        return Plan()

    def facts(self, wish: Wish) -> tuple[Fact, ...]:
        """Return the questions: addresses, routes of each family, ARP, switches, the next boot."""
        families = sorted({address.version for address in wish.clusters})
        asked = [switch for switch in self.switches if switch.version in families]
        return (
            Fact("interfaces", Command.sh(self.interfaces)),
            *(Fact(f"routes{v}", Command.sh(command(self.system, v))) for v in families),
            Fact("arp", Command.sh(f"{self.arp} && echo end")),
            Fact("settings", words.answers(((s.name, s.get) for s in asked), self.alive)),
            Fact("kept", Command.sh(f"{self.kept_words}\necho end")),
            elsewhere.question(self.boot_files, wish.clusters),
        )

    def observe(self, wish: Wish, outputs: Mapping[str, Output]) -> Host:
        """Return what the outputs say, or raise ParseError."""
        families = sorted({address.version for address in wish.clusters})
        texts = [parse.text_of(outputs, f"routes{version}") for version in families]
        return Host(
            held=parse.interfaces(outputs),
            listings=tuple(read(text, self.system) for text in texts),
            published=parse.published(outputs),
            settings=MappingProxyType(parse.settings(outputs)),
            kept=parse.kept(outputs),
            elsewhere=elsewhere.read(outputs),
            record=record.parse(outputs[record.NAME]),
        )

    def unseen(self, wish: Wish) -> Host:
        """Return a host as delivered: no alias, switches as likely to be wrong as right."""
        families = {address.version for address in wish.clusters}
        unknown = {s.name: "unknown" for s in self.switches if s.version in families}
        return Host(settings=MappingProxyType(unknown))

    def plan(self, observed: Host, wish: Wish) -> Plan:
        """Return what separates the host from the wish."""
        result = plan.fitness(observed, wish, self.drop) + self._method(wish)
        if any(finding.severity is Severity.ERROR for finding in result.findings):
            return result
        result += self._untold(observed, wish)
        result += Plan(tuple(self._switch(s, observed) for s in self._wrong(observed, wish)))
        result += self.more(observed, wish)
        for address in wish.clusters:
            result += Plan(self._alias(observed, address))
        result += plan.routes(
            observed.listings,
            wish,
            self.system,
            lambda v: command(self.system, v),
            self.interfaces,
        )
        if not wish.persist:
            return result
        result += self.persistence(observed, wish)
        return result + elsewhere.plan(observed.elsewhere, observed.kept, wish.clusters)

    def inventory(self, observed: Host) -> tuple[Item, ...]:
        """Return addresses and networks of the route tables; rows of neighbours come and go."""
        held = (
            Item(
                f"the address {one.address}/{one.prefix} on {one.interface}",
                frozenset((one.address,)),
                restore=self.give_back(one),
            )
            for one in observed.held
        )
        return (*held, *plan.networks(observed.listings))

    def _method(self, wish: Wish) -> Plan:
        if wish.forward is not Forward.ENCAP:
            return Plan()
        finding = Finding(
            Severity.ERROR,
            f"Shunt does not set up tunnels on {self.system}",
            "without the other end of the tunnel the server drops what the dispatcher sends",
            "use the forwarding method mac, or a Linux server",
        )
        return Plan(findings=(finding,))

    def _wrong(self, host: Host, wish: Wish) -> tuple[Switch, ...]:
        families = {address.version for address in wish.clusters}
        return tuple(
            switch
            for switch in self.switches
            if switch.version in families
            and host.settings.get(switch.name, switch.good[0]) not in switch.good
        )

    def _untold(self, host: Host, wish: Wish) -> Plan:
        """Say where this release has none of the switches that are known to decide something."""
        families = {address.version for address in wish.clusters}
        groups: dict[str, list[str]] = {}
        for switch in self.switches:
            if switch.version in families:
                groups.setdefault(switch.why, []).append(switch.name)
        return Plan(
            findings=tuple(
                Finding(
                    Severity.WARNING,
                    f"this host has no {' and no '.join(names)}",
                    f"so it cannot be told whether {why}",
                    "see from another machine whether it answers: shunt verify",
                )
                for why, names in groups.items()
                if not any(name in host.settings for name in names)
            )
        )

    def switch_step(self, file: str, switch: Switch, host: Host) -> Step:
        """Return the step that keeps a switch in a file; unseen, only where the release has it.

        A line for a setting that is not there is an error of every boot.
        """
        line = f"{switch.name}={switch.good[0]}"
        unseen = host.settings.get(switch.name) == "unknown"
        name = file.rsplit("/", 1)[1]
        return self.line_step(
            file,
            line,
            what=f"keep {line} in {name}" + (" where it exists" if unseen else ""),
            step=switch.name,
            where=switch.exists if unseen else "",
        )

    def _switch(self, switch: Switch, host: Host) -> Step:
        before = host.settings[switch.name]
        good = switch.good[0]
        is_good = f'test "`{switch.get}`" = {good}'
        exists = switch.exists
        put = switch.put.format(value=good)
        unknown = before == "unknown"
        back = switch.put.format(value=before)
        return Step(
            id=f"switch:{switch.name}",
            what=f"set {switch.name} to {good}" + (" where it exists" if unknown else ""),
            why=switch.why,
            do=(words.when(exists, put, asked=self.alive) if unknown else Command.sh(put),),
            check=(
                words.when(exists, is_good, asked=self.alive) if unknown else Command.sh(is_good),
            ),
            undo=() if unknown else (words.when(is_good, back, asked=switch.get),),
            note=f"it was {before}"
            if not unknown
            else "note its value before: it is not given back",
        )

    def _alias(self, host: Host, address: Address) -> tuple[Step, ...]:
        held = [one for one in host.holders(address) if one.silent]
        wide = [one for one in held if not one.is_host]
        steps = [
            plan.narrow(one, self.drop(one), self.give_back(one), self.loopback) for one in wide
        ]
        if len(wide) == len(held):
            steps.append(self.alias_step(address))
        return tuple(steps)

    def alias_step(self, address: Address) -> Step:
        """Return the step that adds the alias."""
        there = words.shown(address, self.loopback)
        drop = self.drop(Held("lo0", address, address.max_prefixlen))
        return Step(
            id=f"alias:{address}",
            what=f"add {address}/{address.max_prefixlen} to the loopback interface",
            why="the server must accept packets for the cluster address as its own",
            do=(self._add_once(there, self.add(address)),),
            check=(Command.sh(there),),
            undo=(words.when(there, drop, asked=self.loopback),),
        )

    def _add_once(self, there: str, add: str) -> Command:
        return Command.sh(add) if self.adds_again else words.unless(there, add)

    def replace_step(
        self, kept: str, *, do: Command, there: str, undo: Command, asked: str = ""
    ) -> Step:
        """Return the step that takes away what would bring an alias back under a wide mask.

        Args:
            kept: What it is, for people.
            do: The command that takes it away.
            there: Words that are true while it is there.
            undo: The command that puts it back.
            asked: The command whose output `there` looks at, if it is not a file.
        """
        return Step(
            id=f"unkeep:{kept}",
            what=f"no longer bring the address back as `{kept}`",
            why="the next boot would make the wide mask, and with it the extra route, again",
            do=(do,),
            check=(words.false_is_right(there, asked=asked),),
            undo=(undo,),
        )

    def line_step(self, file: str, line: str, *, what: str, step: str, where: str = "") -> Step:
        """Return the step that keeps a line in a file of the system.

        With `where`, only on a release on which these words are true.
        """
        do, there = words.add_line(file, line), words.has_line(file, line)
        return Step(
            id=f"keep:{step}",
            what=what,
            why="a reboot takes it away otherwise",
            do=(words.when(where, do.text, asked=self.alive) if where else do,),
            check=(words.when(where, there, asked=self.alive) if where else Command.sh(there),),
            undo=(words.drop_line(file, line),),
        )
