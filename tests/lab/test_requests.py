"""What clients and servers report is read right, or refused; never taken for nothing."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_address
from pathlib import Path

import pytest

from shunt.errors import ParseError
from shunt.lab import nginx, witness
from shunt.lab.requests import parse_curl, parse_wrk, url
from shunt.model.addresses import Mac

QUIET = """\
Running 2s test @ http://192.0.2.10/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.21ms  310.20us   9.02ms   92.11%
    Req/Sec    26.02k     1.04k   27.60k    80.00%
  51692 requests in 2.00s, 8.13MB read
Requests/sec:  25816.66
Transfer/sec:      4.06MB
"""
TROUBLED = """\
Running 1m test @ http://192.0.2.10/
  51 requests in 1.02m, 8.13KB read
  Socket errors: connect 1, read 20, write 300, timeout 4000
  Non-2xx or 3xx responses: 50000
Requests/sec:      1.50k
"""


def test_wrk_s_report() -> None:
    load = parse_wrk(QUIET)
    assert (load.requests, load.seconds, load.per_second, load.errors) == (51692, 2, 25816.66, 0)


def test_wrk_s_errors_of_both_kinds_add_up() -> None:
    load = parse_wrk(TROUBLED)
    assert load.errors == 54321
    assert load.per_second == 1500
    assert load.seconds == pytest.approx(61.2)


@pytest.mark.parametrize("text", ["", "unable to connect to 192.0.2.10:http", QUIET[:200]])
def test_a_report_that_is_none_is_an_error(text: str) -> None:
    with pytest.raises(ParseError):
        parse_wrk(text)


def test_curl_s_answers_and_failures() -> None:
    text = "a\nanswer: 200 \nb\na\nanswer: 200 \nanswer: 200 \nanswer: 000 Timeout was reached\n"
    asked = parse_curl(text, 4, 1.0)
    assert asked.answers == {"a": 2, "b": 1}
    assert asked.failures == {"Timeout was reached": 1}
    with pytest.raises(ParseError, match="4 of 5"):
        parse_curl(text, 5, 1.0)


def test_addresses_become_urls() -> None:
    assert url(ip_address("192.0.2.10")) == "http://192.0.2.10/"
    assert url(ip_address("2001:db8::10"), 8080, "/x") == "http://[2001:db8::10]:8080/x"


def test_an_access_log_counts_requests_and_connections_by_address() -> None:
    found = nginx.parse_log("192.0.2.10 1 200\n192.0.2.10 2 200\n2001:db8::10 1 404\n")
    four, six = ip_address("192.0.2.10"), ip_address("2001:db8::10")
    assert found.requests == Counter({four: 2, six: 1})
    assert found.connections == Counter({four: 1, six: 1})
    assert found.errors == 1
    for text in ("192.0.2.10 200\n", "x 1 200\n", "192.0.2.10 one 200\n"):
        with pytest.raises(ParseError):
            nginx.parse_log(text)


def test_nginx_closes_or_keeps_connections_as_asked() -> None:
    places = [(ip_address("192.0.2.10"), 80), (ip_address("2001:db8::10"), 81)]
    closing = nginx.configuration("a", Path("/d"), places, log=None, keepalive=False)
    assert "keepalive_timeout 0;" in closing
    assert "access_log off;" in closing
    assert "listen 192.0.2.10:80 " in closing
    assert "listen [2001:db8::10]:81 " in closing
    keeping = nginx.configuration("a", Path("/d"), places, log=Path("/l"), keepalive=True)
    assert "keepalive_timeout 0;" not in keeping
    assert "access_log /l counted;" in keeping


def test_the_witness_s_counters() -> None:
    def counter(name: str, packets: int) -> str:
        return f'{{"counter": {{"name": "{name}", "packets": {packets}, "bytes": 0}}}}'

    parts = [counter("received", 5), counter("forwarded", 4), counter("returned", 0)]
    text = f'{{"nftables": [{{"metainfo": {{}}}}, {", ".join([*parts, counter("reply_a", 9)])}]}}'
    assert witness.parse(text) == witness.Frames(5, 4, 0, {"a": 9})
    for broken in ("", "{}", '{"nftables": []}', f'{{"nftables": [{parts[0]}]}}'):
        with pytest.raises(ParseError):
            witness.parse(broken)


def test_the_witness_knows_senders_by_mac() -> None:
    rules = witness.rules("d", "c", {Mac.parse("02:00:00:00:00:21"): "a"})
    assert rules.count('ether saddr map { 02:00:00:00:00:21 : "reply_a" }') == 2  # one a family
    assert "counter reply_a { }" in rules
