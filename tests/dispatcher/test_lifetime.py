"""The daemon comes, is killed, comes back and goes; what is in the kernel goes on, or goes."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import signal
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shunt.dataplane.program import Program
from shunt.dispatcher.ending import end
from shunt.errors import DataplaneError, UsageError
from shunt.network.frames import Frame
from shunt.network.frames.arp import Arp
from shunt.network.frames.neighbour import Advertisement
from shunt.network.packets import PacketSocket
from tests.dispatcher.load import Load
from tests.dispatcher.scene import DEADLINE, FOUR, SHUNT, SIX, Scene, configuration, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.processes import Completed
    from shunt.model.addresses import Address, Mac

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
WEIGHTS = {"a": 10, "b": 20, "c": 30}
FILE = configuration(WEIGHTS)
CHECK = (
    b'{"command": "advise", "kind": "http", "settings": {}, "address": "192.0.2.10", "port": 7, '
    b'"server": "a"}\n'
)


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Scene]:
    with Scene.made() as made:
        yield made


@pytest.fixture
def scene(laboratory: Scene) -> Iterator[Scene]:
    """The laboratory without a dispatcher; whatever a test leaves is ended."""
    yield laboratory
    laboratory.down()


def trace(scene: Scene) -> dict[str, object]:
    """Return whatever a dispatcher could leave on its host."""
    return {
        "program": scene.carried(),
        "interfaces": re.sub(r'"ifindex":\d+', "", scene.dispatcher.ip("-json", "link")),
        "addresses": scene.dispatcher.ip("-json", "address"),
        "mounts": [
            line
            for line in Path("/proc/mounts").read_text().splitlines()
            if str(scene.root) in line
        ],
        "files": sorted(str(path.relative_to(scene.root)) for path in scene.root.rglob("*")),
        "rules": scene.dispatcher.run(["nft", "list", "ruleset"]).stdout,
        "traffic control": scene.dispatcher.run(["tc", "qdisc", "show"]).stdout,
    }


def is_forgotten(program: int) -> bool:
    try:
        Program.by_id(program).close()
    except DataplaneError:
        return True
    return False


def test_a_daemon_that_is_killed_under_load_costs_no_request(scene: Scene) -> None:
    scene.up(FILE)
    first = scene.ask("status")
    with Load(scene, 4) as load:
        scene.kill()
        opened = json.loads(scene.shunt("status", "--json").stdout)["causes"]["forwarded"][
            "packets"
        ]
        without = json.loads(scene.shunt("status", "--json").stdout)
        assert without["daemon"] is None
        assert without["causes"]["forwarded"]["packets"] > opened, (
            "traffic flows on without a daemon"
        )
        assert scene.carried() == first["program"]["id"]
        scene.up()
        second = scene.ask("status")
    assert load.result.errors == 0
    assert load.result.requests > 1000
    assert second["daemon"]["took_over"] is True
    assert second["program"]["id"] != first["program"]["id"]
    assert scene.carried() == second["program"]["id"], "the new process brought its own program"
    assert {service["unsettled"] for service in second["services"]} == {0}
    assert "slots changed hands" not in scene.said()


def test_a_restart_that_knows_no_neighbour_moves_nothing(scene: Scene) -> None:
    scene.up(FILE)
    shares = {name: row["share"] for name, row in scene.servers().items()}
    scene.kill()
    scene.dispatcher.flush_neighbours()
    scene.up()
    assert {name: row["share"] for name, row in scene.servers().items()} == shares
    assert "slots changed hands" not in scene.said()


def test_sigterm_ends_the_daemon_and_not_the_dispatching(scene: Scene) -> None:
    process = scene.up(FILE)
    carried = scene.carried()
    assert process.terminate() == 0
    assert not scene.places.socket.exists()
    assert scene.carried() == carried is not None
    scene.fetch(30)
    assert scene.up().status is None
    scene.fetch(30, SIX)


def test_clients_that_are_connected_hold_nothing_up(scene: Scene) -> None:
    """Idle ones, one in the middle of a request, one whose check is on its way."""
    process = scene.up(FILE)
    with contextlib.ExitStack() as stack:
        for data in (b"", b'{"command": "sta', CHECK):
            connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            connection.connect(str(scene.places.socket))
            connection.sendall(data)
        eventually(lambda: "command=advise" in scene.said(), "the check is begun")
        assert process.terminate(DEADLINE) == 0
    assert "Traceback" not in scene.said()
    assert "CancelledError" not in scene.said()


def test_sigterm_in_a_first_start_leaves_nothing(scene: Scene) -> None:
    """Else the program would answer ARP for addresses that it has no services for yet."""
    port = "      - {{port: {0}, servers: {{a: {0}, b: 7, c: 9}}}}\n"
    ports = "".join(port.format(number) for number in range(1000, 1400))
    scene.file.write_text(FILE.replace("    ports:\n", f"    ports:\n{ports}"))
    scene.root.mkdir(exist_ok=True)
    command = [SHUNT, "up", "-c", str(scene.file), "--root", str(scene.root)]
    process = scene.dispatcher.start(command)
    eventually(lambda: scene.carried() is not None, "it is attached")
    assert "ready" not in process.output()
    assert process.terminate(DEADLINE) == 0
    assert "Traceback" not in process.output()
    assert scene.carried() is None
    assert not list(scene.places.pins.glob("*"))


def test_a_second_daemon_is_refused(scene: Scene) -> None:
    process = scene.up(FILE)
    refused = scene.shunt("up", "-c", str(scene.file))
    assert refused.status == 1
    assert f"a dispatcher runs here already (process {process.pid})" in refused.stderr
    assert scene.ask("status")["daemon"]["process"] == process.pid
    scene.fetch(30)


@pytest.mark.parametrize("killed", [False, True], ids=["running", "killed before"])
def test_down_leaves_no_trace(scene: Scene, killed: bool) -> None:
    scene.file.write_text(FILE)
    scene.root.mkdir(exist_ok=True)
    before = trace(scene)
    process = scene.up()
    program = scene.ask("status")["program"]["id"]
    assert trace(scene) != before
    if killed:
        scene.kill()
    ended = scene.shunt("down")
    assert ended.status == 0, ended.stderr
    assert "detached" in ended.stdout
    if not killed:
        assert process.wait() == 0
    assert trace(scene) == before
    eventually(lambda: is_forgotten(program), "the kernel forgets the program")
    again = scene.shunt("down")
    assert (again.status, again.stdout.strip()) == (0, "nothing was there to end")
    assert trace(scene) == before


def test_down_touches_nothing_where_no_dispatcher_has_been(scene: Scene) -> None:
    files = [scene.places.run / "precious", scene.places.state / "db", scene.places.overrides]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("{}")
    before = trace(scene)
    ended = scene.shunt("down")
    assert (ended.status, ended.stdout.strip()) == (0, "nothing was there to end")
    assert trace(scene) == before
    scene.places.overrides.unlink()
    scene.up(FILE)
    scene.down()
    assert {path for path in scene.root.rglob("*") if path.is_file()} == {*files[:2]}, (
        "what is not a dispatcher's is left where one has been"
    )
    for file in files[:2]:
        file.unlink()
        file.parent.rmdir()


def test_a_member_of_the_group_asks_and_does_not_end_it(scene: Scene) -> None:
    process = scene.up(FILE.replace("  secret", "  group: nogroup\n  secret", 1))
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]

    def as_member(*words: str) -> Completed:
        command = [*drop, SHUNT, *words, "--root", str(scene.root)]
        return scene.dispatcher.run(command, check=False)

    assert as_member("server", "weight", "a", "3").status == 0
    assert as_member("server", "weight", "a").status == 0
    refused = as_member("down")
    assert refused.status == 2
    assert "to end the dispatcher is for root only" in refused.stderr
    scene.fetch(10)
    assert scene.carried() is not None
    assert scene.shunt("down").status == 0
    assert process.wait() == 0
    assert scene.carried() is None


def test_down_and_up_in_one_breath(scene: Scene) -> None:
    """What ends must not take away what begins."""
    scene.up(FILE)
    for _ in range(2):
        scene.dispatcher.call(lambda: end(scene.places))
        scene.up()
        assert scene.ask("status")["daemon"]["took_over"] is False
        assert scene.places.lock.exists()
    scene.fetch(30)


def test_down_keeps_what_the_operator_changed(scene: Scene) -> None:
    scene.up(FILE)
    told = scene.ask("weight", server="a", weight=3)["changed"]
    assert {(row["before"], row["after"]) for row in told} == {(10, 3)}
    assert scene.servers()["a"]["weight"] == 3
    scene.kill()
    scene.up()
    assert scene.servers()["a"]["weight"] == 3
    scene.down()
    assert scene.places.overrides.exists()
    scene.up()
    assert scene.servers()["a"]["weight"] == 3
    assert scene.servers(cluster=SIX)["a"]["weight"] == 3
    told = scene.ask("weight", server="a", weight=None)["changed"]
    assert {(row["before"], row["after"]) for row in told} == {(3, 10)}
    scene.down()
    assert not scene.places.overrides.exists()


def test_run_time_changes_that_cannot_be_read_stop_the_start_but_not_the_end(scene: Scene) -> None:
    scene.root.mkdir(exist_ok=True)
    scene.places.state.mkdir(exist_ok=True)
    scene.places.overrides.write_text("{")
    refused = scene.try_up(FILE)
    assert refused.status == 2
    assert str(scene.places.overrides) in refused.stderr
    assert scene.carried() is None
    ended = scene.shunt("down")
    assert ended.status == 0, ended.stderr
    assert scene.places.overrides.read_text() == "{"
    scene.places.overrides.unlink()


def test_a_start_that_was_cut_off_is_begun_anew(scene: Scene) -> None:
    scene.up(FILE)
    scene.kill()
    for name in ("shunt_trace", "shunt", "decisions"):
        (scene.places.pins / name).unlink()
    (scene.places.pins / "link_eth0").unlink()
    scene.up()
    assert scene.ask("status")["daemon"]["took_over"] is False
    scene.fetch(30)


def test_status_with_a_daemon_without_one_and_with_nothing_at_all(scene: Scene) -> None:
    process = scene.up(FILE)
    scene.fetch(30)
    text = scene.shunt("status")
    assert text.status == 0, text.stderr
    for words in (
        f"process {process.pid}", "interface eth0: native mode", "192.0.2.10:80/tcp",
        "[2001:db8::10]:7/udp", "02:00:00:00:00:21", "forwarded", "%", "what the dispatcher is",
    ):  # fmt: skip
        assert words in text.stdout
    document = scene.ask("status")
    assert document["daemon"]["process"] == process.pid
    assert len(document["services"]) == 6
    assert "last check" not in text.stdout, "nothing is checked here"
    assert "neighbours read 0." in text.stdout
    assert scene.ask("status")["daemon"]["loops"]["checks"]["overdue"] is False
    scene.kill()
    text = scene.shunt("status")
    assert text.status == 1, text.stderr
    assert "no daemon runs" in text.stdout
    assert "192.0.2.21" in text.stdout
    left = json.loads(scene.shunt("status", "--json").stdout)
    assert left["daemon"] is None
    assert names(left) == names(document)
    scene.down()
    nothing = scene.shunt("status")
    assert (nothing.status, nothing.stdout) == (1, "")
    assert "no dispatcher runs here" in nothing.stderr


def names(document: dict[str, Any]) -> list[str]:
    return [service["name"] for service in document["services"]]


def test_only_root_may_talk_to_it(scene: Scene) -> None:
    scene.up(FILE)
    assert stat.S_IMODE(scene.places.socket.stat().st_mode) == 0o600
    with pytest.raises(UsageError, match="no command 'dance'"):
        scene.ask("dance")


def test_readiness_is_told_to_who_started_it(scene: Scene, tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(30)
        process = scene.up(FILE, NOTIFY_SOCKET=path)
        assert manager.recv(100) == b"READY=1"
        scene.fetch(10)
        process.terminate()
        assert manager.recv(100) == b"STOPPING=1"


def test_a_manager_that_does_not_listen_ends_nothing(scene: Scene) -> None:
    process = scene.up(FILE, NOTIFY_SOCKET="/nonexistent")
    eventually(lambda: "not told to who started this" in scene.said(), "it is said")
    scene.fetch(10)
    assert process.terminate() == 0


def test_no_descriptors_are_no_reason_to_end(scene: Scene) -> None:
    """They come back; what failed meanwhile is said in a few lines, and tried again."""
    process = scene.up(FILE)
    shares = {name: row["share"] for name, row in scene.servers().items()}
    limits = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    eventually(lambda: scene.said().count("Too many open files") > 1, "it is said")
    scene.fetch(10)
    assert process.status is None
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, limits)
    eventually(lambda: not failing(scene), "all goes on")
    assert {name: row["share"] for name, row in scene.servers().items()} == shares
    assert "slots changed hands" not in scene.said().partition("ready")[2]
    assert "Traceback" not in scene.said()
    assert len(scene.said()) < 20_000


def failing(scene: Scene) -> list[str]:
    loops = scene.ask("status")["daemon"]["loops"]
    return [name for name, loop in loops.items() if loop["failing"]]


def test_the_addresses_are_announced_at_the_start(scene: Scene) -> None:
    heard = scene.client.call(lambda: PacketSocket("eth0"))
    own = scene.dispatcher.interface("eth0").mac
    claimed: set[tuple[Address, Mac | None]] = set()

    def listen() -> bool:
        while (frame := heard.receive_now()) is not None:
            parsed = frame.parsed()
            assert isinstance(parsed, Frame)
            if isinstance(parsed.network, Arp):
                claimed.add((parsed.network.sender, parsed.network.sender_mac))
            if isinstance(parsed.message, Advertisement):
                claimed.add((parsed.message.target, parsed.message.mac))
        return {(FOUR, own), (SIX, own)} <= claimed

    with heard:
        scene.up(FILE)
        eventually(listen, "both addresses are announced")
    assert not {(address, mac) for address, mac in claimed if address in (FOUR, SIX)} - {
        (FOUR, own), (SIX, own),
    }  # fmt: skip


def test_sighup_reloads(scene: Scene) -> None:
    process = scene.up(FILE)
    scene.file.write_text(configuration({"a": 10, "b": 20}))
    process.signal(signal.SIGHUP)
    eventually(lambda: scene.servers().keys() and "reloaded" in scene.said(), "it is reloaded")
    assert scene.servers()["a"]["share"] == pytest.approx(1 / 3, abs=0.01)
    scene.file.write_text("clusters: 7\n")
    process.signal(signal.SIGHUP)
    eventually(lambda: "reload refused; the old state stays" in scene.said(), "it is refused")
    assert scene.servers()["a"]["share"] == pytest.approx(1 / 3, abs=0.01)
    scene.fetch(10)
