"""What is probably wrong with servers is told, and nothing where two names rightly share a MAC."""

from __future__ import annotations

from shunt.config.reading import parse
from shunt.dispatcher.diagnoses import shared_macs
from shunt.dispatcher.wishes import Way
from shunt.model.addresses import Mac

FILE = """
dispatcher: {interface: eth0}
clusters:
  web:
    address: 192.0.2.10
    ports:
      - {port: 80, servers: [a, b, c]}
      - {port: 443, servers: [a, b]}
      - {port: 25, servers: [c, d]}
servers:
  a: {address: 192.0.2.21}
  b: {address: 192.0.2.22}
  c: {address: 192.0.2.23}
  d: {address: 192.0.2.24}
"""

CONFIG = parse(FILE, "shunt.yaml")
ONE, TWO = Mac.parse("02:00:00:00:00:01"), Mac.parse("02:00:00:00:00:02")


def ways(**macs: Mac) -> dict[str, Way]:
    return {name: Way(mac, 2) for name, mac in macs.items()}


def test_servers_of_one_service_with_one_mac_are_told_with_all_services() -> None:
    (found,) = shared_macs(CONFIG, ways(a=ONE, b=ONE, c=TWO))
    assert found.servers == ("a", "b")
    assert found.services == ("192.0.2.10:80/tcp", "192.0.2.10:443/tcp")
    assert "servers a, b have one MAC address, 02:00:00:00:00:01" in found.text
    assert found.document()["kind"] == "shared_mac"


def test_servers_of_different_services_may_be_one_machine() -> None:
    assert not shared_macs(CONFIG, ways(a=ONE, d=ONE))


def test_servers_without_a_mac_share_none() -> None:
    unknown = {name: Way(None, 2, "asked") for name in "abcd"}
    assert not shared_macs(CONFIG, unknown)
    assert not shared_macs(CONFIG, {})


def test_a_mac_that_a_server_had_counts_no_more() -> None:
    """Its machine was replaced, and the other name has it now."""
    assert not shared_macs(CONFIG, {"a": Way(ONE, 2, "no answer", lost=True), "b": Way(ONE, 2)})
