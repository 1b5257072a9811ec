"""The advisors against the servers that people run, each in a namespace of the test's own."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.run import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shunt.advisors.dialogue import Verdict
    from shunt.lab.host import Host
    from shunt.lab.lab import Lab
    from shunt.lab.processes import Process

pytestmark = pytest.mark.lab

LOOPBACK = ip_address("127.0.0.1")
GONE = "nothing listens there"


@dataclass(frozen=True)
class Peer:
    """A server: what it is called with, in a folder of its own; and what the advisor is told."""

    advisor: str
    command: Callable[[Path], list[str]]
    files: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    words: str = ""
    prepare: Callable[[Path], None] = lambda _: None
    port: int = 0

    def check(self, host: Host) -> Verdict:
        made = make(
            self.advisor, {**self.settings, "at": "server", "interval": "1s"}, port=self.port
        )
        target = made.target(LOOPBACK, self.port)
        return host.call(lambda: asyncio.run(run(made, Target(LOOPBACK, target.port))))


def _belongs(folder: Path, user: str) -> None:
    found = pwd.getpwnam(user)
    os.chown(folder, found.pw_uid, found.pw_gid)


def _postgres_binary(name: str) -> str:
    return str(max(Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))


def _initdb(folder: Path) -> None:
    _belongs(folder, "postgres")
    command = [_postgres_binary("initdb"), "-D", str(folder / "data"), "--no-sync", "-A", "trust"]
    subprocess.run(command, check=True, capture_output=True, cwd=folder,
                   user="postgres", group="postgres")  # fmt: skip


def _certificate(folder: Path) -> None:
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=x"
    made = ["-out", str(folder / "cert.pem"), "-keyout", str(folder / "key.pem")]
    subprocess.run(["openssl", *words.split(), *made], check=True, capture_output=True)


def _openssl(folder: Path) -> list[str]:
    return ["openssl", "s_server", "-accept", "443", "-www", "-quiet", "-cert",
            str(folder / "cert.pem"), "-key", str(folder / "key.pem")]  # fmt: skip


def _grpc(kind: str) -> Callable[[Path], list[str]]:
    script = Path(__file__).with_name("grpc_peer.py")
    return lambda folder: [sys.executable, str(script), kind, str(folder)]


def _kamailio(folder: Path) -> list[str]:
    return ["kamailio", "-DD", "-E", "-f", str(folder / "conf"), "-Y", str(folder)]


def _jamnntpd(folder: Path) -> list[str]:
    files = [("-" + name, str(folder / name)) for name in ("groups", "allow", "users")]
    return ["jamnntpd", "-port", "119", *(word for pair in files for word in pair),
            "-xlat", "/etc/jamnntpd.xlat", "-logfile", str(folder / "log")]  # fmt: skip


def _telnetd(folder: Path) -> list[str]:
    """One telnetd for each connection; without rights, or it would write in the host's wtmp."""
    return ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups",
            "socat", "TCP-LISTEN:2323,bind=127.0.0.1,reuseaddr,fork",
            f"EXEC:/bin/sh {folder}/session,nofork"]  # fmt: skip


DOVECOT = """\
protocols = imap pop3
base_dir = {folder}/run
log_path = {folder}/log
listen = 127.0.0.1
ssl = no
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}
}}
"""
EXIM = """\
primary_hostname = mail.example
spool_directory = {folder}
log_file_path = {folder}/%slog
local_interfaces = 127.0.0.1
daemon_smtp_ports = 25
"""
VSFTPD = """\
listen=YES
background=NO
anonymous_enable=YES
secure_chroot_dir={folder}
seccomp_sandbox=NO
"""
HAPROXY = """\
defaults
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend web
  mode http
  bind 127.0.0.1:8080
  http-request return status 200 content-type text/plain string "all is well"
"""
KAMAILIO = """\
children=1
tcp_children=1
log_stderror=yes
listen=udp:127.0.0.1:5060
listen=tcp:127.0.0.1:5060
loadmodule "sl.so"
request_route {{
  sl_send_reply("200", "all is well");
}}
"""
JAMNNTPD = {
    "groups": "local.news A 1:1/1 {folder}/news\n",
    "allow": "127.0.0.1 A A\n",
    "users": "",
}
TELNETD = {
    "session": 'exec telnetd -h -E "/bin/sh {folder}/login"\n',
    "login": "printf 'shop login: '\nread -r name\n",
}

PEERS = {
    "haproxy": Peer(
        "http", lambda folder: ["haproxy", "-db", "-f", str(folder / "conf")], {"conf": HAPROXY},
        {"request": "GET /", "body": "well$", "port": "8080"}, "200",
    ),
    "openssl": Peer("https", _openssl, prepare=_certificate, settings={"request": "GET /"},
                    words="TLSv1"),
    "openssl hello": Peer("ssl", _openssl, prepare=_certificate, words="hello"),
    "dnsmasq": Peer(
        "dns",
        lambda _: ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                   "--user=root", "--pid-file", "--address=/www.example/192.0.2.1"],
        settings={"query": "www.example", "record": "A", "expect": "NOERROR"}, words="NOERROR",
    ),
    "dnsmasq by tcp": Peer(
        "dns",
        lambda _: ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                   "--user=root", "--pid-file"],
        settings={"over": "tcp"}, words="REFUSED",
    ),
    "exim": Peer(
        "smtp", lambda folder: ["exim4", "-bdf", "-C", str(folder / "conf")], {"conf": EXIM},
        prepare=lambda folder: _belongs(folder, "Debian-exim"), words="mail.example",
    ),
    "dovecot imap": Peer(
        "imap", lambda folder: ["dovecot", "-F", "-c", str(folder / "conf")], {"conf": DOVECOT},
        words="CAPABILITY",
    ),
    "dovecot pop3": Peer(
        "pop3", lambda folder: ["dovecot", "-F", "-c", str(folder / "conf")], {"conf": DOVECOT},
        words="OK",
    ),
    "vsftpd": Peer(
        "ftp", lambda folder: ["vsftpd", str(folder / "conf")], {"conf": VSFTPD}, words="220",
    ),
    "slapd": Peer(
        "ldap",
        lambda folder: ["slapd", "-d", "0", "-h", "ldap://127.0.0.1/", "-f", str(folder / "conf")],
        {"conf": "include /etc/ldap/schema/core.schema\n"}, words="succeed",
    ),
    "redis": Peer(
        "redis", lambda folder: ["redis-server", "--save", "", "--dir", str(folder),
                                 "--requirepass", "secret"],
        settings={"password": "secret"}, words="PONG",
    ),
    "postgres": Peer(
        "postgres",
        lambda folder: ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
                        _postgres_binary("postgres"), "-D", str(folder / "data"), "-k", str(folder),
                        "-F"],
        prepare=_initdb, settings={"user": "postgres"}, words="asks",
    ),
    "mariadb": Peer(
        "mysql",
        lambda folder: ["mariadbd", "--no-defaults", "--skip-grant-tables", "--user=root",
                        f"--datadir={folder}", f"--socket={folder}/socket", "--port=3306",
                        "--bind-address=127.0.0.1"],
        words="MariaDB",
    ),
    "node_exporter": Peer(
        "prometheus", lambda _: ["prometheus-node-exporter", "--web.listen-address=127.0.0.1:9100"],
        words="load",
    ),
    "node_exporter memory": Peer(
        "prometheus", lambda _: ["prometheus-node-exporter", "--web.listen-address=127.0.0.1:9100"],
        settings={"expression":
                  "100 - 100 * node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes"},
        words="load",
    ),
    "grpc": Peer("grpc", _grpc("plain"), words="says SERVING"),
    "grpc by tls": Peer(
        "grpc", _grpc("tls"), prepare=_certificate,
        settings={"tls": "yes", "health_of": "shop.Orders"}, words="says SERVING (TLSv1.3, h2)",
    ),
    "kamailio": Peer("sip", _kamailio, {"conf": KAMAILIO}, words="200 all is well"),
    "kamailio by tcp": Peer("sip", _kamailio, {"conf": KAMAILIO}, {"over": "tcp"},
                            "200 all is well"),
    "jamnntpd": Peer("nntp", _jamnntpd, JAMNNTPD, words="200 Welcome"),
    "telnetd": Peer("telnet", _telnetd, TELNETD, words="negotiates", port=2323),
    "telnetd's prompt": Peer("telnet", _telnetd, TELNETD, {"expect": "login: $"},
                             "says 'shop login:'", port=2323),
}  # fmt: skip

REFUSING = {
    "grpc that is not well": Peer(
        "grpc", _grpc("plain"), settings={"health_of": "shop.Stock"}, words="says NOT_SERVING",
    ),
    "grpc without the service": Peer(
        "grpc", _grpc("plain"), settings={"health_of": "shop.Nobody"}, words="no service by that",
    ),
    "grpc without health": Peer("grpc", _grpc("bare"), words="no health service"),
    "grpc by tls, asked in the clear": Peer(
        "grpc", _grpc("tls"), prepare=_certificate, words="closed the connection",
    ),
    "kamailio": Peer(
        "sip", _kamailio, {"conf": KAMAILIO.replace("200", "503").replace("all is well", "full")},
        words="503 full",
    ),
    "jamnntpd": Peer(
        "nntp", _jamnntpd, {**JAMNNTPD, "allow": "192.0.2.1 A A\n"}, words="502 Access denied",
    ),
    "telnetd": Peer(
        "telnet", _telnetd, {**TELNETD, "login": "echo out of order\nsleep 0.5\n"},
        {"expect": "login: $"},
        "closed the connection after 'out of order'", port=2323,
    ),
}  # fmt: skip


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder that servers which drop their rights can enter."""
    made = Path(tempfile.mkdtemp(prefix="shunt-peer-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made)


@contextmanager
def _running(peer: Peer, host: Host) -> Iterator[Process]:
    with _folder() as folder:
        for file, text in peer.files.items():
            (folder / file).write_text(text.format(folder=folder))
        peer.prepare(folder)
        try:
            yield host.start(peer.command(folder))
        finally:
            host.stop_processes()


def _wait(peer: Peer, host: Host, process: Process, wanted: Callable[[Verdict], bool]) -> Verdict:
    deadline = time.monotonic() + 30
    while not wanted(verdict := peer.check(host)):
        assert time.monotonic() < deadline, (verdict.words, process.output()[-2000:])
        time.sleep(0.05)
    return verdict


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_up_while_it_runs_and_down_when_it_is_gone(lab: Lab, name: str) -> None:
    peer = PEERS[name]
    host = lab.host("peer")
    assert peer.check(host).up is False
    with _running(peer, host) as process:
        verdict = _wait(peer, host, process, lambda seen: seen.up is True)
        assert peer.words in verdict.words
        assert verdict.load is not None
    assert peer.check(host).up is False


@pytest.mark.parametrize("name", REFUSING)
def test_a_peer_that_answers_no_is_down_in_words(lab: Lab, name: str) -> None:
    peer = REFUSING[name]
    host = lab.host("peer")
    with _running(peer, host) as process:
        verdict = _wait(peer, host, process, lambda seen: GONE not in seen.words)
        assert verdict.up is False
        assert peer.words in verdict.words
