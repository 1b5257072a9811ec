"""Settings: read into what they mean, or refused before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.advisors import check, registry
from shunt.advisors import settings as reading
from shunt.advisors.check import At
from shunt.advisors.protocols.http import Http, Https
from shunt.advisors.settings import SettingError, SettingsError, host_name, meanings, without_port
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


class Costly(str):
    """Text that must not be worked on before its length is looked at."""

    __slots__ = ()

    def encode(self, *_args: str) -> bytes:
        raise AssertionError("it was encoded")

    def isprintable(self) -> bool:
        raise AssertionError("each letter was looked at")


@pytest.mark.parametrize(
    "read", [host_name, reading.line, reading.authority, reading.words, reading.text]
)
def test_what_is_too_long_is_refused_before_it_is_read(read: reading.Read) -> None:
    with pytest.raises(SettingError, match=r"is 60000 characters long; [0-9]+ are allowed"):
        read(Costly("\u4e00" * 60_000))


def test_a_hosts_name_has_253_letters_at_most() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    assert host_name(longest) == longest
    for key, kind in (("server_name", "https"), ("server_name", "ssl")):
        with pytest.raises(SettingsError, match=f"{key}: is 254 characters long; 253 are allowed"):
            check.make(kind, {key: longest + "b"})
    for key, kind in (("host", "http"), ("host", "https"), ("authority", "grpc")):
        with pytest.raises(SettingsError, match=f"{key}: is 300 characters long"):
            check.make(kind, {key: "a" * 300}, port=80)


def test_a_list_is_as_long_as_a_text_may_be() -> None:
    assert reading.words(("a",) * 4096) == ("a",) * 4096
    with pytest.raises(SettingError, match="are 8194 characters together"):
        reading.words(("a",) * 4097)
    with pytest.raises(SettingError, match="are 20000 characters together"):
        reading.words(("",) * 20_000)


def test_more_settings_than_any_advisor_has_are_refused_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looked_for: list[str] = []

    def matches(word: str, *_args: object, **_named: object) -> list[str]:
        looked_for.append(word)
        return []

    monkeypatch.setattr(reading, "get_close_matches", matches)
    many = {f"connect_time{number}": "" for number in range(3000)}
    with pytest.raises(SettingsError, match="3000 settings are given; 64 are allowed") as caught:
        check.make("https", many)
    assert looked_for == []
    assert len(caught.value.mistakes) == 1
    for kind, given in (("http", {"x" * 60_000: ""}), ("http", {"at": "cluster" * 1000}),
                        ("https" * 10_000, {})):  # fmt: skip
        with pytest.raises(UsageError) as refused:
            check.make(kind, given)
        assert len(str(refused.value)) < 1000
    assert looked_for == []
