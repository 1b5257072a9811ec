"""`shunt advisor`: lists, explains, and makes one check with its dialogue."""

from __future__ import annotations

import json
import socket
import threading

import pytest

from shunt.cli.main import app
from shunt.errors import UsageError


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
