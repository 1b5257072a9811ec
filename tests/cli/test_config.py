"""`shunt config`: what it prints, and what it leaves with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from shunt.cli.config import app
from shunt.config import load, parse
from shunt.errors import UsageError
from tests.config.test_problems import RIGHT

if TYPE_CHECKING:
    from pathlib import Path


def run(*words: str) -> object:
    return app(words, exit_on_error=False, result_action="return_value")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "shunt.yaml"
    path.write_text(RIGHT)
    return path


def test_check_counts_what_is_right(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", str(file)) == 0
    assert capsys.readouterr() == (f"{file}: 1 cluster, 1 service, 2 servers: right\n", "")
    assert run("check", "-c", str(file)) == 0
    assert run("check", "--config", str(file)) == 0


def test_check_warns_and_is_right(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(RIGHT.replace("[alpha, beta]", "[alpha]"))
    assert run("check", str(file)) == 0
    out, err = capsys.readouterr()
    assert out.endswith(": right\n")
    assert err.startswith(f"warning: {file}:9:9: servers.beta: server `beta` is in no service;")


def test_check_lists_every_problem(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(RIGHT.replace("port: 80", "port: x").replace("beta:", "bet:"))
    assert run("check", str(file)) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [f"{file}:6:16", f"{file}:6:36", str(file)]
    assert lines[1].split(": ")[1] == "clusters.web.ports[0].servers[1]"
    assert lines[2] == f"{file}: 2 problems"


def test_check_looks_at_the_advisors_settings(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    servers = "servers: [alpha, beta]"
    file.write_text(RIGHT.replace(servers, f"{servers}, advisor: {{type: http, requets: /}}"))
    assert run("check", str(file)) == 2
    assert "advisor.requets: is no setting of this advisor" in capsys.readouterr().out


def test_check_as_json(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", str(file), "--json") == 0
    right = json.loads(capsys.readouterr().out)
    assert right["right"] is True
    assert (right["clusters"], right["services"], right["servers"]) == (1, 1, 2)
    file.write_text(RIGHT.replace("port: 80", "port: x"))
    assert run("check", str(file), "--json") == 2
    wrong = json.loads(capsys.readouterr().out)
    assert wrong["right"] is False
    (problem,) = wrong["problems"]
    assert problem["message"].startswith("`x` is no port")
    assert (problem["line"], problem["column"]) == (6, 16)
    assert problem["path"] == "clusters.web.ports[0].port"


def test_show_is_the_normal_form(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(RIGHT.replace("eth0}", "eth0, secret: 00112233445566778899001122334455}"))
    assert run("show", str(file), "--secret") == 0
    assert parse(capsys.readouterr().out, "shown") == load(file)
    assert run("show", str(file)) == 0
    assert "001122" not in capsys.readouterr().out
    assert run("show", str(file), "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["clusters"]["web"]["ports"][0]["servers"] == {"alpha": 10, "beta": 10}
    assert "secret" not in shown["dispatcher"]


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema") == 0
    assert json.loads(capsys.readouterr().out)["$schema"].endswith("2020-12/schema")


def test_an_absent_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no such file") as caught:
        run("check", str(tmp_path / "none.yaml"))
    assert caught.value.exit_code == 2
