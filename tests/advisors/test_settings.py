"""Settings: read into what they mean, or refused before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.advisors import check, registry
from shunt.advisors.check import At
from shunt.advisors.protocols.http import Http, Https
from shunt.advisors.settings import SettingsError, host_name, meanings, without_port
from shunt.errors import UsageError
from tests.advisors.driving import TARGET, talk

if TYPE_CHECKING:
    from collections.abc import Mapping


def test_settings_are_read_and_mistakes_named_all_at_once() -> None:
    made = check.make("http", {"request": "/health", "expect": "200, 3xx", "interval": "500ms"})
    assert isinstance(made.advisor, Http)
    assert made.advisor.request == "GET /health"
    assert made.advisor.expect == (range(200, 201), range(300, 400))
    assert (made.interval, made.connect_timeout, made.receive_timeout) == (0.5, 1.5, 1.5)
    assert (made.fall, made.rise, made.at) == (1, 1, At.CLUSTER)
    with pytest.raises(SettingsError) as caught:
        check.make("http", {"requets": "/", "expect": "2x", "interval": "soon", "retries": "-1"})
    assert set(caught.value.mistakes) == {"requets", "expect", "interval", "retries"}
    assert "did you mean `request`?" in caught.value.mistakes["requets"]


def test_what_must_be_given_is_missed_and_unknown_advisors_have_neighbours() -> None:
    with pytest.raises(SettingsError, match="command: is missing"):
        check.make("exec", {})
    with pytest.raises(UsageError, match="did you mean `https`"):
        check.make("htps", {})
    with pytest.raises(UsageError, match="which one to ask"):
        check.make("connect", {}, port=0)
    assert check.make("agent", {"port": "7777"}, port=80).at is At.SERVER


@pytest.mark.parametrize("name", registry.BUILT_IN)
def test_every_advisor_explains_its_settings(name: str) -> None:
    found = registry.find(name)
    assert found.name == name
    for key, (_, meaning) in meanings(found).items():
        assert meaning.endswith("."), key
        assert key not in meanings(check.Common), key


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        ("http", {"request": "HEAD /x", "body": "ok"}, "body: an answer to HEAD has none"),
        ("http", {"expect": "204, 304", "body": "ok"}, "body: an answer of the expected status"),
        ("http", {"expect": "399-200"}, "expect: `399-200` ends before it begins"),
        ("http", {"expect": ()}, "expect: no status would be right"),
        ("https", {"server_name": ".x"}, "server_name: `.x` is no host's name"),
        ("https", {"server_name": "x" * 64 + ".example"}, "is no host's name"),
        ("https", {"host": "a..b"}, "host: `a..b` is no host's name"),
        ("https", {"alpn": ""}, "alpn: `` is no protocol"),
        ("https", {"alpn": ("h2", "x" * 256)}, "is no protocol"),
        ("https", {"authorities": "/etc/ca.pem"}, "authorities: are not asked"),
        ("ssl", {"server_name": ".x"}, "server_name: `.x` is no host's name"),
        ("grpc", {"tls": "yes", "authority": "a..b:80"}, "authority: `a..b` is no host's name"),
        ("dns", {"expect": ()}, "expect: no code would be right"),
        ("sip", {"expect": "100-199"}, "expect: statuses below 200 are provisional"),
        ("redis", {"user": "u"}, "user: is named with a password only"),
        ("prometheus", {"request": "HEAD /metrics"}, "request: an answer to HEAD"),
        ("exec", {"command": ("/bin/x", "a\0b")}, "command: holds a NUL"),
        ("exec", {"command": "/bin/x", "at": "cluster"}, "at: a command's connections cannot"),
        ("exec", {"command": "/bin/x", "connect_timeout": "1s"}, "has no connection"),
    ],
)
def test_what_can_never_succeed_is_refused(
    kind: str, given: Mapping[str, object], words: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        check.make(kind, given, port=80)
    assert words in str(caught.value)


def test_an_agent_never_asks_the_services_port() -> None:
    with pytest.raises(UsageError, match="agent: it has no usual port; say which one to ask"):
        check.make("agent", {}, port=80)
    made = check.make("prometheus", {}, port=80)
    assert made.target(TARGET.address, 80).port == 9100


def test_a_body_is_asked_for_by_get() -> None:
    made = check.make("http", {"body": "ok"}, port=80)
    assert talk(made.advisor)[1].startswith(b"GET / HTTP/1.1\r\n")
    assert talk(Http())[1].startswith(b"HEAD / HTTP/1.1\r\n")
    assert talk(made.advisor, b"HTTP/1.1 200 OK\r\n\r\nok")[0].up


@pytest.mark.parametrize(
    ("authority", "name"),
    [
        ("www.example", "www.example"),
        ("www.example:8443", "www.example"),
        ("192.0.2.1:8", "192.0.2.1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_name_for_tls_is_the_hosts_without_its_port(authority: str, name: str) -> None:
    assert without_port(authority) == name
    assert host_name(name) == name
    assert Https(host=authority).secure.server_name == name
    assert Https(host=authority, server_name="other.example").secure.server_name == "other.example"
