"""MariaDB counts who leaves before a log-in, and blocks him: checks must not be counted."""

from __future__ import annotations

import asyncio
import subprocess
import time
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.run import run
from tests.advisors.test_peers import Peer, _running

if TYPE_CHECKING:
    from shunt.lab.lab import Lab

pytestmark = pytest.mark.lab

OWN = "192.0.2.33"  # errors of loopback addresses are not counted, nor of those without a name
TABLES = Path("/usr/share/mysql")
USER = "flush privileges;\ncreate user 'somebody'@'%' identified by 'secret';\n"


def _bootstrap(folder: Path) -> None:
    (folder / "data" / "mysql").mkdir(parents=True)
    names = ("mysql_system_tables.sql", "mysql_system_tables_data.sql")
    tables = "".join((TABLES / name).read_text() for name in names)
    subprocess.run(
        ["mariadbd", "--no-defaults", "--bootstrap", "--user=root", f"--datadir={folder}/data"],
        input=f"use mysql;\n{tables}\n{USER}", text=True, check=True, capture_output=True,
    )  # fmt: skip


def _command(folder: Path) -> list[str]:
    server = (
        f"mariadbd --no-defaults --user=root --datadir={folder}/data --socket={folder}/socket "
        f"--port=3306 --bind-address={OWN} --max-connect-errors=2"
    )
    script = f"mount --bind {folder}/hosts /etc/hosts && exec {server}"
    return ["unshare", "--mount", "sh", "-c", script]


STRICT = Peer("mysql", _command, {"hosts": f"{OWN} dispatcher.example\n"}, prepare=_bootstrap)


def test_checks_do_not_make_a_server_block_the_dispatcher(lab: Lab) -> None:
    host = lab.host("peer")
    host.ip("address", "add", f"{OWN}/32", "dev", "lo")

    def ask() -> str:
        check, target = make("mysql", {}, port=3306), Target(ip_address(OWN), 3306)
        return host.call(lambda: asyncio.run(run(check, target))).words

    with _running(STRICT, host) as process:
        deadline = time.monotonic() + 60
        while "nothing listens" in (words := ask()):
            assert time.monotonic() < deadline, process.output()[-2000:]
            time.sleep(0.05)
        for _ in range(6):
            assert "greets as" in words
            assert "refuses shunt" in words
            words = ask()
