"""In a laboratory: weights that follow agents, metrics, returns, and what would be left over."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from shunt.lab import daemon, nginx, topology
from tests.dispatcher.scene import eventually
from tests.dispatcher.seen import (
    OWN,
    WEB,
    WEIGHTS,
    checks,
    configuration,
    down,
    status,
    up,
    weights,
)

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.lab.daemon import Daemon
    from shunt.lab.host import Host
    from shunt.lab.nginx import Nginx
    from shunt.lab.topology import Topology

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

FOUR = topology.CLUSTERS[0]
ADVISOR = "advisor: {type: http, interval: 300ms, connect_timeout: 2s, receive_timeout: 2s}"
PORT = f"{{port: 80, servers: [a, b, c], {ADVISOR}}}"


@pytest.fixture
def webs(direct_return: Topology) -> dict[str, Nginx]:
    return nginx.start_all(direct_return)


def restart(standing: Topology, name: str) -> Nginx:
    return nginx.start(standing.servers[name], [(FOUR, 80)])


def alert(running: Daemon) -> str:
    """Return why no server can serve; empty while one can."""
    found: str = status(running)["health"]["services"][WEB]["alert"]
    return found or ""


def log(running: Daemon) -> str:
    return running.process.output()


AGENT = """\
import socket, sys
with socket.create_server((sys.argv[1], 7777)) as server:
    while True:
        connection, _ = server.accept()
        with connection:
            connection.sendall(open(sys.argv[2], "rb").read())
"""


def test_what_a_servers_agent_wishes_is_its_weight(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    server = direct_return.servers["c"]
    word = server.write("word", "75%\n")
    server.start([sys.executable, "-c", AGENT, OWN["c"], str(word)])
    metric = ", metric: {type: agent, port: 7777, interval: 200ms}"
    text = configuration(PORT, servers={"c": metric})
    running = daemon.start(direct_return.dispatcher, text)
    eventually(lambda: weights(running) == {"a": 10, "b": 20, "c": 22}, "75% was heard")
    for says, weight in (
        ("maint", 0), ("ready up", 22), ("drain", 0), ("ready up 50% #busy", 15), ("down", 0),
        ("up 100%", 30), ("stopped", 0), ("ready", 0), ("up", 30),
    ):  # fmt: skip
        word.write_text(f"{says}\n")
        eventually(lambda weight=weight: weights(running)["c"] == weight, f"{says!r} was heard")  # type: ignore[misc]  # mypy cannot infer it
    assert not alert(running)
    assert up(running) == {"a", "b", "c"}, "an agent's wish is no check of the service"
    running.shunt("down")


def export(server: Host, name: str, load: int) -> Path:
    """Start the exporter of a server with one metric of its own; return the metric's file."""
    folder = server.directory / "metrics"
    folder.mkdir()
    path = folder / "shop.prom"
    path.write_text(f'shop_load{{part="queue"}} {load}\n')
    process = server.start([
        "prometheus-node-exporter", "--collector.disable-defaults", "--collector.textfile",
        f"--collector.textfile.directory={folder}", f"--web.listen-address={OWN[name]}:9100",
    ])  # fmt: skip
    process.wait_until_says("istening on", timeout=20)
    return path


def test_weights_follow_an_exporters_metric(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    loads = {"a": 10, "b": 30, "c": 20}
    files = {name: export(direct_return.servers[name], name, loads[name]) for name in loads}
    expression = """'max(shop_load{part=~"queue|stock"})'"""
    metric = f", metric: {{type: prometheus, expression: {expression}, interval: 300ms}}"
    text = configuration(
        PORT,
        servers=dict.fromkeys(loads, metric),
        more="manager: {dynamic: yes, system: 100, interval: 1, smoothing: 1}\n",
    )
    running = daemon.start(direct_return.dispatcher, text)
    # Half the mean load, one and a half times the mean, and the mean: factors 1.5, 0.5 and 1.
    eventually(lambda: weights(running) == {"a": 15, "b": 10, "c": 30}, "loads became weights")
    assert "system 1.50" in checks(running)["a"]["reason"]
    files["b"].write_text('shop_load{part="stock"} 30\nshop_load{part="desk"} 99\n')
    files["a"].write_text('shop_load{part="queue"} 30\n')
    files["c"].write_text('shop_load{part="queue"} 30\n')
    eventually(lambda: weights(running) == WEIGHTS, "the same load everywhere changes nothing")
    running.shunt("down")


def test_min_servers_keeps_the_last_that_failed_and_says_so(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    text = configuration(PORT, more="manager: {min_servers: 60}\n")
    running = daemon.start(direct_return.dispatcher, text)
    eventually(lambda: up(running) == {"a", "b", "c"}, "all are checked")
    webs["a"].process.kill()
    eventually(lambda: weights(running) == {"a": 0, "b": 20, "c": 30}, "50 of 60 are enough")
    webs["c"].process.kill()
    eventually(lambda: down(running) == {"a", "c"}, "c was seen failing")
    eventually(lambda: "kept though failing" in log(running), "it was said")
    assert weights(running) == {"a": 0, "b": 20, "c": 30}, "20 of 60 are not"
    row = checks(running)["c"]
    assert not row["up"]
    assert "less than 60 %" in row["reason"]
    assert not alert(running)
    webs["a"] = restart(direct_return, "a")
    eventually(lambda: down(running) == {"c"}, "a is well again")
    eventually(lambda: weights(running) == WEIGHTS, "30 of 60 are not enough, either")
    webs["c"] = restart(direct_return, "c")
    eventually(lambda: up(running) == {"a", "b", "c"}, "c is well again")
    eventually(lambda: not checks(running)["c"]["reason"], "c is kept no more")
    running.shunt("down")


def test_a_server_that_returns_grows_to_its_weight(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    text = configuration(PORT, more="manager: {slow_start: 6s, interval: 1}\n")
    running = daemon.start(direct_return.dispatcher, text)
    eventually(lambda: up(running) == {"a", "b", "c"}, "all are checked")
    assert weights(running) == WEIGHTS, "a new daemon starts nobody slowly"
    webs["c"].process.kill()
    eventually(lambda: weights(running)["c"] == 0, "c is out")
    webs["c"] = restart(direct_return, "c")
    seen: list[tuple[int, str]] = []

    def grown() -> bool:
        weight = weights(running)["c"]
        seen.append((weight, checks(running)["c"]["reason"] or ""))
        return weight == WEIGHTS["c"]

    eventually(grown, "c has grown up")
    steps = [weight for weight, _ in seen]
    assert steps == sorted(steps)
    growing = {weight for weight in steps if 0 < weight < WEIGHTS["c"]}
    assert min(growing) <= 15
    assert len(growing) >= 2
    assert any("slow start" in reason for _, reason in seen)
    assert weights(running) == WEIGHTS
    running.shunt("down")


def events(running: Daemon) -> dict[str, Any]:
    found: dict[str, Any] = status(running)["events"]
    return found


def test_who_is_quiesced_cannot_serve_so_the_last_ones_death_is_an_alert(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    running = daemon.start(direct_return.dispatcher, configuration(PORT))
    eventually(lambda: up(running) == {"a", "b", "c"}, "all are checked")
    for name in "ab":
        running.shunt("server", "quiesce", name)
    eventually(lambda: weights(running) == {"a": 0, "b": 0, "c": 30}, "only c gets more")
    assert not alert(running)
    assert events(running)["managerAlert"] == 0
    webs["c"].process.kill()
    eventually(lambda: alert(running), "the alert was told")
    assert events(running)["managerAlert"] == 1
    assert weights(running) == {"a": 0, "b": 0, "c": 30}, "the operator's word stands"
    assert up(running) == {"a", "b"}
    running.shunt("server", "unquiesce", "b")
    eventually(lambda: weights(running) == {"a": 0, "b": 20, "c": 0}, "b serves, and c is out")
    eventually(lambda: not alert(running), "the alert is over")
    assert events(running)["managerClear"] == 1
    answers = {direct_return.client.run(["curl", "-s", f"http://{FOUR}/"]).stdout for _ in range(9)}
    assert answers == {"b\n"}
    running.shunt("down")
