"""`shunt advisor`: lists, explains, and makes one check with its dialogue."""

from __future__ import annotations

import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from shunt.cli.main import app
from shunt.errors import HostError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: str) -> object:
    return app(words, exit_on_error=False, print_error=False, result_action="return_value")


def test_list_and_show_explain(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("advisor", "list") == 0
    assert "postgres" in capsys.readouterr().out
    assert run("advisor", "show", "https", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["port"] == 443
    assert shown["settings"]["expect"]["default"] == "200-399"
    assert shown["settings"]["retries"]["default"] == "0"


def test_one_check_shows_the_dialogue(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b"HTTP/1.1 418 Teapot\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        place = f"127.0.0.1:{server.getsockname()[1]}"
        assert run("advisor", "run", "http", place, "request=GET /tea") == 1
        thread.join()
    said = capsys.readouterr().out
    assert "> GET /tea HTTP/1.1" in said
    assert "< HTTP/1.1 418 Teapot" in said
    assert "down" in said


@pytest.mark.parametrize(
    "words",
    [("htp", "192.0.2.1:80"), ("http", "192.0.2.1:x"), ("http", "host:80"),
     ("http", "192.0.2.1:80", "expect"), ("http", "192.0.2.1:80", "expects=200")],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_is_asked(words: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        run("advisor", "run", *words)


class FakeDaemon:
    """Stands for the control socket: keeps what is asked, and answers or refuses."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self._answer = answer
        monkeypatch.setattr("shunt.dispatcher.control.is_served", lambda _path: True)
        monkeypatch.setattr("shunt.dispatcher.control.request", self._request)

    def _request(self, _path: Path, command: str, **arguments: Any) -> Any:
        self.asked.append((command, arguments))
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


UP = {"up": True, "words": "works", "load": 1.0, "share": None, "warning": None, "dialogue": []}


def test_the_daemon_gets_lists_and_all_the_time_that_the_check_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = FakeDaemon(monkeypatch, UP)
    words = ("command=/bin/echo", "command=a=b", "port=81", "receive_timeout=5m")
    assert run("advisor", "run", "exec", "192.0.2.10:80", *words, "--server", "a") == 0
    ((command, asked),) = fake.asked
    assert command == "advise"
    assert asked["settings"] == {
        "command": ["/bin/echo", "a=b"], "port": "81", "receive_timeout": "5m",
    }  # fmt: skip
    assert asked["patience"] >= 21 + 300
    assert (asked["server"], asked["address"], asked["port"]) == ("a", "192.0.2.10", 80)


def test_a_dispatcher_does_not_ask_its_own_cluster_addresses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    FakeDaemon(monkeypatch, {"cluster_addresses": ["127.0.0.1"]})
    with pytest.raises(UsageError, match="cluster address of the dispatcher") as refused:
        run("advisor", "run", "connect", "127.0.0.1:1")
    assert "--server" in str(refused.value.hint)


@pytest.mark.parametrize(
    "answer", [{"cluster_addresses": ["192.0.2.10"]}, HostError("permission denied")]
)
def test_other_addresses_are_asked_directly(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    FakeDaemon(monkeypatch, answer)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert run("advisor", "run", "connect", f"127.0.0.1:{server.getsockname()[1]}") == 0


def test_a_single_value_given_twice_is_refused() -> None:
    with pytest.raises(UsageError, match="single value"):
        run("advisor", "run", "http", "192.0.2.1:80", "request=/", "request=/x")


SERVICES = """\
dispatcher: {interface: eth0}
clusters:
  web:
    address: 192.0.2.10
    ports:
      - port: 80
        servers: [a]
        advisors_required: RULE
        advisor: [{type: http, request: /x}, {type: connect, port: 81}, {type: ping}]
      - {port: 81, servers: [a]}
servers: {a: {address: 192.0.2.21}}
"""


@pytest.mark.parametrize(
    ("rule", "answers", "code"),
    [
        ("all", (True, True, True), 0),
        ("all", (True, False, None), 1),
        ("all", (True, True, None), 3),
        ("any", (False, None, True), 0),
        ("any", (False, False, False), 1),
        ("any", (False, None, False), 3),
    ],
)
def test_all_checks_of_a_service_are_made_and_judged_by_its_rule(
    rule: str,
    answers: tuple[bool | None, ...],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = tmp_path / "shunt.yaml"
    file.write_text(SERVICES.replace("RULE", rule))
    fake = FakeDaemon(monkeypatch, None)
    left = iter(answers)

    def request(_path: Path, command: str, **arguments: Any) -> Any:
        fake.asked.append((command, arguments))
        return UP | {"up": next(left), "words": f"said of {arguments['kind']}"}

    monkeypatch.setattr("shunt.dispatcher.control.request", request)
    words = ("192.0.2.10:80", "--server", "a", "-c", str(file))
    assert run("advisor", "run-service", *words) == code
    assert [asked["kind"] for _, asked in fake.asked] == ["http", "connect", "ping"]
    assert fake.asked[0][1]["settings"] == {"request": "/x"}
    said = capsys.readouterr().out
    for kind in ("http", "connect", "ping"):
        assert f"192.0.2.10:80/tcp, advisor {kind}:" in said
        assert f"said of {kind}" in said
    left = iter(answers)
    assert run("advisor", "run-service", *words, "--json") == code
    document = json.loads(capsys.readouterr().out)
    assert {0: True, 1: False, 3: None}[code] == document["up"]
    assert [each["up"] for each in document["checks"]] == list(answers)


@pytest.mark.parametrize(("place", "why"), [("192.0.2.10:81", "has no advisor"),
                                            ("192.0.2.10:82", "has no service")])  # fmt: skip
def test_a_service_that_is_not_checked_is_named(place: str, why: str, tmp_path: Path) -> None:
    file = tmp_path / "shunt.yaml"
    file.write_text(SERVICES.replace("RULE", "all"))
    with pytest.raises(UsageError, match=why):
        run("advisor", "run-service", place, "--server", "a", "-c", str(file))
