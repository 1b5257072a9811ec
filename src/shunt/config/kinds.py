"""Kinds of single values: a reader from `scalars`, with its words and its JSON Schema.

A `Kind` annotates a field, `Annotated[int, PORT]`; pydantic asks it to validate and to describe.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic_core import CoreSchema, core_schema

from shunt.config import scalars
from shunt.config.scalars import ScalarError
from shunt.model.config import (
    Accepted,
    AdvisorsRequired,
    Forward,
    Mode,
    OnDown,
    OperatingSystem,
    Protocol,
    Track,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue


class Transport(StrEnum):
    """Protocols as the file names them: `both` makes two services."""

    TCP = Protocol.TCP
    UDP = Protocol.UDP
    BOTH = "both"


def kind_of(value: object) -> str:
    """Return what a piece of the file is, as messages say it."""
    if value is None:
        return "empty"
    if isinstance(value, str):
        return "a single value"
    return "a list" if isinstance(value, list) else "a mapping"


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Reads one value; `wanted` completes "give ..." for what is no single value."""

    read: Callable[[str], object]
    wanted: str
    json: JsonSchemaValue

    def validate(self, value: object) -> object:
        """Return the value read.

        Raises:
            ScalarError: it is nothing of this kind.
        """
        if isinstance(value, str):
            return self.read(value)
        raise ScalarError(f"is {kind_of(value)}; give {self.wanted}")

    def __get_pydantic_core_schema__(
        self, source: object, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.validate)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return dict(self.json)


def _number(low: int, high: int) -> Kind:
    json: JsonSchemaValue = {"type": "integer", "minimum": low, "maximum": high}
    return Kind(scalars.number(low, high), f"a whole number from {low} to {high}", json)


def _choice(kind: type[StrEnum], what: str) -> Kind:
    words = [member.value for member in kind]
    return Kind(scalars.choice(kind, what), f"one of {', '.join(words)}", {"enum": words})


def _duration(low: int) -> Kind:
    number = {"type": "integer", "minimum": low, "maximum": scalars.MAX_SECONDS}
    text = {"type": "string", "pattern": f"^{scalars.DURATION}$"}
    return Kind(
        scalars.duration(low), "a duration like 300, 90s, 5m, 1h", {"anyOf": [number, text]}
    )


def _form(pattern: str) -> JsonSchemaValue:
    return {"type": "string", "pattern": f"^{pattern}$"}


_IP: JsonSchemaValue = {
    "type": "string",
    "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
    "pattern": r"^[0-9A-Fa-f.:]+$",
}

ADDRESS = Kind(scalars.own_address, "an address like 192.0.2.21", _IP)
MAC = Kind(scalars.mac, "a MAC address like 52:54:00:12:34:56", _form(scalars.MAC))
CLUSTER_ADDRESS = Kind(scalars.cluster_address, "an address like 192.0.2.10", _IP)
PORT = Kind(
    scalars.port,
    "a port or any",
    {"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535}, {"const": "any"}]},
)
WEIGHT = _number(0, 65535)
SECONDS = _duration(1)
SECONDS_OR_OFF = _duration(0)
ANNOUNCE = _duration(1)
PREFIX4 = _number(1, 32)
PREFIX6 = _number(1, 128)
PER_CENT = _number(0, 100)
CYCLES = _number(1, 1000)
SMOOTHING = Kind(
    scalars.hundredths(1, 100),
    "a number from 1 to 100",
    {"type": "number", "minimum": 1, "maximum": 100},
)
WEIGHTBOUND = _number(1, 100)
YES_NO = Kind(scalars.yes_no, "yes or no", {"enum": [True, False, "yes", "no"]})
HOOKS = Kind(scalars.folder, "an absolute path", _form(r"/.*"))
EXCEPTIONS = _number(1024, 1 << 26)
RATE = _number(1, 100_000_000)
MODE = _choice(Mode, "mode")
TRANSPORT = _choice(Transport, "protocol")
FORWARD = Kind(scalars.forward, "mac", {"enum": [Forward.MAC.value]})
TRACK = _choice(Track, "way to track")
ON_DOWN = _choice(OnDown, "choice for a server that is down")
SYSTEM = _choice(OperatingSystem, "operating system")
ACCEPTED = _choice(Accepted, "state that can be accepted")
ADVISOR = Kind(scalars.name, "an advisor's name, like http", _form(scalars.NAME))
ADVISORS_REQUIRED = _choice(AdvisorsRequired, "number of advisors")
SERVER = Kind(str, "a server's name", _form(scalars.NAME))
INTERFACE = Kind(scalars.interface, "an interface like eth0", _form(scalars.LINUX_INTERFACE))
LABEL = Kind(scalars.label, "a name", {"type": "string", "minLength": 1, "maxLength": 255})
GROUP = Kind(scalars.group, "a group's name", _form(scalars.GROUP))
NETNS = Kind(scalars.netns, "a network namespace's name", _form(scalars.NETNS))
WPAR = Kind(scalars.wpar, "a workload partition's name", _form(scalars.WPAR))
SECRET = Kind(scalars.secret, "32 hexadecimal digits", _form(scalars.SECRET))
VIA = Kind(
    scalars.via,
    "local, ssh://[user@]host[:port] or winrm://[user@]host[:port]",
    {"type": "string", "pattern": "^(local|(ssh|winrm)://.+)$"},
)
