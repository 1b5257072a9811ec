"""What wrong input gets: every mistake at once, where it is, and what would be right."""

from __future__ import annotations

import textwrap

import pytest

from shunt.config import parse
from shunt.errors import ConfigError, Problem

RIGHT = """\
dispatcher: {interface: eth0}
clusters:
  web:
    address: 192.0.2.10
    ports:
      - {port: 80, servers: [alpha, beta]}
servers:
  alpha: {address: 192.0.2.21}
  beta: {address: 192.0.2.22}
"""


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    return caught.value.problems


def test_the_right_file_is_right() -> None:
    parse(RIGHT, "f")


PORT = "clusters.web.ports[0]"
LIST = "[alpha, beta]"


# In `RIGHT` old becomes new; the problem is where `at` then stands, with this path and words.
MISTAKES = [
    # keys
    ("{interface: eth0}", "{interface: eth0, exeptions: 9}", "exeptions",
     "dispatcher.exeptions", "did you mean `exceptions`?"),
    ("    address: 192.0.2.10", "    address: 192.0.2.10\n    zzz: 1", "zzz",
     "clusters.web.zzz", "known here: forward, track"),
    ("{port: 80,", "{port: 80, protocl: tcp,", "protocl",
     f"{PORT}.protocl", "did you mean `protocol`?"),
    ("{address: 192.0.2.21}", "{address: 192.0.2.21, wieght: 3}", "wieght",
     "servers.alpha.wieght", "did you mean `weight`?"),
    ("servers:\n  alpha", "severs: 1\nservers:\n  alpha", "severs",
     "severs", "did you mean `servers`?"),
    (LIST, "{alpha: {wight: 2}, beta: }", "wight",
     f"{PORT}.servers.alpha.wight", "did you mean `weight`?"),
    (LIST, "[alpha], sticky: {time: 5, musk: 8}", "musk",
     f"{PORT}.sticky.musk", "did you mean `mask`?"),
    ("{interface: eth0}", "{interface: eth0, interfaces: eth1}", "interfaces",
     "dispatcher.interfaces", "keep one"),
    # missing or empty
    ("dispatcher: {interface: eth0}", "x-nothing: 1", "x", "", "`dispatcher` is missing"),
    ("{interface: eth0}", "{}", "dispatcher", "dispatcher", "`interface` is missing"),
    ("{interface: eth0}", "eth0", "eth0", "dispatcher", "is a single value; give a mapping"),
    ("{interface: eth0}", "", "dispatcher", "dispatcher", "is empty; give a mapping"),
    ("{interface: eth0}", "{interface: []}", "[]", "dispatcher.interface", "the list is empty"),
    ("    address: 192.0.2.10\n", "", "web", "clusters.web", "`address` is missing"),
    ("    address: 192.0.2.10\n", "    address:\n", "address:\n",
     "clusters.web.address", "is empty"),
    ("{port: 80, ", "{", "{servers", PORT, "`port` is missing"),
    (", servers: [alpha, beta]", "", "{port", PORT, "`servers` is missing"),
    (LIST, "[]", "[", f"{PORT}.servers", "at least one"),
    (LIST, "alpha", "alpha}", f"{PORT}.servers", "give a list of names"),
    (LIST, "[alpha], stale: ", "stale", f"{PORT}.stale", "is empty; give a duration"),
    (LIST, "[alpha], sticky: {mask: 8}", "sticky", f"{PORT}.sticky", "`time` is missing"),
    (LIST, "[alpha], advisor: http", "http", f"{PORT}.advisor", "a mapping with `type`"),
    (LIST, "[alpha], advisor: {port: 1}", "advisor", f"{PORT}.advisor", "`type` is missing"),
    (LIST, "[alpha], advisor: [http]", "http]", f"{PORT}.advisor[0]", "a mapping with `type`"),
    (LIST, "[alpha], advisor: [{type: http}, {}]", "{}]", f"{PORT}.advisor[1]",
     "`type` is missing"),
    (LIST, "[alpha], advisor: []", "[]", f"{PORT}.advisor", "the list is empty"),
    (LIST, f"[alpha], advisor: [{', '.join(['{type: http}'] * 9)}]", "[{type", f"{PORT}.advisor",
     "the list is too long; give 8 at most"),
    (LIST, "[alpha], advisor: ", "advisor", f"{PORT}.advisor", "is empty; give a mapping"),
    (LIST, "[alpha], advisor: {type: http}, advisors_required: any", "advisors_required",
     f"{PORT}.advisors_required", "there are not several"),
    (LIST, "[alpha], advisor: [{type: http}, {type: ping}], advisors_required: one", "one",
     f"{PORT}.advisors_required", "all, any"),
    (f'      - {{port: 80, servers: {LIST}}}', "      -", "\nservers:\n  alpha",
     PORT, "is empty; give a mapping"),
    ("{address: 192.0.2.21}", "", "alpha:",
     "servers.alpha", "is empty; give a mapping with `address`"),
    ("  alpha: {", "  al pha: {address: 192.0.2.23}\n  alpha: {", "al ",
     'servers."al pha"', "no name"),
    # addresses
    ("192.0.2.10", "192.0.2.256", "192.0.2.256",
     "clusters.web.address", "four numbers are 0 to 255"),
    ("192.0.2.10", "192.0.2.010", "192.0.2.010", "clusters.web.address", "write 192.0.2.10"),
    ("192.0.2.10", "192.0.2.0/24", "192.0.2.0", "clusters.web.address", "is a network"),
    ("192.0.2.10", "2001:db8::/64", "2001", "clusters.web.address", "is a network"),
    ("192.0.2.10", "[192.0.2.10, 2001:db8::g]", "2001", "clusters.web.address[1]", "no IPv6"),
    ("192.0.2.10", "web.example", "web.", "clusters.web.address", "names are not looked up"),
    ("192.0.2.10", "fe80::1%eth0", "fe80", "clusters.web.address", "without `%eth0`"),
    ("192.0.2.10", "::ffff:192.0.2.10", "::", "clusters.web.address", "write 192.0.2.10"),
    ("192.0.2.10", "224.0.0.1", "224", "clusters.web.address", "multicast"),
    ("192.0.2.10", "ff02::1", "ff02", "clusters.web.address", "multicast"),
    ("192.0.2.10", "127.0.0.1", "127", "clusters.web.address", "loopback"),
    ("192.0.2.10", "::1", "::", "clusters.web.address", "loopback"),
    ("192.0.2.10", "255.255.255.255", "255.255.", "clusters.web.address", "broadcast"),
    ("192.0.2.10", "0.0.0.1", "0.0", "clusters.web.address", "0.0.0.0/8"),
    ("192.0.2.21", "0.0.0.0", "0.0.", "servers.alpha.address", "no machine's address"),
    ("192.0.2.21", "ff02::1", "ff02", "servers.alpha.address", "multicast"),
    ("192.0.2.21}", "192.0.2.21, gateway: 192.0.2.0/24}", "192.0.2.0",
     "servers.alpha.gateway", "network"),
    ("192.0.2.21}", "192.0.2.21, mac: '02:00:00:00:21'}", "'02", "servers.alpha.mac",
     "not a MAC address"),
    ("192.0.2.21}", "192.0.2.21, mac: '01:00:5e:00:00:01'}", "'01", "servers.alpha.mac", "group"),
    ("192.0.2.21}", "192.0.2.21, mac: '00:00:00:00:00:00'}", "'00", "servers.alpha.mac", "machine"),
    # numbers, durations, words
    ("port: 80", "port: 70000", "70000", f"{PORT}.port", "out of range; give 1 to 65535"),
    ("port: 80", "port: -1", "-1", f"{PORT}.port", "no port"),
    ("port: 80", "port: http", "http", f"{PORT}.port", "no port"),
    ("port: 80", "port: [80]", "[80", f"{PORT}.port", "is a list"),
    ("port: 80", "port: ٨٠", "٨٠", f"{PORT}.port", "no port"),
    (LIST, "{alpha: 65536}", "65536", f"{PORT}.servers.alpha", "from 0 to 65535"),
    ("192.0.2.21}", "192.0.2.21, weight: 1.5}", "1.", "servers.alpha.weight", "from 0 to 65535"),
    (LIST, "[alpha], stale: 1:30", "1:", f"{PORT}.stale", "no duration"),
    (LIST, "[alpha], stale: 0", "0}\nservers", f"{PORT}.stale", "out of range"),
    (LIST, "[alpha], stale: 999999999999999999d", "999999999999999999d",
     f"{PORT}.stale", "no duration"),
    (LIST, "[alpha], stale: 371d", "371d", f"{PORT}.stale", "out of range"),
    (LIST, "[alpha], protocol: both tcp", "both", f"{PORT}.protocol", "did you mean `both`?"),
    (LIST, "[alpha], forward: nat", "nat", f"{PORT}.forward", "nat is not available yet; use mac"),
    (LIST, "[alpha], forward: encap", "encap", f"{PORT}.forward", "encap is not available yet"),
    (LIST, "[alpha], track: no", "no", f"{PORT}.track", "did you mean `none`?"),
    (LIST, "[alpha], on_down: kill", "kill", f"{PORT}.on_down", "keep, move, reset"),
    (LIST, "[alpha], sticky: {time: 5, mask: 33}", "33", f"{PORT}.sticky.mask", "from 1 to 32"),
    (LIST, "[alpha], sticky: {time: 5, mask6: 0}", "0}}", f"{PORT}.sticky.mask6", "from 1 to 128"),
    ("192.0.2.21}", "192.0.2.21, os: linus}", "linus", "servers.alpha.os", "did you mean `linux`?"),
    ("eth0}", "eth0, mode: fast}", "fast", "dispatcher.mode", "auto, native, generic"),
    ("eth0}", "a-name-too-long-for-linux}", "a-", "dispatcher.interface", "1 to 15 characters"),
    ("eth0}", "eth0, secret: 0123}", "0123", "dispatcher.secret", "32 hexadecimal digits"),
    ("eth0}", "eth0, group: 'a b'}", "'a", "dispatcher.group", "/etc/group"),
    ("eth0}", "eth0, exceptions: 10}", "10}", "dispatcher.exceptions", "from 1024"),
    ("192.0.2.21}", "192.0.2.21, via: telnet://a}", "telnet", "servers.alpha.via", "no way in"),
    (LIST, "[alpha, bta]", "bta", f"{PORT}.servers[1]", "did you mean `beta`?"),
    # what spans entities
    (LIST, "{alpha: 1, gamma: 2}", "gamma", f"{PORT}.servers.gamma", "no server is called `gamma`"),
    (LIST, "[alpha, beta, alpha]", "alpha]", f"{PORT}.servers[2]", "stands at line 6 already"),
    ("192.0.2.22", "192.0.2.21 ", "192.0.2.21 }",
     "servers.beta.address", "server `alpha` at line 8"),
    ("192.0.2.22", "[192.0.2.22, 192.0.2.22]", "192.0.2.22]",
     "servers.beta.address[1]", "`beta` at line 9"),
    ("192.0.2.22", "192.0.2.10", "192.0.2.10}", "servers.beta.address", "cluster address (line 4)"),
    ("192.0.2.10", "[192.0.2.10, 192.0.2.10]", "192.0.2.10]",
     "clusters.web.address[1]", "is a service already (line 4, column 15)"),
    ("192.0.2.21}", "192.0.2.21, wpar: app}", "wpar", "servers.alpha.wpar", "for os aix-wpar"),
    ("192.0.2.21}", "192.0.2.21, os: aix-wpar, wpar: 'app1; touch /tmp/x #'}", "'app1",
     "servers.alpha.wpar", "1 to 25 letters"),
    ("192.0.2.21}", "192.0.2.21, os: aix-wpar, wpar: -app1}", "-app1",
     "servers.alpha.wpar", "1 to 25 letters"),
    ("192.0.2.21}", "192.0.2.21, os: aix-wpar, wpar: a23456789012345678901234567}", "a2",
     "servers.alpha.wpar", "1 to 25 letters"),
    ("192.0.2.21}", "192.0.2.21, os: aix-wpar}", "aix", "servers.alpha.os", "add `wpar: NAME`"),
    ("192.0.2.21}", "192.0.2.21, gateway: 192.0.2.21}", "192.0.2.21}",
     "servers.alpha.gateway", "itself"),
    (LIST, "[alpha], sticky: {time: 5, cross: [80, 81]}", "81",
     f"{PORT}.sticky.cross[1]", "no port 81; its ports are 80"),
    (LIST, "[alpha], sticky: {time: 5, cross: any}", "any", f"{PORT}.sticky.cross", "no port any"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "at", "path", "words"), MISTAKES)
def test_a_mistake_is_named_where_it_is(old: str, new: str, at: str, path: str, words: str) -> None:
    text = RIGHT.replace(old, new)
    assert RIGHT.count(old) == text.count(at) == 1
    line = text.count("\n", 0, text.index(at)) + 1
    column = text.index(at) - text.rfind("\n", 0, text.index(at))
    (problem,) = problems(text)
    assert (problem.line, problem.column, problem.path) == (line, column, path)
    assert words in problem.message


def test_a_misspelt_key_that_must_be_there_is_both_unknown_and_missing() -> None:
    missing, unknown = problems(RIGHT.replace("interface:", "interfase:"))
    assert "`interface` is missing" in missing.message
    assert "did you mean `interface`?" in unknown.message


def test_two_services_on_one_address_and_port_name_both_places() -> None:
    text = RIGHT.replace(
        "servers:\n  alpha",
        "  api:\n    address: [192.0.2.11, 192.0.2.10]\n    ports:\n"
        "      - {port: 80, protocol: both, servers: [beta]}\nservers:\n  alpha",
    )
    (problem,) = problems(text)
    assert (problem.line, problem.column, problem.path) == (10, 16, "clusters.api.ports[0].port")
    assert "192.0.2.10 port 80/tcp is a service already (line 6, column 16)" in problem.message


@pytest.mark.parametrize(
    ("one", "other", "refused"),
    [
        ("ssh://root@aix", "ssh://shunt@AIX:22", True),
        ("local", "local", True),
        ("ssh://root@aix", "ssh://root@aix2", False),
        ("ssh://root@aix", "ssh://root@aix:2222", False),
    ],
)
def test_two_partitions_of_one_aix_system(one: str, other: str, *, refused: bool) -> None:
    """They share one loopback; how one logs in there makes no difference."""
    wpar = "os: aix-wpar, wpar: w, via:"
    text = RIGHT.replace("192.0.2.21", f'192.0.2.21, {wpar} "{one}"').replace(
        "192.0.2.22", f'192.0.2.22, {wpar} "{other}"'
    )
    if not refused:
        parse(text, "f")
        return
    (problem,) = problems(text)
    assert (problem.line, problem.path) == (9, "servers.beta.via")
    assert "server `alpha` at line 8 is a partition of this AIX system already" in problem.message
    assert "only one of them can listen on the cluster address" in problem.message


def test_wildcards_and_the_other_protocol_are_other_services() -> None:
    text = RIGHT.replace(
        "servers:\n  alpha",
        "      - {port: 80, protocol: udp, servers: [beta]}\n"
        "      - {port: any, servers: [beta]}\n"
        "  rest:\n    address: [0.0.0.0, '::']\n    ports: [{port: 80, servers: [beta]}]\n"
        "servers:\n  alpha",
    )
    config = parse(text, "f")
    assert [service.name for service in config.services] == [
        "192.0.2.10:80/tcp", "192.0.2.10:80/udp", "192.0.2.10:any/tcp",
        "0.0.0.0:80/tcp", "[::]:80/tcp",
    ]  # fmt: skip
    assert [str(address) for address in config.cluster_addresses] == ["192.0.2.10"]


def test_all_problems_come_at_once_in_the_order_of_the_file() -> None:
    text = textwrap.dedent("""\
        dispatcher: {interface: eth0, mode: fast}
        clusters:
          web:
            address: 999.0.2.10
            ports:
              - {port: 99999, servers: [alpha, alpha, gamma], on_down: die}
              - {port: 81, servers: {beta: -1}}
              - {port: 81, servers: [beta], stale: soon}
        servers:
          alpha: {address: 192.0.2.21, weight: x, os: doors}
          beta: {address: 192.0.2.21, via: ftp://x}
          beta: {address: 192.0.2.21}
        extra: 1
        """)
    found = problems(text)
    assert [(p.line, p.path) for p in found] == [
        (1, "dispatcher.mode"),
        (4, "clusters.web.address"),
        (6, "clusters.web.ports[0].port"),
        (6, "clusters.web.ports[0].servers[1]"),
        (6, "clusters.web.ports[0].servers[2]"),
        (6, "clusters.web.ports[0].on_down"),
        (7, "clusters.web.ports[1].servers.beta"),
        (8, "clusters.web.ports[2].stale"),
        (10, "servers.alpha.weight"),
        (10, "servers.alpha.os"),
        (11, "servers.beta.via"),
        (12, "servers.beta"),
        (13, "extra"),
    ]
    assert list(found) == sorted(found)


def test_a_mistake_in_one_key_does_not_hide_what_spans_entities() -> None:
    text = RIGHT.replace("{address: 192.0.2.22}", "{address: 192.0.2.21, weight: heavy}")
    assert [p.path for p in problems(text)] == ["servers.beta.address", "servers.beta.weight"]


def test_a_mistake_seen_through_aliases_is_reported_once() -> None:
    text = RIGHT.replace(
        "alpha: {address: 192.0.2.21}", "alpha: &a {address: 192.0.2.1111}\n  b2: *a"
    )
    (problem,) = problems(text)
    assert problem.path == "servers.alpha.address"


def test_thousands_of_unknown_names_are_refused_each() -> None:
    names = ", ".join(f"nobody{n}" for n in range(3000))
    servers = "".join(f"  server{n}: {{address: 10.0.{n // 250}.{n % 250}}}\n" for n in range(3000))
    found = problems(RIGHT.replace(LIST, f"[{names}]") + servers)
    assert len(found) == 3000


def test_render_is_what_editors_jump_to() -> None:
    (problem,) = problems(RIGHT.replace("port: 80", "port: x"))
    line = problem.render("f")
    assert line.startswith("f:6:16: clusters.web.ports[0].port: `x` is no port; give ")


# Fillers, a Braille pattern without a dot, joiners, selectors, vowels, a tag, spaces: as in YAML.
UNSEEN = [
    rf"a{each}" for each in
    (r"\u3164", r"\uffa0", r"\u115f", r"\u2800", r"\u034f", r"\ufe0f", r"\u180b", r"\u17b4",
     r"\U000e01ef", r"\u00a0", r"\u3000", r"\u1680", r"\u200b", r"\u2062", r"\U000e0041")
]  # fmt: skip
INTERFACE = ("{interface: eth0}", '{{interface: "{}"}}', "dispatcher.interface")
NETNS = ("{address: 192.0.2.21}", '{{address: 192.0.2.21, netns: "{}"}}', "servers.alpha.netns")
VIA = ("{address: 192.0.2.21}", '{{address: 192.0.2.21, via: "{}"}}', "servers.alpha.via")
CARD = (
    "{address: 192.0.2.21}", '{{address: 192.0.2.21, interface: "{}"}}', "servers.alpha.interface",
)  # fmt: skip


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *[(INTERFACE, name) for name in
          (r"x\0y", r"\e[31m", r"eth\u202e0", r"a\u200b", "a b", "a/b", "a:b", r"a\n", ".", "..",
           "sixteen-letters-", "üüüüüüüü", "küche0", r"a\x85", r"\u2028", *UNSEEN)],
        *[(NETNS, name) for name in
          (r"x\0y", r"\e[31m", r"a\u202eb", "a b", "../x", ".", "..", "küche", "x" * 256, r"a\x9b",
           *UNSEEN)],
        *[(VIA, name) for name in
          (r"ssh://r%00t@h", "ssh://a%1bb@h", "ssh://a%20b@h", r"ssh://a\u202eb@h", "ssh://-o@h",
           "ssh://h?jump=a%00b@h", "winrm://a%07@h", "ssh://%E2%80%AEa@h",
           "ssh://jürgen@h", "ssh://j%C3%BCrgen@h", r"ssh://ro\tot@h", r"ssh://ro\not@h",
           *(f"ssh://{name}@h" for name in UNSEEN),
           *(f"ssh://h?jump={name}@h" for name in UNSEEN))],
        *[(CARD, name) for name in (r"x\0y", r"\e[31m", r"Ethernet\u202e", r"a\x9b1m", *UNSEEN)],
    ],
)  # fmt: skip
def test_names_that_a_system_or_a_terminal_would_not_take_are_refused_with_their_place(
    place: tuple[str, str, str], name: str
) -> None:
    old, new, path = place
    text = RIGHT.replace(old, new.format(name), 1)
    (problem,) = problems(text)
    assert problem.path == path
    before = text.partition(f'"{name}"')[0]
    assert problem.line == before.count("\n") + 1
    assert problem.column == len(before) - before.rfind("\n")


@pytest.mark.parametrize(
    ("place", "name"),
    [
        *[(INTERFACE, name) for name in ("eth0.100", "fifteen-letters", "a;b", "...", "a@b~!")],
        *[(NETNS, name) for name in ("web", "123", "a:b", "...", "x" * 255)],
        *[(VIA, name) for name in
          ("ssh://j.d-1_x@h", "winrm://LAB%5Cadmin@h", "winrm://a%40lab@h")],
        *[(CARD, name) for name in ("Local Area Connection 2", "LAN-Verbindung ü")],
    ],
)  # fmt: skip
def test_names_that_systems_take_are_taken(place: tuple[str, str, str], name: str) -> None:
    old, new, _ = place
    parse(RIGHT.replace(old, new.format(name), 1), "f")
