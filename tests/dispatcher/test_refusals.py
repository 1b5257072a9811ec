"""Whatever is wrong with file or host: a clear message, exit code 2, and nothing was changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.dataplane.libbpf import libbpf
from shunt.lab import topology
from tests.dispatcher.scene import FOUR, SHUNT, SIX, Scene, configuration, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shunt.lab.processes import Completed

pytestmark = [pytest.mark.lab, pytest.mark.bpf]
GOOD = configuration({"a": 10, "b": 20, "c": 30})
HIDE = "mount -n --bind /dev/null {0} && exec {1}"
COVER = "mount -n -t tmpfs none {0} && exec {1}"


@pytest.fixture(scope="module")
def laboratory() -> Iterator[Scene]:
    with Scene.made() as made:
        made.dispatcher.ip("tuntap", "add", "dev", "tun7", "mode", "tun")
        yield made


@pytest.fixture
def scene(laboratory: Scene) -> Iterator[Scene]:
    yield laboratory
    laboratory.down()


def check(scene: Scene, refused: Completed, *words: str, status: int = 2) -> None:
    """Assert that a start was refused in so many words, and that it left nothing."""
    assert refused.status == status, refused
    for word in words:
        assert word in refused.stderr
    assert refused.stderr.startswith("shunt: ")
    assert "Traceback" not in refused.stderr
    assert "Warning" not in refused.stderr
    assert refused.stdout == ""
    assert [path for path in scene.root.rglob("*") if not path.is_dir()] == []
    assert str(scene.root) not in Path("/proc/mounts").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("port: 80", "prot: 80"), ("`prot`", "`port`?", ":8:")),
        (GOOD.replace("192.0.2.21", "192.0.2.321"), ("192.0.2.321", "servers.a.address")),
        (GOOD.replace("port: 80", "port: 70000"), ("70000", "65535")),
        (GOOD.replace("a: 10", "d: 10", 1), ("no server is called `d`", "a, b, c", ":8:")),
        (GOOD.replace("port: 9,", "port: 80,"), ("192.0.2.10 port 80/tcp is a service already",)),
        (GOOD.replace("eth0", "[eth7, lo]"), ("eth7", "lo is the loopback", ":3:")),
        (GOOD.replace("eth0", "[eth0, lo]"), ("lo is the loopback", ":3:")),
        (GOOD.replace("eth0", "tun7"), ("tun7 has no MAC address", "Ethernet", ":3:")),
        (GOOD.replace("secret", "group: nobodies\n  secret"), ("there is no group 'nobodies'",)),
        ("", ("empty",)),
    ],
    ids=[
        "unknown key", "bad address", "port out of range", "server not defined",
        "two services in one place", "absent interface and loopback",
        "loopback", "tunnel", "unknown group", "empty file",
    ],
)  # fmt: skip
def test_a_bad_file_is_refused(scene: Scene, text: str, words: tuple[str, ...]) -> None:
    check(scene, scene.try_up(text), *words)
    assert scene.carried() is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GOOD.replace("eth0", "eth7"), ("there is no interface eth7", "eth0", ":3:")),
        (GOOD.replace("eth0", "[eth7, eth8]"), ("eth7", "eth8")),
        (
            configuration({"a": 1}, clusters=(type(FOUR)("192.0.2.2"), type(SIX)("2001:db8::2"))),
            (
                "192.0.2.2 is held by this host itself, on eth0",
                "ip address del 192.0.2.2/24 dev eth0",
                "ip address del 2001:db8::2/64 dev eth0",
            ),
        ),
    ],
    ids=["absent interface", "two absent interfaces", "cluster address of the host"],
)
def test_a_host_that_may_be_ready_later_is_tried_again(
    scene: Scene, text: str, words: tuple[str, ...]
) -> None:
    """By systemd: the unit gives up after status 2 only."""
    check(scene, scene.try_up(text), *words, status=1)
    assert scene.carried() is None


def test_one_interface_is_enough_to_begin_with(scene: Scene) -> None:
    scene.up(GOOD.replace("eth0", "[eth0, eth7]"))
    assert scene.carried() is not None
    eventually(lambda: "eth7" in scene.shunt("status").stdout, "it is told")
    assert scene.shunt("status").status == 1
    scene.fetch(10)


def test_no_file_is_refused(scene: Scene) -> None:
    check(scene, scene.shunt("up", "-c", "/nowhere/shunt.yaml"), "/nowhere/shunt.yaml")


def test_an_unknown_option_is_refused(scene: Scene) -> None:
    refused = scene.shunt("up", "--relpace")
    assert refused.status == 2
    assert "--relpace" in refused.stdout + refused.stderr


@pytest.mark.parametrize("mode", ["xdpdrv", "xdpgeneric"])
def test_someone_elses_program_is_named_and_left_unless_we_insist(scene: Scene, mode: str) -> None:
    program = str(topology._PASS_PROGRAM)
    take = ("link", "set", "dev", "eth0")
    scene.dispatcher.ip(*take, mode, "object", program, "section", "xdp.frags")
    theirs = scene.carried()
    try:
        refused = scene.try_up(GOOD)
        check(scene, refused, "eth0 already carries XDP program", f"id {theirs}", "--replace")
        assert scene.carried() == theirs
        command = [SHUNT, "up", "-c", str(scene.file), "--root", str(scene.root), "--replace"]
        scene.process = scene.dispatcher.start(command)
        scene.process.wait_until_says("ready", timeout=30)
        assert scene.carried() not in (None, theirs)
        scene.fetch(10)
        scene.down()
        assert scene.carried() is None
    finally:
        scene.dispatcher.ip(*take, mode, "off")


def test_without_root_it_is_said_what_is_missing(scene: Scene) -> None:
    scene.file.write_text(GOOD)
    drop = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]
    command = [SHUNT, "up", "-c", str(scene.file), "--root", str(scene.root)]
    refused = scene.dispatcher.run([*drop, *command], check=False)
    check(scene, refused, "privileges: CAP_NET_ADMIN", "CAP_BPF missing", "Run as root")


@pytest.mark.parametrize("name", ["net_admin", "net_raw", "sys_admin", "bpf"])
def test_a_capability_that_is_missing_is_named(scene: Scene, name: str) -> None:
    scene.file.write_text(GOOD)
    drop = ["setpriv", f"--bounding-set=-{name}", f"--inh-caps=-{name}", "--"]
    command = [SHUNT, "up", "-c", str(scene.file), "--root", str(scene.root)]
    refused = scene.dispatcher.run([*drop, *command], check=False)
    check(scene, refused, f"privileges: CAP_{name.upper()} missing")


def hidden(scene: Scene, form: str, path: str) -> Completed:
    """Start the daemon where a file or folder of the system is not to be seen."""
    scene.file.write_text(GOOD)
    command = f"{SHUNT} up -c {scene.file} --root {scene.root}"
    shell = form.format(path, command)
    return scene.dispatcher.run(["unshare", "--mount", "sh", "-c", shell], check=False)


def test_without_libbpf_it_is_said_how_to_get_it(scene: Scene) -> None:
    assert libbpf().version  # and so it is loaded, and mapped
    lines = Path("/proc/self/maps").read_text().splitlines()
    (path,) = {line.split()[-1] for line in lines if "/libbpf.so" in line}
    check(scene, hidden(scene, HIDE, path), "libbpf", "install")


def test_without_the_kernels_types_it_is_said_so(scene: Scene) -> None:
    refused = hidden(scene, COVER, "/sys/kernel/btf")
    check(scene, refused, "kernel type information (BTF)", "CONFIG_DEBUG_INFO_BTF")


@pytest.mark.parametrize("command", ["status", "reload"])
def test_commands_without_a_dispatcher_say_so(scene: Scene, command: str) -> None:
    refused = scene.shunt(command)
    assert refused.status == 1
    assert "no dispatcher runs here" in refused.stderr
    assert "shunt up" in refused.stderr


def up_after(scene: Scene, before: str) -> Completed:
    """Start the daemon after some words of a shell, in a view of its own of what is mounted."""
    scene.file.write_text(GOOD)
    scene.root.mkdir(exist_ok=True)
    command = f"{before}; exec {SHUNT} up -c {scene.file} --root {scene.root}"
    return scene.dispatcher.run(["unshare", "--mount", "sh", "-c", command], check=False)


@pytest.mark.parametrize("descriptors", [16, 24, 26, 28, 32, 36, 38, 40])
def test_few_descriptors_are_said_in_a_sentence(scene: Scene, descriptors: int) -> None:
    refused = up_after(scene, f"ulimit -n {descriptors}")
    assert refused.status in {1, 2}, refused
    assert refused.stderr.startswith("shunt: ")
    assert "internal error" not in refused.stderr
    assert "Traceback" not in refused.stderr
    assert len(refused.stderr.splitlines()) <= 2
    assert scene.carried() is None


def test_a_full_disk_is_said_in_a_sentence(scene: Scene) -> None:
    scene.root.mkdir(exist_ok=True)
    full = f"mount -n -t tmpfs -o size=4k none {scene.root} && mkdir {scene.root}/run"
    refused = up_after(scene, f"{full}; cat /dev/zero > {scene.root}/run/full 2>/dev/null")
    check(scene, refused, "No space left on device", "the file system is full: see `df`")
    assert scene.carried() is None


def test_a_read_only_file_system_is_said_with_what_to_do(scene: Scene) -> None:
    scene.root.mkdir(exist_ok=True)
    refused = up_after(scene, f"mount -n -t tmpfs -o ro none {scene.root}")
    check(scene, refused, "Read-only file system", "the file system is read-only: see `findmnt`")


def test_without_a_umask_the_folders_are_roots_alone_all_the_same(scene: Scene) -> None:
    scene.file.write_text(GOOD)
    scene.root.mkdir(exist_ok=True)
    line = f"umask 0; exec {SHUNT} up -c {scene.file} --root {scene.root}"
    scene.process = scene.dispatcher.start(["sh", "-c", line])
    scene.process.wait_until_says("ready", timeout=30)
    weight = ["server", "weight", "a", "5"]
    assert (
        scene.dispatcher.run(
            ["sh", "-c", f"umask 0; exec {SHUNT} {' '.join(weight)} --root {scene.root}"],
            check=False,
        ).status
        == 0
    )
    found = [scene.places.run, scene.places.state, scene.places.pins]
    found += [*scene.places.run.iterdir(), *scene.places.state.iterdir()]
    assert len(found) >= 6
    assert [path for path in found if path.stat().st_mode & 0o022] == []
    scene.shunt("server", "weight", "a")


@pytest.mark.parametrize("folder", ["run", "state"])
def test_a_folder_that_others_may_write_is_refused(scene: Scene, folder: str) -> None:
    path = scene.root / folder
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777)
    try:
        refused = scene.try_up(GOOD)
        check(scene, refused, f"{path} is not safe to keep files in", "anybody may write", "chmod")
    finally:
        path.rmdir()


def test_a_file_that_others_may_write_is_refused_with_its_line(scene: Scene) -> None:
    scene.file.write_text(GOOD)
    scene.file.chmod(0o666)
    try:
        refused = scene.shunt("up", "-c", str(scene.file))
        check(scene, refused, f"{scene.file}:1:1: ", f"anybody may write {scene.file}")
        warned = scene.dispatcher.run([SHUNT, "config", "check", str(scene.file)], check=False)
        assert warned.status == 0
        assert f"anybody may write {scene.file}" in warned.stderr
    finally:
        scene.file.chmod(0o644)
