"""The normal form says the same as the file that it came from."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings

from shunt.config import dump, normalised, parse
from tests.config.configurations import configurations, text
from tests.config.test_reading import FULL


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(configurations())
def test_the_normal_form_says_the_same(data: dict[str, Any]) -> None:
    config = parse(text(data), "f")
    normal = dump(config)
    assert parse(normal, "normal") == config
    assert dump(parse(normal, "normal")) == normal


def test_every_default_is_written() -> None:
    config = parse(
        "dispatcher: {interface: eth0}\n"
        "clusters: {web: {address: 192.0.2.10, ports: [{port: 80, servers: [a]}]}}\n"
        "servers: {a: {address: 192.0.2.21}}\n",
        "f",
    )
    assert dump(config) == (
        "dispatcher:\n"
        "  interface: [eth0]\n"
        "  mode: auto\n"
        "  exceptions: 1048576\n"
        "  exceptions_rate: 20000\n"
        "  announce: 60\n"
        "  hooks: /etc/shunt/hooks\n"
        "clusters:\n"
        "  web:\n"
        "    address: [192.0.2.10]\n"
        "    ports:\n"
        "    - port: 80\n"
        "      protocol: tcp\n"
        "      servers:\n"
        "        a: 10\n"
        "      forward: mac\n"
        "      track: auto\n"
        "      on_down: keep\n"
        "      stale: 300\n"
        "      udp_idle: 60\n"
        "servers:\n"
        "  a:\n"
        "    address: [192.0.2.21]\n"
        "    weight: 10\n"
        "    os: linux\n"
        "manager:\n"
        "  dynamic: no\n"
        "  active: 50\n"
        "  new: 50\n"
        "  port: 0\n"
        "  system: 0\n"
        "  interval: 2\n"
        "  refresh: 2\n"
        "  sensitivity: 5\n"
        "  smoothing: 1.5\n"
        "  weightbound: 20\n"
        "  slow_start: 0\n"
        "  min_servers: 0\n"
    )


def test_the_secret_can_be_left_out() -> None:
    config = parse(FULL, "f")
    assert "00112233445566778899001122334455" in dump(config)
    assert "secret" not in dump(config, secret=False)
    assert "secret" not in str(normalised(config, secret=False))


def test_passwords_are_blanked_where_secrets_are_left_out() -> None:
    text = MINIMAL_WITH_PASSWORDS
    config = parse(text, "f")
    assert parse(dump(config), "f") == config
    shown = dump(config, secret=False)
    assert not [word for word in ("geheim", "s3cret", "dG9rZW4", "4711") if word in shown]
    assert "X-Api-Key: (not shown)" in shown
    assert "authorization: (not shown)" in shown
    assert "GET /health?(not shown)" in shown
    assert "own.check.example" in shown
    assert shown.count("(not shown)") == 8


def test_arguments_of_commands_are_blanked_wherever_a_command_stands() -> None:
    command = "{type: exec, command: [/opt/check, --password=geheim, -p, s3cret]}"
    text = (
        MINIMAL_WITH_PASSWORDS.split("clusters:", maxsplit=1)[0]
        + f"""\
clusters:
  web: {{address: 192.0.2.10, ports: [{{port: 80, servers: [a], advisor: {command}}}]}}
servers: {{a: {{address: 192.0.2.21, metric: {command}}}}}
"""
    )
    config = parse(text, "f")
    assert parse(dump(config), "f") == config
    shown = dump(config, secret=False)
    assert "geheim" not in shown
    assert "s3cret" not in shown
    assert shown.count("[/opt/check, (not shown), (not shown), (not shown)]") == 2


MINIMAL_WITH_PASSWORDS = """\
dispatcher: {interface: eth0}
clusters:
  web:
    address: 192.0.2.10
    ports:
      - {port: 6379, servers: [a], advisor: {type: redis, user: u, password: geheim}}
      - port: 80
        servers: [a]
        advisor:
          type: http
          host: own.check.example
          request: GET /health?key=4711
          headers: ["X-Api-Key: 4711", "authorization: Basic dG9rZW4="]
      - {port: 81, servers: [a], advisor: {type: agent, port: 1, send: "login 4711"}}
      - {port: 82, servers: [a], advisor: {type: own, apiToken: 4711, more: {client_secret: 4711}}}
servers:
  a: {address: 192.0.2.21, metric: {type: ldap, password: s3cret}}
"""
