"""What is right by the rules and looks like a mistake."""

from __future__ import annotations

from shunt.config import parse_located, warnings
from tests.config.test_problems import RIGHT


def told(text: str) -> list[str]:
    return [problem.render("f") for problem in warnings(parse_located(text, "f"))]


def test_nothing_to_say() -> None:
    assert told(RIGHT) == []


def test_a_server_in_no_service() -> None:
    (line,) = told(RIGHT.replace("[alpha, beta]", "[alpha]"))
    assert line.startswith("f:9:9: servers.beta: server `beta` is in no service; name it")


def test_a_service_of_weight_0() -> None:
    (line,) = told(RIGHT.replace("[alpha, beta]", "{alpha: 0, beta: 0}"))
    assert line.startswith("f:4:5: clusters.web: every server of 192.0.2.10:80/tcp has weight 0;")


def test_two_servers_with_one_card() -> None:
    text = RIGHT
    for octet in (21, 22):
        text = text.replace(f"192.0.2.{octet}}}", f"192.0.2.{octet}, mac: '02:00:00:00:00:21'}}")
    (line,) = told(text)
    assert "servers.beta.mac: server `alpha` has the same MAC address" in line
