"""Versions of TLS, spoken by real servers of OpenSSL that know one of them only."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from shunt.advisors.advisor import Target
from shunt.advisors.check import make
from shunt.advisors.dialogue import Offload, WrongAnswerError, progress, up
from shunt.advisors.run import run
from shunt.advisors.tls import Tls, contexts, secured
from shunt.advisors.tls_hello import NAMES, VERSIONS, client_hello, server_version
from tests.advisors.serving import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from shunt.advisors.dialogue import Dialogue, Verdict

OPTIONS = {"1.0": "-tls1", "1.1": "-tls1_1", "1.2": "-tls1_2", "1.3": "-tls1_3"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    words = (
        "req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=web.example "
        "-addext subjectAltName=DNS:web.example -out cert.pem -keyout key.pem"
    )
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True, cwd=made)
    return made


@contextlib.asynccontextmanager
async def _server(folder: Path, *options: str) -> AsyncIterator[Target]:
    with socket.create_server((str(LOOPBACK), 0)) as free:
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        "openssl", "s_server", "-accept", f"{LOOPBACK}:{port}", "-cert", "cert.pem", "-key",
        "key.pem", "-www", "-cipher", "DEFAULT@SECLEVEL=0", *options,
        cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 30
        while True:
            with socket.socket() as trying:
                if trying.connect_ex((str(LOOPBACK), port)) == 0:
                    break
            assert process.returncode is None
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        yield Target(LOOPBACK, port)
    finally:
        process.kill()
        await process.wait()


async def _asked(target: Target, kind: str, **settings: str) -> Verdict:
    given = {"request": "GET /", **settings} if kind == "https" else settings
    return await run(replace(make(kind, given, port=target.port), receive_timeout=60), target)


@pytest.mark.parametrize("version", OPTIONS)
async def test_a_server_of_one_version_is_up_unless_a_newer_one_is_asked_for(
    folder: Path, version: str
) -> None:
    trust = {"verify": "yes", "authorities": str(folder / "cert.pem"), "server_name": "web.example"}
    async with _server(folder, OPTIONS[version]) as target:
        for kind in ("https", "ssl"):
            found = await _asked(target, kind)
            assert found.up, found.words
            assert f"({NAMES[VERSIONS[version]]}" in found.words
            for minimum in OPTIONS:
                found = await _asked(target, kind, tls_minimum=minimum)
                assert found.up is (version >= minimum), (kind, minimum, found.words)
                assert found.up or "alert" in found.words or "older than" in found.words
        assert (await _asked(target, "https", **trust)).up is (version >= "1.2")
        assert (await _asked(target, "https", **trust, tls_minimum="1.0")).up


async def test_a_large_group_of_the_servers_choice_is_not_computed_on_the_event_loop(
    folder: Path,
) -> None:
    """Where it is, the loop stands still for a second: here it is counted what is offloaded."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    def inner() -> Dialogue:
        yield from ()
        return up("done")

    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(incoming, outgoing, server_side=True)
    dialogue = secured(inner(), Tls(), "192.0.2.1")
    offloaded = 0
    step = progress(dialogue)
    while isinstance(step, bytes | Offload | None):
        if isinstance(step, Offload):
            offloaded += 1
            step = progress(dialogue, step.result())
        elif step is None:
            with contextlib.suppress(ssl.SSLWantReadError):
                server.do_handshake()
            step = progress(dialogue, outgoing.read())
        else:
            incoming.write(step)
            step = progress(dialogue)
    assert step.up
    assert offloaded >= 1


def test_renegotiation_is_refused() -> None:
    for tls in (Tls(), Tls(verify=True), Tls(minimum="1.3")):
        assert contexts.make(tls).options & ssl.OP_NO_RENEGOTIATION


# The hello by hand.


def _hello(version: int, *extensions: bytes) -> bytes:
    body = version.to_bytes(2, "big") + bytes(32) + b"\1x" + b"\0\x2f\0"
    more = b"".join(extensions)
    body += len(more).to_bytes(2, "big") + more if extensions else b""
    return b"\2" + len(body).to_bytes(3, "big") + body


HELLOS = [
    (_hello(0x0301), 0x0301),
    (_hello(0x0303, b"\xff\x01\0\1\0"), 0x0303),
    (_hello(0x0303, b"\0\x0b\0\2\1\0", b"\0\x2b\0\2\3\4"), 0x0304),
]


@pytest.mark.parametrize(("hello", "version"), HELLOS)
def test_a_servers_hello_is_read_wherever_it_is_cut(hello: bytes, version: int) -> None:
    assert server_version(hello) == version
    for end in range(39):
        with pytest.raises(WrongAnswerError, match=r"no server hello|cut off"):
            server_version(hello[:end])
    for end in range(39, len(hello)):
        assert server_version(hello[:end]) in {version, 0x0303}


def test_a_clients_hello_names_no_address_and_offers_old_ciphers() -> None:
    assert b"web.example" in client_hello("web.example", "1.0")
    assert b"192.0.2.1" not in client_hello("192.0.2.1", "1.0")
    assert b"\x00\x0a" in client_hello(None, "1.0")
    assert b"\x03\x01" not in client_hello(None, "1.2")[5:].split(b"\0\x2b\0", 1)[1][:8]
