"""Contexts of TLS: one for what a context must hold, made beside the event loop."""

from __future__ import annotations

import os
import ssl
import subprocess
from typing import TYPE_CHECKING

import pytest

from shunt.advisors import tls as module
from shunt.advisors.check import make
from shunt.advisors.dialogue import Offload, Verdict, progress, up
from shunt.advisors.tls import Contexts, Tls, secured

if TYPE_CHECKING:
    from pathlib import Path

    from shunt.advisors.dialogue import Dialogue


@pytest.fixture(scope="module")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tls")
    words = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -subj /CN=ca.example -out cert.pem"
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True, cwd=made)
    return made / "cert.pem"


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> Contexts:
    fresh = Contexts()
    monkeypatch.setattr(module, "contexts", fresh)
    return fresh


def _silent() -> Dialogue:
    yield b"hello"
    return up("fine")


def _begun(tls: Tls) -> tuple[bytes | Verdict | None, int]:
    """Return the first bytes of a dialogue, or its end, and how often it offloaded until then."""
    dialogue = secured(_silent(), tls, "192.0.2.1")
    step, offloaded = progress(dialogue), 0
    while isinstance(step, Offload):
        offloaded += 1
        step = progress(dialogue, step.result())
    dialogue.close()
    return step, offloaded


def test_names_protocols_and_days_share_one_context(contexts: Contexts) -> None:
    for number in range(300):
        given = {"verify": "yes", "server_name": f"n{number}.example", "warn_days": str(number),
                 "alpn": ("h2", f"x{number}")}  # fmt: skip
        secure = make("https", given, port=443).advisor.secure
        assert secure is not None
        hello, offloaded = _begun(secure)
        assert isinstance(hello, bytes)
        assert f"n{number}.example".encode() in hello, "the name is of the connection"
        assert f"x{number}".encode() in hello, "so are the protocols"
        assert offloaded == (number == 0), "it is made once, and beside the event loop"
    assert len(contexts) == 1
    hello, _ = _begun(Tls(verify=True, server_name="a.example"))
    assert isinstance(hello, bytes)
    assert b"x299" not in hello, "no protocols are left of the connection before"
    assert len(contexts) == 1


def test_what_members_may_wish_makes_few_contexts(contexts: Contexts) -> None:
    for verify in (True, False):
        for minimum in (None, "1.0", "1.1", "1.2", "1.3"):
            _begun(Tls(verify=verify, minimum=minimum, server_name="a.example"))
    assert len(contexts) == 8


def test_another_file_makes_another_context_and_a_changed_one_too(
    contexts: Contexts, authorities: Path
) -> None:
    tls = Tls(verify=True, authorities=str(authorities))
    first = contexts.make(tls)
    assert contexts.ready(tls) is first
    assert contexts.make(Tls(verify=True)) is not first
    os.utime(authorities, ns=(1, 1))
    assert contexts.ready(tls) is None
    assert contexts.make(tls) is not first
    assert len(contexts) == 2, "the one of the old file is not kept"


@pytest.mark.parametrize("text", [None, "nonsense"])
def test_authorities_that_cannot_be_read_say_nothing_of_the_server(
    contexts: Contexts, tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    verdict, _ = _begun(Tls(verify=True, authorities=str(file)))
    assert isinstance(verdict, Verdict)
    assert verdict.up is None
    assert f"the authorities {file} cannot be read" in verdict.words
    assert len(contexts) == 0


def test_contexts_are_bounded(contexts: Contexts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_CONTEXTS", 2)
    for minimum in ("1.0", "1.1", "1.2"):
        contexts.make(Tls(minimum=minimum))
    assert len(contexts) == 2
    assert contexts.ready(Tls(minimum="1.0")) is None
    assert isinstance(contexts.ready(Tls(minimum="1.2")), ssl.SSLContext)
