"""WinRM: the certificate is checked, and what fails is said. No Windows is here to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shunt.errors import RemoteError
from shunt.model.via import Endpoint
from shunt.servers.runners.base import Access
from shunt.servers.runners.winrm import WinRmRunner

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Refusing(BaseHTTPRequestHandler):
    """Answers every request as a server does that accepts no credentials."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Negotiate")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Endless(_Refusing):
    """Answers with a body that has no end."""

    status = 200

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(self.status)
        self.send_header("WWW-Authenticate", "Negotiate")
        self.end_headers()
        with contextlib.suppress(OSError):
            while True:
                self.wfile.write(bytes(1 << 20))


class _EndlessRefusal(_Endless):
    status = 401


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(path), "-out", f"{path}.crt"),
        ],
        check=True,
        capture_output=True,
    )
    return path


@pytest.fixture
def port(certificate: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    handler = getattr(request, "param", _Refusing)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


async def _open(port: int, ca: Path | None = None) -> None:
    there = Endpoint("127.0.0.1", port, "admin")
    async with WinRmRunner(there, Access(connect_timeout=8, password="secret", ca=ca)):
        pass


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_an_unknown_certificate_is_refused(port: int) -> None:
    with pytest.raises(RemoteError, match="certificate") as caught:
        await _open(port)
    assert caught.value.hint is not None
    assert "--ca" in caught.value.hint


@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_with_its_authority_the_conversation_begins(port: int, certificate: Path) -> None:
    with pytest.raises(RemoteError) as caught:
        await _open(port, ca=Path(f"{certificate}.crt"))
    assert "certificate" not in caught.value.message
    assert "secret" not in caught.value.message


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("port", [_Endless, _EndlessRefusal], indirect=True)
async def test_an_answer_without_an_end_is_given_up(port: int, certificate: Path) -> None:
    with pytest.raises(RemoteError, match="answered with more than 32 MiB and was given up"):
        await _open(port, ca=Path(f"{certificate}.crt"))


async def test_nobody_there() -> None:
    with pytest.raises(RemoteError, match="cannot be reached"):
        await _open(1)


async def test_a_server_waits_for_no_other_ones_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are opened at once, or neither is: with threads that are shared one would queue."""
    both = threading.Barrier(2)

    class Pool:
        def close(self) -> None:
            """Nothing is open."""

    def opening(self: WinRmRunner) -> Pool:
        both.wait(10)
        return Pool()

    monkeypatch.setattr(WinRmRunner, "_open", opening)
    with ThreadPoolExecutor(1) as few:
        asyncio.get_running_loop().set_default_executor(few)
        there = Endpoint("127.0.0.1", 1, "admin")
        runners = [WinRmRunner(there, Access(connect_timeout=20)) for _ in range(2)]
        await asyncio.gather(*(runner.__aenter__() for runner in runners))
        for runner in runners:
            await runner.__aexit__(None, None, None)
