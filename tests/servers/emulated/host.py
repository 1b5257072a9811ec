"""A host of a system that nobody here can boot: its files, its tools, its reboot."""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import socketserver
import subprocess
import threading
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Self

from shunt.model.config import OperatingSystem
from shunt.servers.runners.base import argv
from shunt.servers.steps import Command, Output
from tests.servers.emulated.kept import up
from tests.servers.emulated.state import RefusedError, State
from tests.servers.emulated.tools import TOOLS

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

NIC = {"aix": "en0", "hp-ux": "lan0", "netbsd": "wm0", "macos": "en0"}
SOLARIS = {OperatingSystem.SOLARIS10, OperatingSystem.SOLARIS11, OperatingSystem.ILLUMOS}
SWITCHES = {
    "freebsd": {"net.inet.ip.rfc1122_strong_es": "1", "net.link.ether.inet.proxyall": "0"},
    "openbsd": {"net.inet.ip.forwarding": "0", "net.inet6.ip6.forwarding": "0"},
    "netbsd": {"net.inet.ip.checkinterface": "1"},
    "macos": {"net.inet.ip.check_interface": "1"},
    "hp-ux": {"ip_strong_es_model": "1"},
    "solaris10": {"ip_strict_dst_multihoming": "1", "ip6_strict_dst_multihoming": "1"},
}
FOLDERS = (
    "etc/rc.d/rc2.d",
    "etc/rc.config.d",
    "etc/init.d",
    "etc/rc2.d",
    "sbin/init.d",
    "sbin/rc2.d",
    "Library/LaunchDaemons",
    "var/lib",
)
# What lies below the root of the host; the rest (/dev/null, /bin/sh) is this machine's.
_PATH = re.compile(r"(?<![\w/.])/(?=(?:etc|sbin/init\.d|sbin/rc2\.d|Library|var/lib)/)")


# Tools are asked over a socket: an interpreter for each of their calls would take most of the time.
_SHIM = """\
#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/{port}
printf '%s\\037' {tool} "$@" >&3
echo >&3
read -r status <&3
if [ "$status" = 0 ]; then cat <&3; else cat <&3 >&2; fi
exit "$status"
"""


class _Call(socketserver.StreamRequestHandler):
    """One call of a tool: its arguments come as a line, status and text go back."""

    server: _Server

    def handle(self) -> None:
        name, *words = self.rfile.readline().decode().rstrip("\n").split("\037")[:-1]
        state = self.server.state
        tool = next(tool for tool in TOOLS[state.system] if tool.__name__ == name)
        with self.server.turn:
            try:
                status, said = 0, tool(state, words)
            except RefusedError as error:
                status, said = 1, str(error)
        self.wfile.write(f"{status}\n{said}{chr(10) if said else ''}".encode())


class _Server(socketserver.ThreadingTCPServer):
    """Answers the tools of one host, on the loopback."""

    daemon_threads = True

    def __init__(self, state: State) -> None:
        super().__init__(("127.0.0.1", 0), _Call)
        self.state = state
        self.turn = threading.Lock()
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()


@dataclass
class EmulatedHost:
    """It is also the runner that gets into it: commands are done by this machine's shell."""

    system: OperatingSystem
    root: Path
    timeout: float = 60.0

    def __post_init__(self) -> None:
        for folder in (*FOLDERS, "bin"):
            (self.root / folder).mkdir(parents=True)
        self.state = State(str(self.system), self.root)
        self._server = _Server(self.state)
        for tool in TOOLS[self.state.system]:
            shim = self.root / "bin" / tool.__name__
            shim.write_text(_SHIM.format(port=self._server.server_address[1], tool=tool.__name__))
            shim.chmod(0o755)
        if self.system is OperatingSystem.HP_UX:
            self.write(
                "etc/rc.config.d/netconf",
                f'INTERFACE_NAME[0]="{self.nic}"\nIP_ADDRESS[0]="192.0.2.21"\n'
                'SUBNET_MASK[0]="255.255.255.0"\n',
            )
            for name in ("netconf-ipv6", "nddconf"):
                self.write(f"etc/rc.config.d/{name}", "")
        if self.system is OperatingSystem.FREEBSD:
            self.write("etc/rc.conf", 'hostname="s"\n')
        if self.system is OperatingSystem.AIX:
            self.state.store |= {"alias4": [], "alias6": []}
        if self.system in {OperatingSystem.SOLARIS11, OperatingSystem.ILLUMOS}:
            self.state.store |= {
                "objects": {f"{self.nic}/v4": "192.0.2.21/24"},
                "links": self._interfaces(),
                "props": {
                    "hostmodel-ipv4": "strong",
                    "hostmodel-ipv6": "strong",
                    "forwarding-ipv4": "off",
                },
            }
        self._start()

    def close(self) -> None:
        """End the server of the tools."""
        self._server.shutdown()
        self._server.server_close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    @property
    def nic(self) -> str:
        """Return the name of the card; Solaris and the BSDs name it by its driver."""
        return "net0" if self.system in SOLARIS else NIC.get(str(self.system), "em0")

    def _interfaces(self) -> dict[str, str]:
        virtual = ",IPv4,VIRTUAL" if self.system in SOLARIS else ""
        return {
            "lo0": f"UP,LOOPBACK,RUNNING,MULTICAST{virtual}",
            self.nic: "UP,BROADCAST,RUNNING,MULTICAST",
        }

    def _start(self) -> None:
        """Make what a boot makes before any boot file of Shunt's is read."""
        state = self.state
        state.interfaces = self._interfaces()
        state.addresses = [
            ("lo0", 0, "127.0.0.1", 8),
            ("lo0", 0, "::1", 128),
            (self.nic, 0, "192.0.2.21", 24),
            (self.nic, 0, "2001:db8::21", 64),
        ]
        state.routes = [
            ("0.0.0.0/0", "192.0.2.1", "UG", self.nic),
            ("::/0", "2001:db8::1", "UG", self.nic),
        ]
        state.unrouted = []
        state.switches = dict(SWITCHES.get(state.system, {}))

    def write(self, path: str, text: str) -> None:
        """Write a file of the host."""
        (self.root / path).write_text(text)

    async def run(self, command: Command) -> Output:
        """Return what the command gave back."""
        words = [self._here(word) for word in argv(command, netns=None)]
        return self._shell(words, self._here(command.stdin or ""))

    def sh(self, line: str) -> Output:
        """Run a line of shell on the host; it must succeed."""
        done = self._shell(["sh", "-c", self._here(line)], "")
        assert done.status == 0, (line, done)
        return done

    def script(self, path: str, job: str) -> Output:
        """Run a script of the host's."""
        text = self._here((self.root / path).read_text())
        return self._shell(["sh", "-s", job], text)

    def _here(self, text: str) -> str:
        return _PATH.sub(f"{self.root}/", text)

    def _shell(self, words: list[str], stdin: str) -> Output:
        env = {**os.environ, "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, check=False, env=env
        )
        return Output(done.stdout, done.stderr, done.returncode)

    def inventory(self) -> dict[str, Any]:
        """Return everything: the state, and every file with its text."""
        files = {
            str(path.relative_to(self.root)): path.read_text()
            for path in sorted(self.root.rglob("*"))
            if path.is_file() and path.parent != self.root / "bin"
        }
        state = asdict(self.state)
        return {**state, "addresses": sorted(state["addresses"]), "files": files}

    # What a boot does.

    def reboot(self) -> None:
        """Lose what is not kept, and execute the boot files as the system does."""
        self._start()
        getattr(self, f"_boot_{str(self.system).replace('-', '')}")()

    def _lines(self, path: str) -> list[str]:
        file = self.root / path
        return file.read_text().splitlines() if file.exists() else []

    def _sysctl_conf(self, word: str = "") -> None:
        for line in self._lines("etc/sysctl.conf"):
            if line.strip() and not line.startswith("#"):
                self.sh(f"sysctl {word} {shlex.quote(line)}")  # an unknown one fails the test

    def _boot_freebsd(self) -> None:
        """rc.conf(5): ifconfig_lo0_alias0 and on, up to the first number that is missing."""
        known = dict(line.split("=", 1) for line in self._lines("etc/rc.conf"))
        number = 0
        while value := known.get(f"ifconfig_lo0_alias{number}"):
            words = value.strip('"')
            self.sh(f"ifconfig lo0 {words} alias")
            number += 1
        self._sysctl_conf()

    def _boot_openbsd(self) -> None:
        """hostname.if(5): `inet alias ADDRESS MASK`, `inet6 alias ADDRESS PREFIXLEN`."""
        for line in self._lines("etc/hostname.lo0"):
            words = line.split()
            if words[:2] == ["inet", "alias"]:
                self.sh(f"ifconfig lo0 inet alias {words[2]} netmask {words[3]}")
            elif words[:2] == ["inet6", "alias"]:
                self.sh(f"ifconfig lo0 inet6 alias {words[2]} prefixlen {words[3]}")
            else:
                assert line.startswith("#"), line
        self._sysctl_conf()

    def _boot_netbsd(self) -> None:
        """ifaliases(5): `ADDRESS INTERFACE MASK`; ifconfig.if(5): the words of ifconfig."""
        for line in self._lines("etc/ifaliases"):
            if not line.startswith("#"):
                address, interface, mask = line.split()
                self.sh(f"ifconfig {interface} inet {address} netmask {mask} alias")
        for line in self._lines("etc/ifconfig.lo0"):
            if not line.startswith("#"):
                self.sh(f"ifconfig lo0 {line}")
        self._sysctl_conf("-w")

    def _boot_macos(self) -> None:
        """launchd.plist(5): the arguments of every daemon that has RunAtLoad."""
        for path in (self.root / "Library/LaunchDaemons").glob("*.plist"):
            daemon = plistlib.loads(path.read_bytes())
            assert daemon["RunAtLoad"] is True
            assert self._shell(daemon["ProgramArguments"], "").status == 0

    def _boot_aix(self) -> None:
        """The configuration method of lo0 takes alias4 and alias6 from the device database."""
        store = self.state.store
        for value in store.get("alias4", []):
            address, mask = value.split(",")
            self.sh(f"ifconfig lo0 alias {address} netmask {mask}")
        for value in store.get("alias6", []):
            self.sh(f"ifconfig lo0 inet6 {value} alias")
        self._scripts("etc/rc.d/rc2.d")

    def _boot_hpux(self) -> None:
        """netconf(4) and nddconf: numbered lists; then the start scripts of run level 2."""
        for file, name, address, mask, words in (
            ("netconf", "INTERFACE_NAME", "IP_ADDRESS", "SUBNET_MASK", "{i} {a} netmask {m} up"),
            (
                "netconf-ipv6",
                "IPV6_SECONDARY_INTERFACE_NAME",
                "IPV6_ADDRESS",
                "IPV6_PREFIX_LENGTH",
                "{i} inet6 {a} up prefix {m}",
            ),
        ):
            rows = self._numbered(f"etc/rc.config.d/{file}")
            for row in rows.values():
                if row[name] != self.nic:
                    self.sh("ifconfig " + words.format(i=row[name], a=row[address], m=row[mask]))
        for row in self._numbered("etc/rc.config.d/nddconf").values():
            device = f"/dev/{row['TRANSPORT_NAME']}"
            self.sh(f"ndd -set {device} {row['NDD_NAME']} {row['NDD_VALUE']}")
        self._scripts("sbin/rc2.d")

    def _numbered(self, path: str) -> dict[str, dict[str, str]]:
        rows: dict[str, dict[str, str]] = {}
        for line in self._lines(path):
            found = re.fullmatch(r'(\w+)\[(\d+)\]="?([^"]*)"?', line)
            assert found, line
            rows.setdefault(found[2], {})[found[1]] = found[3]
        return rows

    def _boot_solaris10(self) -> None:
        """hostname.lo0:n (ifconfig(1M), Files); then the start scripts of run level 2."""
        for pattern, family in (("hostname.lo0:*", ""), ("hostname6.lo0:*", "inet6 ")):
            for path in sorted((self.root / "etc").glob(pattern)):
                self.sh(f"ifconfig lo0 {family}addif {path.read_text().strip()}")
        self._scripts("etc/rc2.d")

    def _boot_solaris11(self) -> None:
        """ipadm(1M): all its objects, interfaces and properties are persistent."""
        state = self.state
        state.interfaces = dict(state.store["links"])
        for name, address in state.store["objects"].items():
            if not state.find(name.split("/")[0], ip_address(address.split("/")[0])):
                up(state, name, address)

    _boot_illumos = _boot_solaris11

    def _scripts(self, folder: str) -> None:
        for path in sorted((self.root / folder).glob("S*")):
            done = self._shell(["sh", str(path), "start"], "")
            assert done.status == 0, (path, done)
