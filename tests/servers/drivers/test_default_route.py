"""A default route to a cluster address: deleted only where another one is left."""

from __future__ import annotations

import pytest

from shunt.model.config import OperatingSystem
from shunt.servers.steps import Output, Plan, Severity
from tests.servers.drivers.golden import CASES, FOLDER, load

LINUX = load(FOLDER / "linux" / "done.yaml")
GATEWAY, CLUSTER = "192.0.2.1", "192.0.2.10"


def plan(system: OperatingSystem, *gateways: str) -> Plan:
    """Return the plan for a host that is done, with default routes by these gateways."""
    done = LINUX if system is OperatingSystem.LINUX else next(
        c for c in CASES if c.system is system and c.name == "done"
    )  # fmt: skip
    name = "routes" if system is OperatingSystem.WINDOWS else "routes4"
    text = done.outputs[name].stdout
    if system is OperatingSystem.WINDOWS:
        start, end = text.index('{"DestinationPrefix": "0.0.0.0/0"'), text.index(", {")
        rows = ", ".join(text[start:end].replace(GATEWAY, gateway) for gateway in gateways)
        text = text[:start] + rows + text[end:]
    else:
        (line,) = (line for line in text.splitlines() if "default" in line and GATEWAY in line)
        row = line.strip("[,")
        between = ",\n" if system is OperatingSystem.LINUX else "\n"
        text = text.replace(row, between.join(row.replace(GATEWAY, one) for one in gateways))
    return done.plan(done.outputs | {name: Output(text)})


SYSTEMS = [
    OperatingSystem.LINUX,
    OperatingSystem.FREEBSD,
    OperatingSystem.AIX,
    OperatingSystem.SOLARIS10,
    OperatingSystem.WINDOWS,
]


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_only_one_is_an_error_and_not_deleted(system: OperatingSystem) -> None:
    found = plan(system, CLUSTER)
    assert not [step for step in found.steps if "0.0.0.0" in step.what or "default" in step.what]
    (error,) = (f for f in found.findings if f.severity is Severity.ERROR)
    assert error.what == f"the only default route leads to the cluster address {CLUSTER}"
    assert "ROUTER" in (error.fix or "")


@pytest.mark.parametrize("system", SYSTEMS)
def test_one_beside_the_right_one_is_deleted(system: OperatingSystem) -> None:
    found = plan(system, GATEWAY, CLUSTER)
    (step,) = found.steps
    assert step.id.startswith("route:")
    assert any(CLUSTER in command.text for command in step.do)
    assert not any(f.severity is Severity.ERROR for f in found.findings)


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_right_one_alone_is_right(system: OperatingSystem) -> None:
    assert plan(system, GATEWAY).settled
