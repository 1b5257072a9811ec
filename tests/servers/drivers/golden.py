"""Golden cases: what a server answers, and exactly what is then to be done."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml

from shunt.model.config import Forward, OperatingSystem, Server
from shunt.servers.drivers.registry import driver_for
from shunt.servers.steps import Command, Output, Plan
from shunt.servers.wish import Wish

FOLDER = Path(__file__).parents[1] / "golden"


@dataclass(frozen=True)
class Case:
    system: OperatingSystem
    name: str
    wish: Wish
    outputs: dict[str, Output]
    expect: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.system}/{self.name}"

    def plan(self, outputs: dict[str, Output] | None = None) -> Plan:
        driver = driver_for(self.system)
        return driver.plan(driver.observe(self.wish, outputs or self.outputs), self.wish)


def load(path: Path) -> Case:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    system = OperatingSystem(path.parent.name)
    wish = data["wish"]
    server = wish["server"]
    gateway = server.get("gateway")
    outputs = {name: Output(text) for name, text in data["outputs"].items()}
    return Case(
        system,
        path.stem,
        Wish(
            Server(
                "s",
                tuple(ip_address(text) for text in server["addresses"]),
                os=system,
                wpar=server.get("wpar"),
                gateway=ip_address(gateway) if gateway else None,
            ),
            tuple(ip_address(text) for text in wish["clusters"]),
            Forward(wish.get("forward", "mac")),
            tuple(ip_address(text) for text in wish.get("bare", ())),
        ),
        outputs | {"record": Output("")},
        data.get("expect", {}),
    )


def words(command: Command) -> str:
    return command.text + (f"\n{command.stdin}" if command.stdin else "")


def described(plan: Plan) -> dict[str, Any]:
    return {
        "steps": [
            {
                "id": step.id,
                "what": step.what,
                "do": [words(command) for command in step.do],
                "check": [words(command) for command in step.check],
                "undo": [words(command) for command in step.undo],
            }
            for step in plan.steps
        ],
        "findings": [
            {"severity": f.severity.name.lower(), "what": f.what, "fix": f.fix}
            for f in plan.findings
        ],
    }


SYSTEMS = {path.parent.name for path in FOLDER.glob("*/*.yaml")} - {"linux"}
CASES = [load(path) for path in sorted(FOLDER.glob("*/*.yaml")) if path.parent.name in SYSTEMS]
