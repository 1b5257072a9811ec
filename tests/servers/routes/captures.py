"""The captures: listings as data, with what must be found in them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from shunt.model.config import OperatingSystem
from shunt.servers.routes.answer import Answer, answer
from shunt.servers.routes.rule import Surroundings

if TYPE_CHECKING:
    from shunt.model.addresses import Address

FOLDER = Path(__file__).parent / "captures"


@dataclass(frozen=True)
class Capture:
    name: str
    text: str
    clusters: tuple[Address, ...]
    around: Surroundings
    system: OperatingSystem | None
    expect: dict[str, Any]

    def answer(self, text: str | None = None) -> Answer:
        return answer(text or self.text, self.clusters, self.around, self.system)


def _load(path: Path) -> Capture:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    around = Surroundings(
        *(
            tuple(ip_address(text) for text in data.get(key, ()))
            for key in ("own", "gateways", "dispatchers")
        )
    )
    clusters = tuple(ip_address(text) for text in data["clusters"])
    system = OperatingSystem(data["system"]) if "system" in data else None
    return Capture(path.stem, data["text"], clusters, around, system, data["expect"])


CAPTURES = [_load(path) for path in sorted(FOLDER.glob("*.yaml"))]
LINEWISE = [c for c in CAPTURES if not c.name.endswith(("-folded", "-json", "-on-nic"))]
