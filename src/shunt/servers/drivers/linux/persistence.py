"""What comes back after a reboot, and after a restart of whoever manages the network.

Silence lies in sysctl.d, which is read before any network is up. The alias is given to the manager
in charge; where that is none that knows of loopback addresses, or where more than an alias must
come back (a filter, a tunnel), one script does it all, silence first, started by ifupdown or by a
systemd unit.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from shunt.servers.drivers.linux import boot_settings, choice, files, kernel, networkd, silence
from shunt.servers.drivers.linux.choice import Manager
from shunt.servers.drivers.linux.commands import content_is, put_back, restore
from shunt.servers.drivers.linux.paths import on_segment
from shunt.servers.steps import Command, Finding, Plan, Severity, Step
from shunt.servers.wish import Silence, Wish

if TYPE_CHECKING:
    from shunt.servers.drivers.linux.observed import Host, Managers


_UNIT = files.UNIT_NAME
_PATIENCE = 15  # seconds until NetworkManager has taken a deleted profile from `lo`
_WHY = "without it the server drops out of the cluster at its next reboot"
_WHY_LOUD = (
    "after the next reboot, unless something else keeps it silent, the server answers ARP for the"
    " cluster address"
)


def plan_silence(host: Host, wish: Wish) -> Plan:
    """Return what keeps the settings over a reboot."""
    values = _kept_values(host, wish)
    if not values:
        return Plan()
    file = _File(files.SYSCTL, files.sysctl_text(values))
    # Silence, by its name: it outlives every alias, and is taken back after all of them.
    return Plan(_file_step(host, "silence", file, "keep these settings over a reboot", _WHY_LOUD))


def undone_at_boot(host: Host, wish: Wish) -> Plan:
    """Return which lines of other files undo the settings at boot."""
    values = _kept_values(host, wish)
    return Plan(findings=tuple(boot_settings.contradictions(host, wish, values)))


def _kept_values(host: Host, wish: Wish) -> dict[str, int]:
    """Return the settings that must hold after a reboot, too."""
    values: dict[str, int] = {}
    if not wish.persist or not wish.clusters4:
        return values
    if choice.method(host, wish) is Silence.SYSCTL and host.writable:
        values.update(silence.wanted_values(host, wish))
    return values | _loose(host, wish)


def _loose(host: Host, wish: Wish) -> dict[str, int]:
    """Return the reverse path filters that Shunt loosens, or has loosened before."""
    filtering = kernel.filtering(host)
    return {
        f"ipv4/conf/{link.name}/rp_filter": 2
        for link in host.wires
        if on_segment(link, wish)
        and (
            (host.effective("rp_filter", link) == 1 and link.name in filtering)
            or f"rp_filter:ipv4/conf/{link.name}/rp_filter" in host.record.ids
        )
    }


def plan_alias(host: Host, wish: Wish) -> Plan:
    """Return what brings the aliases (and filters and tunnels) back after a reboot."""
    if not wish.persist or not wish.clusters:
        return Plan()
    chosen = choice.manager(host, wish)
    if chosen is None:
        return Plan(findings=(_nobody(wish),))
    if chosen is Manager.NETWORK_MANAGER and host.managers.loopback_profile:
        return Plan(findings=_not_in_profile(host.managers, wish))
    what = f"have {chosen} bring the cluster addresses back"
    return Plan(
        tuple(
            step
            for file in _kept(host, wish, chosen)
            for step in _file_step(host, "persist", file, what, _WHY)
        )
    )


def obsolete(host: Host, wish: Wish) -> tuple[str, ...]:
    """Return the recorded steps whose files bring back what is not wanted, or is another's task.

    So it is after the host got another network manager, or when no address is left. Where nothing
    needs to last, a file may stay only as long as it says what is wanted.
    """
    chosen = choice.manager(host, wish)
    foreign = chosen is Manager.NETWORK_MANAGER and host.managers.loopback_profile
    right = {}
    if wish.clusters and chosen and not foreign:
        right = {_id("persist", file): file for file in _kept(host, wish, chosen)}
    return tuple(
        step
        for step in sorted(host.record.ids)
        if step.startswith("persist:")
        and (
            step not in right
            or (not wish.persist and host.files.get(right[step].path) != right[step].text)
        )
    )


def _id(kind: str, file: _File) -> str:
    """Return the id of a file's step: each path has its own, for each has an undo of its own."""
    return f"{kind}:{file.path}"


@dataclass(frozen=True, slots=True)
class _File:
    """A file that keeps something, and what its manager must be told when it changes."""

    path: str
    text: str
    mode: str = "644"
    after: tuple[Command, ...] = ()
    works: tuple[Command, ...] = ()  # checks, besides the content
    before_undo: tuple[Command, ...] = ()
    after_undo: tuple[Command, ...] = ()


def _kept(host: Host, wish: Wish, chosen: Manager) -> tuple[_File, ...]:
    """Return the files by which `chosen` brings the aliases back, in the order of writing."""
    if chosen is Manager.NETWORKD:
        path = networkd.path(host.managers)
        assert path is not None, "choice.manager has asked"
        text = files.HEAD + networkd.text(host.managers, wish.clusters)
        folder = () if path in networkd.OWN else (_rmdir(path),)
        return (_File(path, text, after_undo=folder),)
    if chosen is Manager.NETPLAN:
        told = (Command(("netplan", "generate")),)
        text = files.netplan_text(wish.clusters)
        forgotten = _if_there("netplan", "netplan generate")
        return (_File(files.NETPLAN, text, "600", after=told, after_undo=(forgotten,)),)
    if chosen is Manager.NETWORK_MANAGER:
        reload = Command(("nmcli", "connection", "reload"))
        # It would activate the profile by itself, some time: this waits until it has.
        up = Command(("nmcli", "-w", "60", "connection", "up", "shunt-lo"))
        forgotten = _if_there(
            "nmcli", "! systemctl is-active -q NetworkManager || nmcli connection reload"
        )
        text = files.network_manager_text(wish.clusters)
        after_undo = (forgotten, *_loopback_back(host))
        return (_File(files.PROFILE, text, "600", after=(reload, up), after_undo=after_undo),)
    if chosen is Manager.IFCFG:
        return tuple(
            _File(f"{files.IFCFG}{number}", files.ifcfg_text(address, number))
            for number, address in enumerate(wish.clusters4)
        )
    script = files.script_text(host, wish, guard=chosen is Manager.IFUPDOWN)
    if chosen is Manager.IFUPDOWN:
        executable = Command(("test", "-x", files.IF_UP))
        return (_File(files.IF_UP, script, "755", works=(executable,)),)
    return (
        _File(files.SCRIPT, script, "755", after_undo=(_rmdir(files.SCRIPT),)),
        _File(
            files.UNIT,
            files.UNIT_TEXT,
            after=(Command.sh(f"systemctl daemon-reload && systemctl enable --now -q {_UNIT}"),),
            works=(
                Command.sh(f"systemctl is-enabled -q {_UNIT} && systemctl is-active -q {_UNIT}"),
            ),
            before_undo=(Command.sh(f"systemctl disable --now -q {_UNIT} 2>/dev/null || true"),),
            after_undo=(_if_there("systemctl", "systemctl daemon-reload"),),
        ),
    )


def _loopback_back(host: Host) -> tuple[Command, ...]:
    """Return what gives `lo` its own addresses and routes back.

    NetworkManager takes them away with the profile, some of them or all, depending on its release.
    """
    active = "nmcli -t -f NAME connection show --active 2>/dev/null | grep -qx shunt-lo"
    gone = Command.sh(
        f"n=0; while {active} && [ $n -lt {_PATIENCE} ]; do sleep 1; n=$((n + 1)); done"
    )
    own = [(link, h) for link in host.links for h in link.addresses if h.address.is_loopback]
    addresses = (put_back(h, link.name) for link, h in own)
    # The kernel brings IPv6's route back with the address, and the routes of IPv4 not always.
    there = "! ip link show dev lo >/dev/null 2>&1"
    routes = (
        Command.sh(f"{there} || ip -4 route replace {shlex.join(route.words)}")
        for route in host.routes
        if route.table == "local" and route.source in {h.address for _, h in own}
        if route.destination.version == 4
    )
    return (gone, *addresses, *routes)


def _if_there(tool: str, line: str) -> Command:
    """Return a command that is content where its tool has been uninstalled since."""
    return Command.sh(f"if command -v {tool} >/dev/null 2>&1; then {line}; fi")


def _rmdir(path: str) -> Command:
    """Return the command that removes the folder of a file, unless there is more in it."""
    folder = shlex.quote(str(PurePosixPath(path).parent))
    return Command.sh(f"rmdir {folder} 2>/dev/null || true")


def _file_step(host: Host, kind: str, file: _File, what: str, why: str) -> tuple[Step, ...]:
    """Return the step that makes a file what it shall be, or none if it is, and is heeded."""
    before = host.files.get(file.path)
    if before == file.text:
        if file.path not in host.managers.unheeded:
            return ()
        before = None  # it is Shunt's own
    step = Step(
        id=_id(kind, file),
        what=f"{what} ({file.path})",
        why=why,
        do=(Command.write(file.path, file.text, mode=file.mode), *file.after),
        check=(content_is(file.path, file.text), *file.works),
        undo=(*file.before_undo, restore(file.path, before, mode=file.mode), *file.after_undo),
    )
    return (step,)


def _not_in_profile(managers: Managers, wish: Wish) -> tuple[Finding, ...]:
    """Return what somebody's own profile for `lo` lacks; only one is active on an interface."""
    wanted = [(a.version, f"{a}/{a.max_prefixlen}") for a in wish.clusters]
    missing = [(v, text) for v, text in wanted if text not in managers.profile_addresses]
    if not missing:
        return ()
    words = " ".join(f"+ipv{version}.addresses {text}" for version, text in missing)
    finding = Finding(
        Severity.ERROR,
        f"NetworkManager has a profile for lo already: {managers.loopback_profile}",
        "the cluster address is gone after a reboot, and a second profile would take away the"
        " addresses of this one",
        f"nmcli connection modify PROFILE {words}",
    )
    return (finding,)


def _nobody(wish: Wish) -> Finding:
    names = ", ".join(str(address) for address in wish.clusters)
    return Finding(
        Severity.ERROR,
        f"nothing brings {names} back after a reboot",
        "neither systemd nor ifupdown nor another manager known to Shunt runs here",
        "call what `shunt server script` prints with `apply` at the end of the boot, and check with"
        " --no-persist; so too where a container is made anew each time",
    )
