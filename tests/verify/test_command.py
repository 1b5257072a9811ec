"""`shunt verify` and `shunt watch` as commands: exit codes, captures, what they leave behind."""

from __future__ import annotations

import json
import signal
import struct
import sys
import threading
import time
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.lab import daemon, topology
from shunt.lab.lab import Lab
from shunt.network.frames import arp_request, gratuitous_arp
from shunt.network.packets import PacketSocket
from tests.verify.web import Web

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.host import Host
    from shunt.lab.processes import Completed
    from shunt.lab.topology import Topology

pytestmark = pytest.mark.lab

SHUNT = str(Path(sys.executable).with_name("shunt"))
FOUR, _ = topology.CLUSTERS


@pytest.fixture(scope="module")
def standing() -> Iterator[Topology]:
    """A client to verify from, a dispatcher that is off, two right servers."""
    with Lab.create() as lab, Web() as web:
        made = topology.build(lab, {"a": 10, "b": 10})
        for server in made.servers.values():
            topology.prepare(server)
            web.listen(server)
        (lab.dir / "shunt.yaml").write_text(made.configuration())
        yield made


def _verify(standing: Topology, *words: str) -> Completed:
    file = str(standing.lab.dir / "shunt.yaml")
    return standing.client.run(
        [SHUNT, "verify", "-c", file, "--rate", "1000", "--listen", "1", *words], check=False
    )


def _causes(done: Completed) -> set[str]:
    findings = json.loads(done.stdout)["findings"]
    return {each["cause"] for each in findings if each["verdict"] != "right"}


def _tables(host: Host) -> dict[str, str]:
    """Return everything that an examination might leave behind."""
    return {
        "links": host.ip("-o", "link"),
        "addresses": host.ip("-o", "address"),
        "routes": host.ip("route", "show", "table", "all"),
        "routes6": host.ip("-6", "route", "show", "table", "all"),
        "cluster neighbours": host.ip("neighbour", "show", "to", str(FOUR)),
        "namespaces": " ".join(sorted(_named_namespaces())),
    }


def _named_namespaces() -> set[str]:
    """Return the namespaces that have names, those of laboratories left out."""
    names = {each.name for each in Path("/run/netns").iterdir()}
    return {name for name in names if not name.startswith("shunt-") or name.count("-") != 2}


def test_right_servers_and_every_frame_is_well_formed(standing: Topology, tmp_path: Path) -> None:
    kept = tmp_path / "proof.pcap"
    done = _verify(standing, "--json", "--pcap", str(kept))
    report = json.loads(done.stdout)
    assert done.status == report["exit_code"] == 0, done.stdout
    applications = [each for each in report["findings"] if each["check"] == "application"]
    assert len(applications) == 4
    assert report["left_out"] == []
    tshark = ["tshark", "-r", str(kept), "-o", "tcp.check_checksum:TRUE"]
    frames = standing.client.run([*tshark, "-T", "fields", "-e", "frame.number"]).stdout.split()
    assert len(frames) == report["frames"]["sent"] + report["frames"]["heard"]
    bad = "_ws.malformed || _ws.expert.severity == error || tcp.checksum.status == 0"
    assert standing.client.run([*tshark, "-Y", bad]).stdout == ""


def test_text_explains_the_procedure(standing: Topology) -> None:
    done = _verify(standing, "--explain")
    assert done.status == 0
    for words in ("silence again", "who has 192.0.2.10?", "The page: arp -d", "HTTP/1.0 200 OK"):
        assert words in done.stdout


def test_what_is_wrong_comes_with_its_fix(standing: Topology) -> None:
    server = standing.servers["b"]
    server.sysctl("net.ipv4.conf.all.arp_ignore", "0")
    try:
        done = _verify(standing)
    finally:
        server.sysctl("net.ipv4.conf.all.arp_ignore", "1")
    assert done.status == 1
    assert "b: the server answers ARP for the cluster address  (answers-arp)" in done.stdout
    assert "fix: shunt server apply b" in done.stdout
    assert str(server.interface("eth0").mac) in done.stdout


def test_an_address_that_servers_remember_is_no_obstacle(standing: Topology) -> None:
    """The second examination has another MAC; what the servers kept of the first is corrected."""
    two = ["--borrow", "192.0.2.201", "--borrow", "192.0.2.202"]
    words = ["192.0.2.10", *two, "--json"]
    first, second = _verify(standing, *words), _verify(standing, *words)
    assert first.status == 0, first.stdout
    assert _causes(second) == {"did-not-ask"}


def test_a_loaded_segment_changes_nothing(standing: Topology) -> None:
    own = "http://192.0.2.21/"
    load = standing.client.start(["wrk", "-t1", "-c8", "-d60s", own])
    try:
        done = _verify(standing, "--json")
    finally:
        load.terminate()
    assert done.status == 0, done.stdout


@pytest.mark.bpf
def test_a_dispatcher_is_excepted_only_with_live(standing: Topology) -> None:
    mac = str(standing.dispatcher.interface("eth0").mac)
    running = daemon.start(standing.dispatcher, standing.configuration())
    try:
        off = _verify(standing, "--json")
        found = _verify(standing, "--json", "--live")
        wrong = _verify(standing, "--json", "--dispatcher", "52:54:00:99:99:99")
        file = str(standing.lab.dir / "shunt.yaml")
        itself = [
            standing.dispatcher.run([SHUNT, "verify", "-c", file, *words], check=False)
            for words in ((), ("--live",))
        ]
    finally:
        running.shunt("down")
    for done in itself:  # a check that would ask itself
        assert done.status == 2
        assert "this machine is a dispatcher: Shunt's program is on eth0" in done.stderr
        assert done.stdout == ""
    assert off.status == 1
    assert _causes(off) == {"dispatcher-runs"}
    assert found.status == 0, found.stdout
    rows = [each for each in json.loads(found.stdout)["findings"] if each["check"] == "dispatcher"]
    assert all(mac in each["evidence"][0] for each in rows if not each["port"])
    through = [each["evidence"][0] for each in rows if each["port"]]
    assert len(through) == 2
    assert all(each.endswith((": a", ": b")) for each in through)
    assert wrong.status == 1
    assert "dispatcher-silent" in _causes(wrong)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupted_nothing_is_left(
    standing: Topology, number: signal.Signals, tmp_path: Path
) -> None:
    host = standing.client
    before = _tables(host)
    file = str(standing.lab.dir / "shunt.yaml")
    kept = tmp_path / "proof.pcap"
    words = [SHUNT, "verify", "-c", file, "--rate", "20", "--listen", "1", "--pcap", str(kept)]
    running = host.start(words)
    running.wait_until(lambda: len(_namespaces_of(running.pid)) == 2, "has a stack of its own")
    running.signal(number)
    assert running.wait(20) != 0
    assert _tables(host) == before
    assert "Traceback" not in running.output()
    if number is signal.SIGINT:
        assert kept.read_bytes()[:4] == struct.pack("=I", 0xA1B23C4D), "what was heard is kept"


def _namespaces_of(process: int) -> set[str]:
    """Return the network namespaces of a process's threads."""
    found = set()
    for thread in Path(f"/proc/{process}/task").iterdir():
        try:
            found.add(str((thread / "ns/net").readlink()))
        except OSError:  # it has ended meanwhile
            continue
    return found


def test_an_interface_that_goes_down_leaves_nothing_told(
    standing: Topology, tmp_path: Path
) -> None:
    host, file = standing.client, str(standing.lab.dir / "shunt.yaml")
    kept = tmp_path / "proof.pcap"
    before = host.ip("-6", "-o", "address", "show", "dev", "eth0", "scope", "global").split()[3]
    words = [SHUNT, "verify", "-c", file, "--rate", "20", "--listen", "1", "--pcap", str(kept)]
    running = host.start(words)
    running.wait_until(lambda: len(_namespaces_of(running.pid)) == 2, "has a stack of its own")
    host.ip("link", "set", "eth0", "down")
    try:
        assert running.wait(20) == 3
    finally:
        host.ip("link", "set", "eth0", "up")
        host.ip("-6", "address", "replace", before, "dev", "eth0", "nodad")
    said = running.output()
    assert "cannot tell: " in said
    assert "eth0" in said
    assert "Traceback" not in said
    assert "internal error" not in said
    assert kept.read_bytes()[:4] == struct.pack("=I", 0xA1B23C4D)


def test_a_capture_that_cannot_be_written_is_told_before_anything_is_sent(
    standing: Topology,
) -> None:
    done = _verify(standing, "--pcap", "/nowhere/proof.pcap")
    assert done.status == 2
    assert "/nowhere/proof.pcap: No such file" in done.stderr
    assert done.stdout == ""


def test_who_asks_without_end_is_answered_and_does_not_keep_the_procedure(
    standing: Topology,
) -> None:
    borrowed = IPv4Address("192.0.2.203")
    ended = threading.Event()

    def ask() -> None:
        with standing.servers["b"].call(lambda: PacketSocket("eth0")) as socket:
            question = arp_request(socket.mac, borrowed, IPv4Address("192.0.2.22"))
            deadline = time.monotonic() + 20
            while not ended.wait(0.002) and time.monotonic() < deadline:
                socket.send(question)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        done = _verify(standing, "192.0.2.10", "--borrow", str(borrowed), "--json")
    finally:
        ended.set()
        asking.join()
    report = json.loads(done.stdout)
    assert report["frames"]["heard"] > 0
    assert report["frames"]["sent"] < 400, "however often it was asked"
    # Who has learned the borrowed address by all that asking need not ask for it.
    assert _causes(done) - {"did-not-ask"} == {"one-free-address"}


def test_a_server_that_announces_the_cluster_address_is_named(standing: Topology) -> None:
    server, file = standing.servers["b"], str(standing.lab.dir / "shunt.yaml")
    running = standing.client.start(
        [SHUNT, "verify", "-c", file, "--rate", "100", "--listen", "1", "--json"]
    )
    deadline = time.monotonic() + 30
    while running.status is None:
        assert time.monotonic() < deadline, "it does not end"
        _announce(server)
        time.sleep(0.1)
    assert running.status == 1
    findings = json.loads(running.output())["findings"]
    wrong = [each for each in findings if each["verdict"] == "wrong"]
    assert {(each["cause"], each["server"], each["address"]) for each in wrong} == {
        ("announces-unasked", "b", str(FOUR))
    }


def test_the_keys_of_a_report_are_those_that_are_promised(standing: Topology) -> None:
    """docs/verify.md names them; programs rely on them."""
    done = _verify(standing, "192.0.2.10", "--json")
    report = json.loads(done.stdout)
    described = (Path(__file__).parents[2] / "docs" / "verify.md").read_text()
    promised = described.split("## Rows for programs")[1].split("\n## ")[0]
    assert all(f"`{key}`" in promised for key in report)
    assert list(report) == [
        *("exit_code", "interface", "mac", "borrowed", "seconds", "frames", "left_out"),
        "findings",
    ]
    assert list(report["frames"]) == ["sent", "heard", "malformed", "dropped", "unkept"]
    assert all(f"`{key}`" in promised for key in report["frames"])
    keys = ["check", "server", "address", "port", "verdict", "cause", "what", "why", "evidence"]
    for finding in report["findings"]:
        assert list(finding) == [*keys, "fix"]
        assert isinstance(finding["evidence"], list)
        assert isinstance(finding["fix"], list)


def test_with_only_raw_sockets_it_says_what_is_left_out(standing: Topology) -> None:
    only = ["setpriv", "--inh-caps", "-all,+net_raw", "--bounding-set", "-all,+net_raw"]
    file = str(standing.lab.dir / "shunt.yaml")
    words = [SHUNT, "verify", "-c", file, "--rate", "1000", "--listen", "1", "--json"]
    done = standing.client.run([*only, *words], check=False)
    report = json.loads(done.stdout)
    assert done.status == report["exit_code"] == 3, done.stdout
    assert any("requests to applications" in line for line in report["left_out"])
    assert _causes(done) == {"no-stack"}
    ports = [each for each in report["findings"] if each["check"] == "port"]
    assert {each["verdict"] for each in ports} == {"right"}


def test_requests_that_are_not_wished_are_left_out(standing: Topology) -> None:
    done = _verify(standing, "--json", "--no-requests")
    report = json.loads(done.stdout)
    assert done.status == 0, done.stdout
    assert report["left_out"] == ["requests to applications: not wished"]
    assert "application" not in {each["check"] for each in report["findings"]}


def test_without_raw_sockets_it_names_the_capability(standing: Topology) -> None:
    none = ["setpriv", "--inh-caps", "-all", "--bounding-set", "-all"]
    file = str(standing.lab.dir / "shunt.yaml")
    done = standing.client.run([*none, SHUNT, "verify", "-c", file], check=False)
    assert done.status == 2
    assert "CAP_NET_RAW" in done.stderr


def test_without_a_free_address_it_cannot_tell(lab: Lab) -> None:
    lab.segment("lan")
    verifier, server = lab.host("verifier"), lab.host("a")
    lab.join(verifier, "lan", addresses=["198.18.0.1/30"])
    lab.join(server, "lan", addresses=["198.18.0.2/30"])
    topology.silence(server)
    server.ip("address", "add", "198.18.9.1/32", "dev", "lo")
    words = [
        "198.18.9.1",
        "--server",
        "a=198.18.0.2",
        "--port",
        "80",
        "--json",
        "--rate",
        "1000",
        "--listen",
        "1",
    ]
    done = verifier.run([SHUNT, "verify", *words], check=False)
    assert done.status == 3, done.stdout
    assert _causes(done) == {"no-free-address"}


@pytest.mark.parametrize(
    "words",
    [
        ["192.0.2.10"],
        ["192.0.2.10", "tpyo", "-c", "{file}"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--rate", "nan"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--from", "lo"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--mac", "ff:ff:ff:ff:ff:ff"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--mac", "00:00:00:00:00:00"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--mac", "02:00:00:00:00:21"],
        ["not-an-address", "--server", "a=192.0.2.21"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--port", "http"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--rate", "0"],
        ["192.0.2.10", "--server", "a=192.0.2.21", "--from", "eth7"],
        ["192.0.2.10", "--server", "a=203.0.113.21"],
    ],
)
def test_bad_requests_leave_with_2(standing: Topology, words: list[str]) -> None:
    file = str(standing.lab.dir / "shunt.yaml")
    words = [word.format(file=file) for word in words]
    done = standing.client.run([SHUNT, "verify", *words], check=False)
    assert done.status == 2, done.stdout
    assert "Traceback" not in done.stderr


def test_what_has_an_owner_is_not_borrowed(standing: Topology) -> None:
    """An announcement of it would cut its owner off; nothing may have been sent."""
    other = "192.0.2.12"
    file = standing.lab.dir / "two.yaml"
    mail = f"  mail: {{address: {other}, ports: [{{port: 25, servers: [a]}}]}}\nservers:"
    file.write_text(standing.configuration().replace("servers:\n", mail + "\n", 1))
    assert "mail" in file.read_text()
    for address in ("192.0.2.1", "192.0.2.10", other, "192.0.2.22", "10.9.9.9", "192.0.2.255"):
        words = ["verify", "web", "-c", str(file), "--borrow", address]
        done = standing.client.run([SHUNT, *words], check=False)
        assert done.status == 2, done.stdout
        assert f"{address} cannot be borrowed" in done.stderr


@pytest.mark.parametrize(("host", "named"), [("a", "192.0.2.21 of server a"), ("client", None)])
def test_a_part_of_what_is_examined_is_no_place(
    standing: Topology, host: str, named: str | None
) -> None:
    here, file = standing.lab.hosts[host], str(standing.lab.dir / "shunt.yaml")
    if named is None:
        here.ip("address", "add", f"{FOUR}/32", "dev", "lo")
    try:
        done = here.run([SHUNT, "verify", "-c", file], check=False)
    finally:
        if named is None:
            here.ip("address", "delete", f"{FOUR}/32", "dev", "lo")
    assert done.status == 2, done.stdout
    assert (named or f"takes the cluster address {FOUR} itself") in done.stderr
    assert "another machine" in done.stderr


def test_watch_reports_a_claim_and_leaves_the_dispatcher_alone(standing: Topology) -> None:
    dispatcher, stranger = standing.dispatcher, standing.servers["a"]
    allowed = str(dispatcher.interface("eth0").mac)
    words = [str(FOUR), "--from", "eth0", "--dispatcher", allowed, "--once", "--json"]
    watching = standing.client.start([SHUNT, "watch", *words])
    watching.wait_until_says("watching")

    _announce(dispatcher)
    assert watching.status is None
    _announce(stranger)
    assert watching.wait() == 1
    told = json.loads(watching.output().splitlines()[-1])
    assert told["address"] == str(FOUR)
    assert told["mac"] == str(stranger.interface("eth0").mac)


def _announce(host: Host) -> None:
    with host.call(lambda: PacketSocket("eth0")) as socket:
        for frame in gratuitous_arp(socket.mac, FOUR):  # type: ignore[arg-type]  # it is IPv4
            socket.send(frame)


def test_watch_finds_the_interface_and_outlives_its_going_down(standing: Topology) -> None:
    """The file names the dispatcher's interface, which this machine has not."""
    host, file = standing.client, standing.lab.dir / "elsewhere.yaml"
    file.write_text(standing.configuration().replace("interface: eth0", "interface: bond7"))
    before = host.ip("-6", "-o", "address", "show", "dev", "eth0", "scope", "global").split()[3]
    watching = host.start([SHUNT, "watch", "-c", str(file), "--once", "--json"])
    watching.wait_until_says("on eth0")
    host.ip("link", "set", "eth0", "down")
    try:
        watching.wait_until_says("eth0: not listening")
        assert watching.status is None
    finally:
        host.ip("link", "set", "eth0", "up")
        host.ip("-6", "address", "replace", before, "dev", "eth0", "nodad")
    watching.wait_until_says("eth0: listening again")
    _announce(standing.servers["a"])
    assert watching.wait() == 1
    told = json.loads(watching.output().splitlines()[-1])
    assert (told["interface"], told["address"]) == ("eth0", str(FOUR))


@pytest.mark.parametrize(
    "words",
    [
        ["192.0.2.10", "typo", "-c", "{file}"],
        ["224.0.0.5", "--from", "eth0"],
        ["192.0.2.10", "--from", "eth7"],
        ["198.51.100.1", "-c", "{file}"],
    ],
)
def test_bad_watches_leave_with_2(standing: Topology, words: list[str]) -> None:
    file = str(standing.lab.dir / "shunt.yaml")
    words = [word.format(file=file) for word in words]
    done = standing.client.run([SHUNT, "watch", *words, "--once"], check=False, timeout=15)
    assert done.status == 2, done.stdout
    assert "Traceback" not in done.stderr
