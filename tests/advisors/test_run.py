"""Real checks on loopback: what is carried, timed, secured, run as a command, and repeated."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import pytest

from shunt.advisors.advisor import Advisor, Target, Transport
from shunt.advisors.dialogue import HEAR, Reader, down, up
from shunt.advisors.rounds import Job, Rounds
from shunt.advisors.run import run
from tests.advisors.serving import LOOPBACK, a_check, crowded, http, impatient, serving, silent

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.advisors.dialogue import Dialogue, Verdict
    from tests.advisors.serving import Handler


async def test_a_server_that_works_is_up_with_a_load_in_milliseconds() -> None:
    async with serving(http) as target:
        said: list[tuple[str, bytes]] = []
        verdict = await run(
            a_check(request="/", body="healthy"), target, listener=lambda *s: said.append(s)
        )
    assert verdict.up
    assert verdict.load is not None
    assert verdict.load > 0
    assert [direction for direction, _ in said][:2] == [">", "<"]


async def test_a_closed_port_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    verdict = await run(a_check(), Target(LOOPBACK, port))
    assert verdict.up is False
    assert "nothing listens" in verdict.words


async def _huge(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"HTTP/1.1 200 OK" * 4096)
        await writer.drain()


async def test_a_full_backlog_is_no_connection() -> None:
    with crowded() as (_, target):
        verdict = await run(impatient(a_check()), target)
    assert verdict.up is False
    assert "no connection within" in verdict.words


async def test_connections_are_tried_as_often_as_the_check_says() -> None:
    with crowded() as (full, target), contextlib.ExitStack() as held:
        twice = replace(impatient(a_check()), connect_timeout=0.2, connect_tries=2)
        assert "no connection within 0.4 s" in (await run(twice, target)).words
        asked = asyncio.create_task(run(replace(twice, connect_tries=50), target))
        full.setblocking(False)
        while not asked.done():  # room for one of the tries, and an answer
            with contextlib.suppress(BlockingIOError):
                peer = held.enter_context(full.accept()[0])
                peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.sleep(0.01)
        assert asked.result().up


async def test_a_slow_answer_is_no_slow_connection() -> None:
    async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.4)
        await http(reader, writer)

    async with serving(late) as target:
        patient = replace(a_check(), connect_timeout=0.3, receive_timeout=20)
        assert (await run(patient, target)).up


async def test_what_this_host_cannot_ask_is_neither_up_nor_down(tmp_path: Path) -> None:
    verdict = await run(a_check("exec", command=str(tmp_path / "absent")), Target(LOOPBACK, 1))
    assert verdict.up is None
    verdict = await run(a_check(), Target(ip_address("255.255.255.255"), 80))
    assert verdict.up is None


class Echo(Advisor):
    """Sends more than any buffer takes, and wants all of it back."""

    name = "echo"
    words = bytes(range(256)) * (1 << 15)

    def talk(self, _target: Target, /) -> Dialogue:
        yield self.words
        heard = yield from Reader(2 * len(self.words)).exactly(len(self.words))
        return up("all of it") if heard == self.words else down("something else")


async def test_words_larger_than_any_buffer_go_out_and_come_back_whole() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = await reader.readexactly(len(Echo.words))
        for at in range(0, len(said), 1000):
            writer.write(said[at : at + 1000])
            await writer.drain()
        await reader.read()

    async with serving(echo) as target:
        assert (await run(replace(a_check(), advisor=Echo()), target)).words == "all of it"


class Deaf(Advisor):
    """Hears for ever: a plug-in without a limit."""

    name = "deaf"

    def talk(self, _target: Target, /) -> Dialogue:
        while True:
            yield HEAR


class Patient(Advisor):
    """Wants many datagrams, more than are taken in one turn."""

    name = "patient"
    transport = Transport.UDP

    def talk(self, _target: Target, /) -> Dialogue:
        yield b"x"
        for _ in range(50):
            yield HEAR
        return up("all of it")


async def test_what_has_come_in_time_counts_though_this_process_was_busy() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((str(LOOPBACK), 0))
        server.setblocking(False)
        check = replace(a_check(), advisor=Patient(), receive_timeout=0.2)
        asked = asyncio.create_task(run(check, Target(LOOPBACK, server.getsockname()[1])))
        _, client = await asyncio.get_running_loop().sock_recvfrom(server, 10)
        for _ in range(50):
            server.sendto(b"x", client)
        time.sleep(0.3)  # noqa: ASYNC251 - it is this that makes the process busy
        assert (await asked).words == "all of it"


async def test_a_server_that_never_stops_leaves_others_their_turn() -> None:
    async with serving(_huge) as loud, serving(http) as target:
        endless = replace(a_check(), advisor=Deaf(), receive_timeout=600.0)
        deaf = asyncio.create_task(run(endless, loud))
        assert (await run(a_check(), target)).up
        deaf.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await deaf


@pytest.mark.root
async def test_ping_and_dns_go_by_datagrams() -> None:
    assert (await run(a_check("ping"), Target(LOOPBACK, 0))).up
    assert (await run(a_check("ping"), Target(ip_address("::1"), 0))).up

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.transport.sendto(data[:2] + b"\x81\x80" + data[4:], addr)

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    assert (await run(a_check("dns"), Target(LOOPBACK, port))).up
    transport.close()
    verdict = await run(impatient(a_check("dns")), Target(LOOPBACK, port))
    assert verdict.up is False


def _certificate(folder: Path) -> tuple[Path, Path]:
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 5 "
        "-subj /CN=web.example -addext subjectAltName=DNS:web.example"
    )
    paths = folder / "cert.pem", folder / "key.pem"
    made = ["-out", str(paths[0]), "-keyout", str(paths[1])]
    subprocess.run(["openssl", *words.split(), *made], check=True, capture_output=True)
    return paths


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def strangers(tmp_path: Path) -> Path:
    return _certificate(tmp_path)[0]


async def test_https_verifies_as_far_as_it_is_asked(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    context.set_alpn_protocols(["http/1.1"])
    trusted = {"verify": "yes", "authorities": str(certificate[0])}
    async with serving(http, ssl=context) as target:

        async def ask(kind: str = "https", **settings: str) -> Verdict:
            return await run(a_check(kind, **settings), target)

        plain = await ask(request="/", body="healthy")
        assert plain.up
        assert "TLSv1" in plain.words
        assert "http/1.1" in plain.words
        assert "ends on" in (plain.warning or "")
        assert (await ask(**trusted, server_name="web.example")).up
        wrong = await ask(**trusted, server_name="other.example")
        assert "certificate refused" in wrong.words
        assert (await ask(verify="yes", server_name="web.example")).up is False
        nameless = await ask(**trusted)
        assert "certificate refused: IP address mismatch" in nameless.words
        assert (await ask(**trusted, host="web.example:443")).up
        assert (await ask("ssl")).up


async def _leaves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)


@pytest.mark.parametrize(
    ("handler", "words"),
    [(silent, "no full answer within 0.5 s"), (_huge, "a line of more than 4096 bytes"),
     (_leaves, "closed the connection at once")],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["https", "prometheus"])
async def test_a_hostile_server_behind_tls_is_down_in_words(
    certificate: tuple[Path, Path], kind: str, handler: Handler, words: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    secure = {} if kind == "https" else {"tls": "yes"}
    async with serving(handler, ssl=context) as target:
        check = impatient(a_check(kind, **secure), 0.5 if handler is silent else 30.0)
        verdict = await run(check, target)
    assert (verdict.up, verdict.words) == (False, words)


async def test_authorities_are_read_again_when_their_file_has_changed(
    certificate: tuple[Path, Path], strangers: Path, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    file = tmp_path / "authorities.pem"
    check = a_check("https", verify="yes", authorities=str(file), server_name="web.example")
    async with serving(http, ssl=context) as target:
        gone = await run(check, target)
        assert gone.up is None
        assert f"the authorities {file} cannot be read" in gone.words
        shutil.copyfile(strangers, file)
        assert "certificate refused" in (await run(check, target)).words
        shutil.copyfile(certificate[0], file)
        assert (await run(check, target)).up


async def test_rounds_report_each_job_and_stop_what_is_taken_away() -> None:
    heard: dict[str, list[Verdict]] = {"fast": [], "slow": []}
    enough = asyncio.Event()

    def report(key: str, verdict: Verdict) -> None:
        heard[key].append(verdict)
        if all(heard.values()):
            enough.set()

    async with serving(http) as target:
        rounds: Rounds[str] = Rounds(report)
        fast = Job(a_check(interval="10ms"), target)
        slow = Job(a_check(interval="1h"), target)
        rounds.take({"fast": fast, "slow": slow})
        begun = dict(rounds._tasks)
        await asyncio.wait_for(enough.wait(), 20)
        rounds.take({"slow": slow})
        assert rounds._tasks == {"slow": begun["slow"]}
        heard["slow"].clear()
        enough.clear()
        rounds.hurry("slow")
        await asyncio.wait_for(enough.wait(), 20)
        await rounds.close()
    assert all(verdict.up for verdicts in heard.values() for verdict in verdicts)


@pytest.mark.bpf  # a mark on a socket needs root, too
async def test_a_hurried_check_along_the_path_gives_a_connection_little_time() -> None:
    heard: list[Verdict] = []
    came = asyncio.Event()

    def report(_: str, verdict: Verdict) -> None:
        heard.append(verdict)
        came.set()

    with crowded() as (_, target):
        rounds: Rounds[str] = Rounds(report)
        patient = replace(a_check(), interval=3600.0, connect_timeout=600.0)
        rounds.take({"along": Job(patient, target, mark=1)})
        await asyncio.sleep(0)
        rounds.hurry("along")
        await asyncio.wait_for(came.wait(), 60)
        await rounds.close()
    assert heard[0].up is False
    assert "no connection within 0.15 s" in heard[0].words
