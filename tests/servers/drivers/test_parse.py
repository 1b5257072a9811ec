"""The readers of `ifconfig`, `arp` and settings: every dialect, nothing swallowed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.errors import ParseError
from shunt.servers.drivers.unix import parse
from shunt.servers.drivers.unix.observed import Held
from shunt.servers.steps import Output

LOOPBACK = Held("lo0", IPv4Address("127.0.0.1"), 8)


def read(text: str) -> tuple[Held, ...]:
    return parse.interfaces({"interfaces": Output(text)})


def hexadecimal(held: Held) -> str:
    mask = int(IPv4Network((0, held.prefix)).netmask)
    return f"\tinet {held.address} netmask 0x{mask:08x} broadcast 1.2.3.255"


def solaris(held: Held) -> str:
    return hexadecimal(held).replace("0x", "")


def hpux(held: Held) -> str:
    return solaris(held).partition(" broadcast")[0]


def netbsd(held: Held) -> str:
    return f"\tinet {held.address}/{held.prefix} broadcast 1.2.3.255 flags 0"


def dotted(held: Held) -> str:
    mask = IPv4Network((0, held.prefix)).netmask
    return f"        inet {held.address}  netmask {mask}"


FORMS = [hexadecimal, solaris, hpux, netbsd, dotted]

held4 = st.builds(
    Held,
    st.sampled_from(["lo0", "lo0:1", "en0", "vtnet0", "vni0"]),
    st.ip_addresses(v=4),
    st.integers(0, 32),
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(range(len(FORMS))), st.lists(held4, max_size=6))
def test_parse_of_render_is_the_identity(form: int, held: list[Held]) -> None:
    lines = []
    for one in [LOOPBACK, *held]:
        lines += [f"{one.interface}: flags=8049<UP,LOOPBACK> mtu 1", FORMS[form](one)]
    assert read("\n".join(lines)) == (LOOPBACK, *held)


@pytest.mark.parametrize(
    ("head", "silent"),
    [
        ("lo0: flags=8049<UP,LOOPBACK,RUNNING,MULTICAST> mtu 16384", True),
        ("lo1: flags=8049<LOOPBACK> mtu 16384", True),
        ("dsr0: flags=20010100c0<RUNNING,NOARP,NOXMIT,IPv4,VIRTUAL> mtu 0 index 5", True),
        ("lounge0: flags=8843<UP,BROADCAST,RUNNING,SIMPLEX,MULTICAST> mtu 1500", False),
        ("vni9: flags=1000843<UP,BROADCAST,RUNNING,MULTICAST,IPv4> mtu 1500 index 2", False),
        ("lo9: flags=1<UP,NOLOOPBACK> mtu 1500", False),
    ],
)
def test_what_has_no_wire_is_told_by_its_flags_not_by_its_name(head: str, silent: bool) -> None:
    (_, one) = read(f"lo0: flags=1<LOOPBACK>\n\tinet 127.0.0.1 netmask ff000000\n{head}\n"
                    "\tinet 192.0.2.10 netmask ffffffff\n")  # fmt: skip
    assert one.silent is silent


@pytest.mark.parametrize(
    ("line", "prefix"),
    [
        ("\tinet6 2001:db8::10 prefixlen 128", 128),
        ("\tinet6 2001:db8::10/64", 64),
        ("\tinet6 2001:db8::10%lo0 prefixlen 64 scopeid 0x2", 64),
        ("\tinet6 2001:db8::10 prefix 128", 128),
        ("\tinet6 2001:db8::10/128 flags 0x20<NODAD>", 128),
    ],
)
def test_ipv6(line: str, prefix: int) -> None:
    found = read(f"lo0: flags=1<UP>\n\tinet 127.0.0.1 netmask ff000000\n{line}\n")
    assert found[1] == Held("lo0", IPv6Address("2001:db8::10"), prefix)


@pytest.mark.parametrize(
    "text",
    [
        "lo0: flags=1<UP>\n\tinet 127.0.0.1.9 netmask ff000000",
        "lo0: flags=1<UP>\n\tinet 127.0.0.1 netmask ff00ff00",
        "lo0: flags=1<UP>\n\tinet6 gggg::1/128\n\tinet 127.0.0.1 netmask ff000000",
        "ifconfig: no such interface",
        "en0: flags=1<UP>\n\tinet 192.0.2.21 netmask ffffff00",
        "\tinet 127.0.0.1 netmask ff000000",
        "",
    ],
)
def test_what_is_not_understood_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        read(text)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="loen0:1 \n\tinet6<UP>flags=.127/%netmask", max_size=200))
def test_garbage_is_refused_or_shows_a_loopback(text: str) -> None:
    try:
        found = read(text)
    except ParseError:
        return
    assert any(held.address.is_loopback for held in found)


ARP = {
    "? (192.0.2.10) at 52:54:00:00:00:01 on em0 permanent published [ethernet]": True,
    "  ? (192.0.2.10) at 52:54:0:0:0:1 [ethernet] permanent published stored in bucket 1": True,
    "192.0.2.10     52:54:00:00:00:01   em0 permanent  lp published": True,
    "net0   192.0.2.10           255.255.255.255 SP       52:54:00:00:00:01": True,
    "net0   192.0.2.10           255.255.255.255 SPLA     52:54:00:00:00:01": False,
    "? (192.0.2.10) at 52:54:00:00:00:01 on em0 expires in 1188 seconds [ethernet]": False,
}


@pytest.mark.parametrize("line", ARP)
def test_published_entries(line: str) -> None:
    found = parse.published({"arp": Output(f"{line}\nend\n")})
    assert found == (frozenset({IPv4Address("192.0.2.10")}) if ARP[line] else frozenset())


def test_what_is_cut_off_is_refused() -> None:
    for text in ("? (192.0.2.10) at 52:54:00:00:00:01", ""):
        with pytest.raises(ParseError):
            parse.published({"arp": Output(text)})
    for text in ("a=1", "a=\nend", "a\nend", "a=1 2\nend"):
        with pytest.raises(ParseError):
            parse.settings({"settings": Output(text)})
    assert parse.settings({"settings": Output("a=1\nb=absent\nend\n")}) == {"a": "1"}


def test_a_question_that_failed_says_what_the_server_said() -> None:
    with pytest.raises(ParseError, match="failed with 127: sh: ifconfig: not found"):
        parse.interfaces({"interfaces": Output("", "sh: ifconfig: not found\n", 127)})
