"""Readers of expressions, BER, HTTP/2: what is read is what was written."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shunt.advisors import ber, check, expression
from shunt.advisors.exposition import Sample
from shunt.advisors.protocols import http2
from shunt.advisors.protocols.grpc import serving_status, varint
from shunt.advisors.protocols.ping import checksum, is_reply, request
from shunt.advisors.tls import ending
from shunt.errors import ParseError

if TYPE_CHECKING:
    from pathlib import Path

FEW = settings(max_examples=100, deadline=None)


METRICS = (
    Sample("load", {}, 3.0),
    Sample("cpu", {"mode": "idle", "n": "0"}, 10.0),
    Sample("cpu", {"mode": "idle", "n": "1"}, 20.0),
    Sample("cpu", {"mode": "user", "n": "0"}, 5.0),
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3 - 4 / 2", 5.0),
        ("-(2 - 5) * 2", 6.0),
        ("100 * load / count(cpu{mode='x'})".replace("'", '"').replace('="x"', '="idle"'), 150.0),
        ('sum(cpu{mode=~"idle|user"})', 35.0),
        ('avg(cpu{mode!="user"})', 15.0),
        ('max(cpu{mode!~"u.*",}) - min(cpu)', 15.0),
        ('cpu{mode="user"}', 5.0),
        ("count(nothing)", 0.0),
    ],
)
def test_expressions_are_calculated(text: str, value: float) -> None:
    assert expression.parse(text).value(METRICS) == value


@pytest.mark.parametrize(
    "text",
    ["", "1 +", "(1", "1)", "rate(load)", "cpu{", "cpu{mode}", 'cpu{mode=~"("}', "1 2", "(" * 99],
)
def test_what_is_no_expression_is_refused_at_its_place(text: str) -> None:
    with pytest.raises(ParseError):
        expression.parse(text)


@pytest.mark.parametrize("text", ["cpu", "nothing", "1 / 0", "sum(nothing)", "load + cpu"])
def test_an_expression_without_one_number_says_so(text: str) -> None:
    with pytest.raises(ParseError):
        expression.parse(text).value(METRICS)


def test_an_expression_is_like_another_that_is_written_like_it_and_knows_its_metrics() -> None:
    text = 'count(load) + 2 * max(cpu{mode="idle"}) / cpu'
    assert expression.parse(text) == expression.parse(text)
    assert expression.parse(text) != expression.parse("load")
    assert expression.parse(text).names == {"load", "cpu"}
    assert check.make("prometheus", {"expression": text}) == check.make(
        "prometheus", {"expression": text}
    )


@FEW
@given(st.text(alphabet='01+-*/(){}"=~!,. abcsum', max_size=40))
def test_no_text_breaks_the_expressions_reader(text: str) -> None:
    with contextlib.suppress(ParseError):
        expression.parse(text).value(METRICS)


@FEW
@given(st.integers(0, 255), st.binary(max_size=300))
def test_a_ber_element_read_is_the_one_written(tag: int, content: bytes) -> None:
    data = ber.encoded(tag, content)
    assert ber.piece(data) == ber.Piece(tag, content, len(data))
    for end in range(len(data)):
        with pytest.raises(ber.BerError):
            ber.piece(data[:end])


@FEW
@given(st.binary(max_size=80))
def test_no_bytes_break_the_ber_reader(data: bytes) -> None:
    for function in (ber.pieces, ber.not_after):
        with contextlib.suppress(ber.BerError):
            function(data)


@FEW
@given(st.integers(0, 2**63 - 1))
def test_varints_are_read_as_written(value: int) -> None:
    assert serving_status(b"\x12\x01x" + b"\x08" + varint(value)) == value


@FEW
@given(st.integers(0, 40_000))
def test_lengths_of_hpack_strings_are_those_of_rfc_7541(length: int) -> None:
    data = http2.fields([("a" * length, "")])[1:]
    if length < 127:
        assert data[0] == length
        return
    value, shift, at = 127, 0, 1
    while True:
        value += (data[at] & 127) << shift
        shift += 7
        at += 1
        if not data[at - 1] & 128:
            break
    assert value == length


@FEW
@given(st.binary(min_size=8, max_size=99), st.integers(0, 65535))
def test_an_echo_has_a_right_checksum_and_only_its_reply_counts(data: bytes, number: int) -> None:
    message = request(4, number, data)
    assert checksum(message) == 0
    reply = b"\0" + message[1:]
    assert is_reply(4, reply, data)
    assert not is_reply(4, message, data)
    assert not is_reply(4, reply + b"x", data)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    words = (
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 "
        "-subj /CN=web.example"
    )
    made = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run(["openssl", *words.split(), *made], check=True, capture_output=True)
    return folder / "cert.pem"


def test_a_certificates_end_is_what_openssl_says(certificate: Path) -> None:
    der = ssl.PEM_cert_to_DER_cert(certificate.read_text())
    said = subprocess.run(
        ["openssl", "x509", "-in", str(certificate), "-noout", "-enddate"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    ends = datetime.fromtimestamp(ssl.cert_time_to_seconds(said.strip().partition("=")[2]), UTC)
    assert ber.not_after(der) == ends
    assert ending(der, 14) is None
    assert "ends on" in (ending(der, 31) or "")
    assert "ended on" in (ending(der, 14, datetime(2100, 1, 1, tzinfo=UTC)) or "")


def test_a_long_row_and_many_metrics_have_their_bounds() -> None:
    assert expression.parse("+".join(["1"] * 999)).value([]) == 999
    with pytest.raises(ParseError, match="an expression of more than 32 metrics"):
        expression.parse("+".join(["sum(m)"] * 33))
