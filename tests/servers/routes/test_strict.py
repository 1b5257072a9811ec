"""What is not understood is refused, with its line, and is never "no extra routes"."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from shunt.errors import ParseError, UsageError
from shunt.model.config import OperatingSystem
from shunt.servers.routes.answer import answer
from shunt.servers.routes.recognise import read
from shunt.servers.routes.rule import Surroundings
from shunt.servers.routes.text import decode

from .captures import CAPTURES, LINEWISE, Capture

STRANGE = (
    "  192.0.2.300 what 7 ever",
    "segmentation fault, core dumped 4711 times",
    "here somebody wrote a sentence of some words into it",
    "Here somebody wrote:",
    "word",
)
CLUSTER = ip_address("192.0.2.10")


def is_refused(text: str, line: int) -> bool:
    """Tell whether a line costs the answer: the whole listing's, or its family's alone."""
    try:
        listing = read(text)
    except ParseError:
        return True
    return line in {row.line for row in listing.unread}


@pytest.mark.parametrize("capture", LINEWISE, ids=lambda c: c.name)
def test_a_spoilt_row_is_refused_with_its_line(capture: Capture) -> None:
    lines = capture.text.split("\n")
    for route in read(capture.text).routes:
        spoilt = list(lines)
        spoilt[route.line - 1] = "?? " + spoilt[route.line - 1].strip() + " ??"
        assert is_refused("\n".join(spoilt), route.line)


@pytest.mark.parametrize("capture", LINEWISE, ids=lambda c: c.name)
def test_strange_lines_are_refused(capture: Capture) -> None:
    lines = capture.text.split("\n")
    for route in read(capture.text).routes[1:]:
        for strange in STRANGE:
            text = "\n".join([*lines[: route.line], strange, *lines[route.line :]])
            assert is_refused(text, route.line + 1)


@pytest.mark.parametrize("capture", LINEWISE, ids=lambda c: c.name)
def test_an_unread_row_costs_the_answer_of_its_family_only(capture: Capture) -> None:
    """The other family's extra routes are found as before; of its own, nothing is called clean."""
    before = capture.answer()
    lines = capture.text.split("\n")
    for route in before.listing.routes:
        version = route.address.version
        spoilt = list(lines)
        spoilt[route.line - 1] = "?? " + spoilt[route.line - 1].strip() + " ??"
        try:
            after = capture.answer("\n".join(spoilt))
        except ParseError:
            continue
        told = [extra.route for extra, _ in before.extras if extra.route.address.version != version]
        assert [e.route for e, _ in after.extras if e.route.address.version != version] == told
        spots = {spot.cluster for spot in after.blind}
        spots |= {extra.cluster for extra, _ in after.extras}
        assert {cluster for cluster in capture.clusters if cluster.version == version} <= spots


@pytest.mark.parametrize("capture", LINEWISE, ids=lambda c: c.name)
def test_headings_without_rows_are_no_clean_table(capture: Capture) -> None:
    first = min(route.line for route in read(capture.text).routes)
    with pytest.raises(ParseError):
        read("\n".join(capture.text.split("\n")[: first - 1]))


@pytest.mark.parametrize(
    "capture",
    [c for c in LINEWISE if not c.name.startswith("linux-iproute")],  # which has no headings
    ids=lambda c: c.name,
)
def test_rows_without_headings_are_refused(capture: Capture) -> None:
    lines = capture.text.split("\n")
    rows = [lines[route.line - 1] for route in read(capture.text).routes]
    with pytest.raises(ParseError):
        read("\n".join(rows))


@pytest.mark.parametrize("text", ["", "\n \n", "[]", "{}", "null", "netstat: command not found"])
def test_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ParseError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        '[{"dst":"default"',
        '[{"dst":"10.0.0.0/8","type":"teleport"}]',
        '[{"dst":"10.0.0.1/8","dev":"lo"}]',
        '[{"dst":5}]',
        '{"dst":"default"}',
        '[{"DestinationPrefix":"10.0.0.0/8","NextHop":"x","InterfaceIndex":1}]',
        '[{"DestinationPrefix":"10.0.0.0/8","NextHop":"0.0.0.0"}]',
        '{"DestinationPrefix"',
        "default encap mpls 100 via 192.0.2.1 dev eth0",
        "default via 192.0.2.1 dev",
        "    nexthop via 192.0.2.1 dev eth0 weight 1",
    ],
)
def test_broken_json_and_unknown_words(text: str) -> None:
    with pytest.raises(ParseError):
        read(text)


BSD = "Internet:\nDestination Gateway Flags Netif Expire\n"
AIX = "Route tree for Protocol Family 2 (Internet):\n"
SOLARIS = "IRE Table: IPv4\n Destination Mask Gateway Device MTU Ref Flg Out In/Fwd\n---\n"
LINUX = "Kernel IP routing table\nDestination Gateway Genmask Flags Metric Ref Use Iface\n"
WINDOWS = "Active Routes:\nNetwork Netmask Gateway Interface Metric\n"


@pytest.mark.parametrize(
    "text",
    [
        BSD + "10.1 link#1 U em0",  # neither a mask nor the octets of its class
        BSD + "10.1.2/16 link#1 U em0",  # bits beyond the mask
        BSD + "10/33 link#1 U em0",
        BSD + "10/x link#1 U em0",
        BSD + "loopback link#1 UH lo0",  # names hide addresses
        BSD + "10/8 link#1 U em0 soon",
        AIX + "10/8 10.0.0.1 U 1 2 en0 - - - -",
        AIX + "10/8 10.0.0.1 U one 2 en0 - -",
        SOLARIS + "10.0.0.0 255.0.255.0 10.0.0.1 net0 1500 1 U 1 1",
        LINUX + "10.0.0.0 0.0.0.0 255.0.255.0 U 0 0 0 eth0",
        LINUX + "10.0.0.300 0.0.0.0 255.255.255.255 U 0 0 0 eth0",
        "some words\n" + LINUX + "10.0.0.0 0.0.0.0 255.0.0.0 U 0 0 0 eth0",
        "words\n" * 6 + WINDOWS + "10.0.0.0 255.0.0.0 10.0.0.1 10.0.0.1 1",
        WINDOWS + "10.0.0.0 255.0.255.0 10.0.0.1 10.0.0.1 1",
        WINDOWS + "10.0.0.0 255.0.0.0 10.0.0.300 10.0.0.1 1",
        WINDOWS + "10.0.0.1 255.0.0.0 10.0.0.1 10.0.0.1 1",
    ],
)
def test_rows_that_cannot_be(text: str) -> None:
    with pytest.raises(ParseError):
        read(text)


@pytest.mark.parametrize(
    "text",
    [
        BSD + "192.0/16 gateway UG em0",
        AIX + "192.0/16 router U 1 2 en0 - -",
        SOLARIS + "192.0.0.0 255.255.0.0 router net0 1500 1 U 1 1",
        BSD + "default gateway UGS em0",
    ],
)
def test_a_gateway_that_is_a_name_might_be_the_cluster_address(text: str) -> None:
    result = answer(text, (CLUSTER,))
    assert result.exit_code == 2
    assert "is a name" in result.blind[0].why


def test_names_elsewhere_keep_nothing_from_being_told() -> None:
    text = (
        BSD
        + "10/8 router UGS em0\nlocalhost link#2 UH lo0\nwww link#1 UHS lo0\n"
        + "192.0.2/25 192.0.2.10 U lo0\n192.0.2.10 link#2 UH lo0\n"
    )
    result = answer(text, (CLUSTER,))
    assert [extra.route.line for extra, _ in result.extras] == [6]
    assert not result.blind
    clean = answer(text.replace("192.0.2/25 192.0.2.10 U lo0\n", ""), (CLUSTER,))
    assert clean.exit_code == 0
    assert answer(text, (ip_address("192.0.2.11"),)).exit_code == 1
    unnamed = answer(clean_of(text), (ip_address("198.51.100.1"),))
    assert unnamed.exit_code == 2, "the address may be the one that is shown as www"


def clean_of(text: str) -> str:
    return text.replace("192.0.2/25 192.0.2.10 U lo0\n", "")


def test_two_listings_at_once_are_refused() -> None:
    texts = {capture.name: capture.text for capture in CAPTURES}
    with pytest.raises(ParseError, match="at once"):
        read(texts["openbsd-extra"] + texts["solaris-verbose"])


def test_the_wrong_system_is_refused() -> None:
    text = next(c.text for c in CAPTURES if c.name == "windows-old")
    with pytest.raises(ParseError, match="aix does not print"):
        read(text, OperatingSystem.AIX)


def test_bad_requests() -> None:
    text = CAPTURES[0].text
    with pytest.raises(UsageError, match="no cluster address"):
        answer(text, ())
    with pytest.raises(UsageError, match="own"):
        answer(text, (CLUSTER,), Surroundings(own=(CLUSTER,)))


@pytest.mark.parametrize(
    "text",
    [
        '[{"DestinationPrefix":' + "[" * 100_000,
        '[{"dst":' + '{"a":' * 100_000,
        '[{"dst":"10.0.0.0/8","x":' + "[" * 900 + "]" * 900 + ',"type":7}]',
        BSD + f"10.0.0.0/{'1' * 5000} link#1 U em0",
        BSD + f"10/{'1' * 5000} link#1 U em0",
        AIX + f"10/{'8' * 5000} 10.0.0.1 U 1 2 en0 - -",
        LINUX + f"10.0.0.{'1' * 5000} 0.0.0.0 255.0.0.0 U 0 0 0 eth0",
        f'[{{"DestinationPrefix":"10.0.0.0/{"1" * 5000}","NextHop":"::","InterfaceIndex":1}}]',
        f'[{{"DestinationPrefix":"10.0.0.0/8","NextHop":"::","InterfaceIndex":{"1" * 5000}}}]',
        f'[{{"dst":"10.0.0.0/{"1" * 5000}","dev":"lo"}}]',
        f"10.0.0.0/{'1' * 5000} dev lo",
    ],
    ids=lambda text: text[:40],
)
def test_what_no_system_prints_is_refused_in_a_few_words(text: str) -> None:
    """However deep or long: a ParseError, which is exit code 2, and no internal error."""
    with pytest.raises(ParseError) as caught:
        read(text)
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    "name", ["macos-clean", "freebsd-old-columns", "linux-iproute-clean", "windows-2003"]
)
def test_a_listing_that_is_cut_off_proves_nothing(name: str) -> None:
    capture = next(c for c in CAPTURES if c.name == name)
    assert capture.answer().exit_code == 0
    last = min(route.line for route in capture.answer().listing.routes)
    cut = capture.answer("\n".join(capture.text.split("\n")[:last]))
    assert cut.exit_code == 2
    assert any("cut off" in spot.why or "lacks" in spot.why for spot in cut.blind)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet='0123456789./: \n-=abdefUGHSlo*%[]{}",', max_size=300))
def test_garbage_never_parses_as_clean(text: str) -> None:
    """Either it is refused, or rows were found; a listing without rows does not exist."""
    try:
        listing = read(text)
    except ParseError:
        return
    assert listing.routes


@pytest.mark.parametrize("piece", ["1", "1 ", "x", "1.1.1.1 ", "9 ... ", "::/0 ", "= "])
def test_long_nonsense_is_refused_as_quickly_as_short(piece: str) -> None:
    """No expression takes a time that grows with the square of a line's length."""
    with pytest.raises(ParseError):
        read(piece * 50_000)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_text_or_refused(data: bytes) -> None:
    try:
        read(decode(data))
    except ParseError:
        return


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(LINEWISE), st.data())
def test_a_cut_row_is_refused_or_still_a_row(capture: Capture, data: st.DataObject) -> None:
    """Losing a word never makes a row vanish without a word said."""
    lines = capture.text.split("\n")
    routes = read(capture.text).routes
    line = data.draw(st.sampled_from(routes)).line - 1
    words = lines[line].split()
    gone = data.draw(st.integers(0, len(words) - 1))
    lines[line] = "  ".join([*words[:gone], *words[gone + 1 :]])
    try:
        again = read("\n".join(lines))
    except ParseError:
        return
    assert again.unread or len(again.routes) == len(routes)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([c for c in CAPTURES if c.answer().extras]), st.data())
def test_a_listing_with_extra_routes_cut_within_a_row_is_never_clean(
    capture: Capture, data: st.DataObject
) -> None:
    """Where a row may end, no listing shows that it goes on; docs/servers/index.md says so."""
    if capture.system is OperatingSystem.WINDOWS2003:
        return  # nothing is to be done there in any case
    cut = data.draw(st.integers(0, len(capture.text) - 1))
    last = capture.text[:cut].count("\n") + 1
    assume(capture.text[cut:].partition("\n")[0].strip())
    try:
        result = capture.answer(capture.text[:cut] or " ")
    except ParseError:
        return
    assume(all(route.line != last for route in result.listing.routes))
    assert result.exit_code != 0
