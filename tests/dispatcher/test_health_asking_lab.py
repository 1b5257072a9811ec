"""In a laboratory: whom the checks ask, what they find there, and how often they ask."""

from __future__ import annotations

import itertools
import signal
from typing import TYPE_CHECKING

import pytest

from shunt.lab import daemon, nginx, topology
from tests.dispatcher.scene import eventually
from tests.dispatcher.seen import OWN, checks, configuration, down, up, weights

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.host import Host
    from shunt.lab.processes import Process
    from shunt.lab.topology import Topology
    from shunt.model.addresses import Address

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

FOUR = topology.CLUSTERS[0]
PACE = "interval: 300ms, connect_timeout: 300ms, receive_timeout: 300ms"


def own(server: Host) -> Address:
    return server.interface("eth0").addresses[0].ip


def test_a_service_is_asked_where_the_advisor_says(direct_return: Topology) -> None:
    """What listens at the server's own address only is no service at the cluster address."""
    servers = direct_return.servers
    for name in "ab":
        nginx.start(servers[name], [(FOUR, 80)])
    nginx.start(servers["c"], [(own(servers["c"]), 80)])
    text = configuration(f"""
        {{port: 80, servers: [a, b, c], advisor: {{type: http, {PACE}}}}}
        {{port: 81, servers: [a, b, c], advisor: {{type: http, at: server, port: 80, {PACE}}}}}
    """)
    running = daemon.start(direct_return.dispatcher, text)
    at_own = f"{FOUR}:81/tcp"
    eventually(lambda: up(running) == {"a", "b"}, "c's wrong address was seen")
    eventually(lambda: up(running, at_own) == {"c"}, "own addresses were asked")
    assert {row["at"] for row in checks(running).values()} == {"cluster"}
    assert {row["at"] for row in checks(running, at_own).values()} == {"server"}
    eventually(lambda: weights(running) == {"a": 10, "b": 20, "c": 0}, "c is out")
    eventually(lambda: weights(running, at_own) == {"a": 0, "b": 0, "c": 30}, "only c is not")
    assert "nothing listens" in checks(running)["c"]["words"]
    running.shunt("down")


def dns(server: Host) -> Process:
    """Start a name server at the cluster address."""
    process = server.start([
        "dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
        "--user=root", "--pid-file", f"--listen-address={FOUR}", "--bind-interfaces",
    ])  # fmt: skip
    process.wait_until_says("started", timeout=20)
    return process


def test_ping_and_questions_by_udp_go_to_the_cluster_address_of_each_server(
    direct_return: Topology,
) -> None:
    servers = direct_return.servers
    names = {name: dns(servers[name]) for name in "ab"}
    text = configuration(f"""
        {{port: 53, protocol: udp, servers: [a, b, c], advisor: {{type: dns, {PACE}}}}}
        {{port: 80, servers: [a, b, c], advisor: {{type: ping, {PACE}}}}}
    """)
    running = daemon.start(direct_return.dispatcher, text)
    asked = f"{FOUR}:53/udp"
    eventually(lambda: up(running) == {"a", "b", "c"}, "all three answer ping")
    eventually(lambda: up(running, asked) == {"a", "b"}, "c, which has no name server, is out")
    assert "nothing listens" in checks(running, asked)["c"]["words"]
    assert {row["at"] for row in checks(running, asked).values()} == {"cluster"}

    names["b"].signal(signal.SIGSTOP)
    eventually(lambda: down(running, asked) == {"b", "c"}, "b's silence was seen")
    assert "answer" in checks(running, asked)["b"]["words"]
    names["b"].signal(signal.SIGCONT)
    eventually(lambda: down(running, asked) == {"c"}, "b came back")

    topology.drop_alias(servers["a"])
    eventually(lambda: down(running) == {"a"}, "a does not answer ping at the cluster address")
    eventually(lambda: down(running, asked) == {"a", "c"}, "nor questions")
    direct_return.dispatcher.run(["ping", "-c1", "-W5", OWN["a"]])
    eventually(lambda: weights(running) == {"a": 0, "b": 20, "c": 30}, "a is out")
    running.shunt("down")


COUNTING = """\
#!/bin/sh
# A check that is itself a client: it connects to what it is told, unless it shall fail.
if [ -e {folder}/fail-$3 ]; then echo "$3 bad" >> {folder}/said; echo told to fail; exit 1; fi
curl -s -f -m 2 -o /dev/null "http://$1:$2/" || {{ echo "$3 lost" >> {folder}/said; exit 1; }}
echo "$3 good" >> {folder}/said
"""
EVENT = '#!/bin/sh\necho "$3 {name}" >> {folder}/said\n'


def script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def runs_of(said: Path, server: str) -> list[tuple[str, int]]:
    """Return what was said of a server, in order, and how often one after another."""
    words = [line.split()[1] for line in said.read_text().splitlines() if line[0] == server]
    return [(word, len(list(same))) for word, same in itertools.groupby(words)]


def test_a_command_asks_the_server_itself_and_its_failures_and_successes_are_counted(
    direct_return: Topology,
) -> None:
    webs = {
        name: nginx.start(server, [(FOUR, 80), (own(server), 80)])
        for name, server in direct_return.servers.items()
    }
    folder = direct_return.dispatcher.directory
    script(folder / "check", COUNTING.format(folder=folder))
    hooks = folder / "hooks"
    hooks.mkdir()
    for name in ("serverDown", "serverUp"):
        script(hooks / name, EVENT.format(name=name, folder=folder))
    check = f'type: exec, command: [{folder}/check, "%a", "%p", "%s"], retries: 2, rise: 3'
    text = configuration(
        f"{{port: 80, servers: [a, b, c], advisor: {{{check}, interval: 400ms}}}}",
        options=f"  hooks: {hooks}\n",
    )
    running = daemon.start(direct_return.dispatcher, text)
    eventually(lambda: up(running) == {"a", "b", "c"}, "the commands reach their servers")
    assert {row["at"] for row in checks(running).values()} == {"server"}

    fail, said = folder / "fail-b", folder / "said"
    fail.touch()
    eventually(lambda: "b serverDown" in said.read_text(), "b was taken out")
    assert "told to fail" in checks(running)["b"]["words"]
    eventually(lambda: weights(running)["b"] == 0, "b gets nothing")
    fail.unlink()
    eventually(lambda: "b serverUp" in said.read_text(), "b came back")
    eventually(lambda: weights(running)["b"] == 20, "b gets its share")
    webs["c"].process.kill()
    eventually(lambda: down(running) == {"c"}, "the command tells of a dead server")

    runs = runs_of(said, "b")
    words = [word for word, _ in runs]
    fell, rose = words.index("serverDown"), words.index("serverUp")
    assert words[:2] == ["good", "bad"]
    assert sum(count for word, count in runs[:fell] if word == "bad") >= 3
    assert sum(count for word, count in runs[fell:rose] if word == "good") >= 3
    assert runs_of(said, "a") == [("good", said.read_text().count("a good"))]
    running.shunt("down")
