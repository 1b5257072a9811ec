"""macOS: the alias is added anew at every boot by a launch daemon."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shunt.model.config import OperatingSystem
from shunt.servers.drivers.unix.bsd import BsdDriver
from shunt.servers.drivers.unix.driver import sysctl
from shunt.servers.drivers.unix.words import contents, has_line, write
from shunt.servers.steps import Command, Driver, Plan, Step

if TYPE_CHECKING:
    from shunt.servers.drivers.unix.observed import Host
    from shunt.servers.wish import Wish

LABEL = "shunt.cluster-addresses"
PLIST = f"/Library/LaunchDaemons/{LABEL}.plist"
CHECK = "net.inet.ip.check_interface"


class MacOs(BsdDriver):
    """macOS."""

    system = OperatingSystem.MACOS
    boot_files = (
        "/etc/rc.local",
        "/etc/IPAliases.conf",
        "/Library/LaunchDaemons/*.plist",
        "/Library/StartupItems/*/*",
    )
    switches = (
        sysctl(
            CHECK,
            "0",
            "the kernel drops packets for an address that is not on the interface they came in by",
            word="sysctl -w",
        ),
    )
    kept_words = contents(PLIST)

    def persistence(self, host: Host, wish: Wish) -> Plan:
        """Return the launch daemon, unless it says already all that it must."""
        if not wish.clusters:
            return Plan()
        lines = [f"<string>{self._boot(wish)}</string>"]
        if set(lines) <= host.kept:
            return Plan()
        content = _plist(lines[0])
        check = Command.sh(has_line(PLIST, lines[0]))
        step = Step(
            id=f"keep:{PLIST}",
            what="add the aliases at every boot through a launch daemon",
            why="a reboot takes them away otherwise",
            do=(write(PLIST, content),),
            check=(check,),
            undo=(Command(("rm", "-f", PLIST), file=PLIST),),
            note="it takes effect at the next boot; launchd runs it as root",
        )
        return Plan((step,))

    def _boot(self, wish: Wish) -> str:
        versions = {address.version for address in wish.clusters}
        switch = [f"sysctl -w {CHECK}=0"] if 4 in versions else []
        return "; ".join([*switch, *(self.add(address) for address in wish.clusters)])


def _plist(string: str) -> str:
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<plist version="1.0">
<dict>
<key>Label</key>
<string>{LABEL}</string>
<key>ProgramArguments</key>
<array>
<string>/bin/sh</string>
<string>-c</string>
{string}
</array>
<key>RunAtLoad</key>
<true/>
</dict>
</plist>
"""


DRIVER: Driver[Host] = MacOs()
