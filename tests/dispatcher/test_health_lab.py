"""In a laboratory: what is wrong at the cluster address is taken out, and comes back."""

from __future__ import annotations

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dataplane import probe
from shunt.dataplane.object import Object
from shunt.dataplane.tc import attach_tc
from shunt.lab import daemon, nginx, steady, topology

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shunt.lab.daemon import Daemon
    from shunt.lab.nginx import Nginx
    from shunt.lab.topology import Topology

pytestmark = [pytest.mark.lab, pytest.mark.bpf]

ADVISOR = "advisor: {type: http, request: /, interval: 300ms, connect_timeout: 300ms}"
SERVICE = "192.0.2.10:80/tcp"


def configured(standing: Topology, more: str = "", advisor: str = ADVISOR) -> str:
    """Return the laboratory's file with an advisor, and scripts that write down their names."""
    hooks = standing.dispatcher.directory / "hooks"
    hooks.mkdir(exist_ok=True)
    for name in ("serverDown", "serverUp", "managerAlert", "managerClear"):
        script = hooks / name
        script.write_text(f'#!/bin/sh\necho {name} "$@" "$SHUNT_SERVICE" >> {hooks}/said\n')
        script.chmod(0o755)
    text = standing.configuration().replace(
        "servers: [a, b, c]}", f"servers: [a, b, c], {advisor}}}"
    )
    return text.replace("  interface: eth0\n", f"  interface: eth0\n  hooks: {hooks}\n") + more


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def weights(running: Daemon, service: str = SERVICE) -> dict[str, int]:
    status = running.status()
    (found,) = (each for each in status["services"] if each["name"] == service)
    return {row["server"]: row["weight"] for row in found["servers"]}


def health(running: Daemon, server: str, service: str = SERVICE) -> dict[str, Any]:
    found: dict[str, Any] = running.status()["health"]["services"][service]["servers"][server]
    return found


def said(standing: Topology) -> list[str]:
    path = standing.dispatcher.directory / "hooks" / "said"
    return path.read_text().splitlines() if path.exists() else []


@pytest.fixture
def webs(direct_return: Topology) -> dict[str, Nginx]:
    return nginx.start_all(direct_return)


@pytest.fixture
def running(direct_return: Topology, webs: dict[str, Nginx]) -> Iterator[Daemon]:
    made = daemon.start(direct_return.dispatcher, configured(direct_return))
    until(lambda: all(health(made, server)["checked"] for server in "abc"), "never checked")
    yield made
    made.shunt("down")
    dispatcher = direct_return.dispatcher
    left = json.loads(dispatcher.ip("-json", "neighbour", "show") or "[]")
    assert not {str(address) for address in topology.CLUSTERS} & {row["dst"] for row in left}
    assert "shunt_probe" not in dispatcher.run(["tc", "filter", "show", "dev", "eth0"]).stdout


def test_a_killed_daemon_and_a_lost_alias_are_taken_out_and_come_back(
    direct_return: Topology, webs: dict[str, Nginx], running: Daemon
) -> None:
    assert weights(running) == {"a": 10, "b": 20, "c": 30}
    assert health(running, "a")["at"] == "cluster"
    webs["b"].process.kill()
    until(lambda: weights(running)["b"] == 0, "b was not taken out")
    assert "nothing listens" in health(running, "b")["reason"]
    topology.drop_alias(direct_return.servers["a"])
    until(lambda: weights(running)["a"] == 0, "a was not taken out")
    assert "no connection" in health(running, "a")["reason"]
    own = direct_return.servers["a"].interface("eth0").addresses[0].ip
    direct_return.client.run(["ping", "-c1", "-W1", str(own)])
    topology.add_alias(direct_return.servers["a"])
    nginx.start(direct_return.servers["b"], [(address, 80) for address in topology.CLUSTERS])
    until(lambda: weights(running) == {"a": 10, "b": 20, "c": 30}, "they did not come back")
    until(lambda: len(said(direct_return)) >= 8, "scripts were not run")
    assert f"serverDown 192.0.2.10 80 b 192.0.2.22 {SERVICE}" in said(direct_return)
    assert f"serverUp 192.0.2.10 80 a 192.0.2.21 {SERVICE}" in said(direct_return)


def test_one_of_several_advisors_is_enough_where_the_file_says_so(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    several = ADVISOR.replace("advisor: {", "advisor: [{").replace("}", "}, ") + (
        "{type: connect, port: 81, interval: 300ms}], advisors_required: any"
    )
    running = daemon.start(direct_return.dispatcher, configured(direct_return, advisor=several))
    until(lambda: "connect 81: refuses" in health(running, "b")["words"], "port 81 was not asked")
    until(lambda: "http: HTTP/1.1 200" in health(running, "b")["words"], "port 80 was not asked")
    assert weights(running) == {"a": 10, "b": 20, "c": 30}
    webs["b"].process.kill()
    until(lambda: weights(running)["b"] == 0, "b was not taken out")
    assert health(running, "b")["reason"].count("nothing listens") == 2
    running.shunt("down")


def test_all_down_is_spread_over_all_and_alerted(
    direct_return: Topology, webs: dict[str, Nginx], running: Daemon
) -> None:
    for web in webs.values():
        web.process.kill()
    until(lambda: running.status()["health"]["services"][SERVICE]["alert"], "no alert")
    assert weights(running) == {"a": 10, "b": 20, "c": 30}
    nginx.start(direct_return.servers["c"], [(address, 80) for address in topology.CLUSTERS])
    until(lambda: weights(running) == {"a": 0, "b": 0, "c": 30}, "no clear")
    until(lambda: any("managerClear" in line for line in said(direct_return)), "no script")
    assert any(line.startswith("managerAlert 192.0.2.10 80") for line in said(direct_return))


def test_a_connection_that_nobody_answers_hastens_the_check(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    lazy = ADVISOR.replace("300ms, connect", "1h, connect")
    running = daemon.start(direct_return.dispatcher, configured(direct_return, advisor=lazy))
    until(lambda: all(health(running, server)["checked"] for server in "abc"), "never checked")
    webs["c"].process.kill()

    def noticed() -> bool:
        url = ["curl", "-s", "-m1", "http://192.0.2.10/"]
        direct_return.client.run(url, check=False)
        return weights(running)["c"] == 0

    until(noticed, "the failing connections were not noticed")
    running.shunt("down")


def test_a_server_that_refuses_under_load_harms_only_those_who_come_meanwhile(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    """No check is due for an hour: what refuses users is what has it checked."""
    lazy = ADVISOR.replace("300ms, connect", "1h, connect")
    running = daemon.start(direct_return.dispatcher, configured(direct_return, advisor=lazy))
    until(lambda: all(health(running, server)["checked"] for server in "abc"), "never checked")
    over = threading.Event()
    with ThreadPoolExecutor() as pool:
        cluster = topology.CLUSTERS[0]
        load = pool.submit(steady.visits, direct_return.client, cluster, rate=50, over=over)
        try:
            time.sleep(0.5)  # some come before,
            begin = time.monotonic()
            webs["c"].process.kill()
            until(lambda: weights(running)["c"] == 0, "the refusals were not noticed")
            end = time.monotonic()
            time.sleep(0.5)  # and some after
        finally:
            over.set()
        made = load.result()
    assert made[0].begin < begin
    assert made[-1].begin > end
    failed = [visit for visit in made if visit.server is None]
    assert failed
    assert all(begin < visit.end and visit.begin < end for visit in failed)
    assert {visit.server for visit in made if visit.begin > end} == {"a", "b"}
    running.shunt("down")


def test_wrong_settings_are_refused_with_their_place(direct_return: Topology) -> None:
    text = configured(direct_return, advisor="advisor: {type: http, requets: /x, interval: soon}")
    path = direct_return.dispatcher.write("wrong.yaml", text)
    root = direct_return.dispatcher.directory / "wrong"
    refused = daemon.run_command(
        direct_return.dispatcher, "up", "-c", str(path), "--root", str(root), check=False
    )
    assert refused.status == 2
    assert "did you mean `request`?" in refused.stderr
    assert "advisor.interval" in refused.stderr


def test_one_check_by_hand_goes_to_the_server_that_is_named(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    running = daemon.start(direct_return.dispatcher, configured(direct_return))
    asked = ["advisor", "run", "http", "192.0.2.10:80", "request=/", "body=.", "--json"]
    for server in "abc":
        found = json.loads(running.shunt(*asked, "--server", server).stdout)
        assert found["up"]
        assert found["dialogue"][-1][1].endswith(f"{server}\n")
    running.shunt("down")
    alone = [*asked, "-c", str(running.config), "--server", "b"]
    found = json.loads(running.shunt(*alone).stdout)
    assert found["dialogue"][-1][1].endswith("b\n")
    webs["b"].process.kill()
    assert running.shunt(*alone, check=False).status == 1


def test_a_restart_does_not_try_a_dead_server_on_users(
    direct_return: Topology, webs: dict[str, Nginx], running: Daemon
) -> None:
    webs["b"].process.kill()
    until(lambda: weights(running)["b"] == 0, "b was not taken out")
    running.process.kill()
    again = daemon.start(direct_return.dispatcher, running.config.read_text())
    assert weights(again)["b"] == 0
    assert "slots changed hands" not in again.process.log.read_text()
    until(lambda: health(again, "b")["checked"], "never checked")


def test_down_takes_off_the_classifier_that_a_killed_daemon_left(direct_return: Topology) -> None:
    """As kernels without tcx keep it; this one is asked not to use tcx."""
    dispatcher = direct_return.dispatcher
    index = dispatcher.interface("eth0").index
    running = daemon.start(dispatcher, direct_return.configuration())
    running.process.kill()

    def leave() -> None:
        with Object.open(probe.OBJECT) as loading:
            loading.load()
            with loading.program("shunt_probe") as program:
                attach_tc(index, program, tcx=False)

    dispatcher.call(leave)
    shown = ["tc", "filter", "show", "dev", "eth0", "egress"]
    assert "shunt_probe" in dispatcher.run(shown).stdout
    assert "detached" in running.shunt("down").stdout
    assert "shunt_probe" not in dispatcher.run(shown).stdout


AGENT = """\
import socket, sys
server = socket.create_server(("", 7777))
while True:
    connection, _ = server.accept()
    with connection:
        connection.sendall(open(sys.argv[1], "rb").read())
"""


def test_a_servers_agent_is_heard(direct_return: Topology, webs: dict[str, Nginx]) -> None:
    server = direct_return.servers["c"]
    word = server.write("word", "50% #busy\n")
    agent = server.start([sys.executable, "-c", AGENT, str(word)])
    text = configured(direct_return)
    metric = "metric: {type: agent, port: 7777, interval: 200ms}"
    text = text.replace("weight: 30}", f"weight: 30, {metric}}}")
    running = daemon.start(direct_return.dispatcher, text)
    until(lambda: weights(running)["c"] == 15, "half the weight was not heard")
    word.write_text("drain\n")
    until(lambda: weights(running) == {"a": 10, "b": 20, "c": 0}, "drain was not heard")
    agent.kill()
    until(lambda: "refuses" in health(running, "c")["machine"], "the agent is still heard")
    assert weights(running)["c"] == 0, "an agent that falls silent has not taken its wish back"
    word.write_text("up 100%\n")
    server.start([sys.executable, "-c", AGENT, str(word)])
    until(lambda: "said before: up drain 100%" in health(running, "c")["machine"], "not heard")
    assert weights(running)["c"] == 0, "only `ready` ends `drain`"
    word.write_text("ready\n")
    until(lambda: weights(running)["c"] == 30, "the agent's return was not heard")
    running.shunt("down")


def test_measured_loads_move_weights_and_say_so(
    direct_return: Topology, webs: dict[str, Nginx]
) -> None:
    manager = "manager: {dynamic: yes, port: 100, interval: 1, smoothing: 1}\n"
    script = "case %s in a) echo 30;; *) echo 10;; esac"
    advisor = f"advisor: {{type: exec, command: [/bin/sh, -c, '{script}'], interval: 300ms}}"
    running = daemon.start(direct_return.dispatcher, configured(direct_return, manager, advisor))
    until(lambda: weights(running)["a"] < 10 < weights(running)["b"] - 10, "nothing moved")
    status = running.shunt("status").stdout
    assert "the manager's factor" in status
    running.shunt("down")
