"""Plain data to the entities of `schema`, each by itself, so that one mistake hides no other.

The problems are in the report. What is right of an entity stays in the draft, so that checks which
span entities see it too; the draft is whole only if the report is empty.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ValidationError

from shunt.config import scalars
from shunt.config.kinds import kind_of
from shunt.config.schema import (
    AdvisorKeys,
    ClusterHead,
    ClusterKeys,
    DispatcherKeys,
    FileKeys,
    ManagerKeys,
    MemberKeys,
    PortKeys,
    ServerKeys,
    StickyKeys,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from pydantic_core import ErrorDetails

    from shunt.config.places import Path
    from shunt.config.plain import Plain
    from shunt.config.report import Report

_Model = TypeVar("_Model", bound=BaseModel)
_NESTED: dict[str, type[BaseModel]] = {
    "sticky": StickyKeys,
    "servers": MemberKeys,
    "advisor": AdvisorKeys,
    "metric": AdvisorKeys,
}
# Checks between entities read these; were one left out, its default would raise false alarms.
_TELLING = {"interface", "interfaces", "protocol", "os", "wpar"}


@dataclass(slots=True)
class ClusterDraft:
    """A cluster: its head and its ports as far as they are right, by index in the file."""

    head: ClusterHead | None
    ports: dict[int, PortKeys] = field(default_factory=dict)


@dataclass(slots=True)
class Draft:
    """The entities that are right by themselves."""

    dispatcher: DispatcherKeys | None = None
    manager: ManagerKeys | None = None
    clusters: dict[str, ClusterDraft] = field(default_factory=dict)
    servers: dict[str, ServerKeys] = field(default_factory=dict)


def draft(data: Plain, report: Report) -> Draft:
    """Return the entities of the file; report all that is wrong inside of one entity."""
    made = Draft()
    if not isinstance(data, dict):
        what = "the file is empty" if data is None else f"the file is {kind_of(data)}"
        report.value((), f"{what}; it has the keys dispatcher, clusters and servers")
        return made
    sections = {key: value for key, value in data.items() if not key.startswith("x-")}
    _unknown_keys(sections, FileKeys, report)
    if "dispatcher" in sections:
        made.dispatcher = _dispatcher(sections["dispatcher"], report)
    else:
        report.value((), "`dispatcher` is missing; write `dispatcher: {interface: eth0}`")
    if "manager" in sections:
        made.manager = _entity(ManagerKeys, sections["manager"], ("manager",), report)
    for name, value in _named(sections, "clusters", report).items():
        made.clusters[name] = _cluster(value, ("clusters", name), report)
    for name, value in _named(sections, "servers", report).items():
        if server := _entity(ServerKeys, value, ("servers", name), report):
            made.servers[name] = server
    return made


def _unknown_keys(sections: Collection[str], model: type[BaseModel], report: Report) -> None:
    """Report them; of a file that is something else altogether, nothing is repeated.

    Somebody may have been let read that file by sudo, for this command only.
    """
    unknown = [key for key in sections if key not in model.model_fields]
    is_ours = len(unknown) < len(sections)
    for key in unknown:
        if is_ours or report.nearest(key, model.model_fields):
            report.key((key,), _unknown(key, model, report))


def _unknown(key: str, model: type[BaseModel], report: Report) -> str:
    right = report.nearest.hint(key, model.model_fields, none="leave it out")
    return f"the key `{key}` is not known here; {right}"


def _named(sections: dict[str, Plain], section: str, report: Report) -> dict[str, Plain]:
    """Return the entities of a section by name, with a look at the names."""
    if section not in sections:
        report.value((), f"`{section}` is missing; name at least one, `{section}: {{NAME: ...}}`")
        return {}
    entities = sections[section]
    if not isinstance(entities, dict) or not entities:
        what = "is empty" if entities in (None, {}) else f"is {kind_of(entities)}"
        report.value((section,), f"{what}; give a mapping from names to what they are")
        return {}
    for name in entities:
        try:
            scalars.name(name)
        except scalars.ScalarError as wrong:
            report.key((section, name), str(wrong))
    return entities


def _dispatcher(value: Plain, report: Report) -> DispatcherKeys | None:
    path = ("dispatcher",)
    found = _entity(DispatcherKeys, value, path, report)
    if found is None:
        return None
    if found.interface and found.interfaces:
        report.key((*path, "interfaces"), "`interface` is there too; keep one of the two")
    elif not found.interface and not found.interfaces:
        report.key(path, "`interface` is missing; name the one that requests arrive at, like eth0")
    return found


def _cluster(value: Plain, path: Path, report: Report) -> ClusterDraft:
    if not isinstance(value, dict):
        _entity(ClusterKeys, value, path, report)
        return ClusterDraft(None)
    head = {key: item for key, item in value.items() if key != "ports"}
    made = ClusterDraft(_entity(ClusterHead, head, path, report, known=ClusterKeys))
    ports = value.get("ports")
    if "ports" not in value:
        report.key(path, "`ports` is missing; give a list, `ports: [{port: 80, servers: [a, b]}]`")
    elif not isinstance(ports, list) or not ports:
        what = "is empty" if ports in (None, []) else f"is {kind_of(ports)}"
        report.value((*path, "ports"), f"{what}; give a list, `- {{port: 80, servers: [a, b]}}`")
    else:
        for index, item in enumerate(ports):
            if port := _entity(PortKeys, item, (*path, "ports", index), report):
                made.ports[index] = port
    return made


def _entity(
    model: type[_Model],
    value: Plain,
    path: Path,
    report: Report,
    *,
    known: type[BaseModel] | None = None,
) -> _Model | None:
    """Return `value` as `model`, or None; `known` has the keys to name if it is not `model`."""
    if not isinstance(value, dict):
        report.value(path, f"{_is(value)}; give a mapping with {_required(model)}")
        return None
    try:
        return model.model_validate(value)
    except ValidationError as wrong:
        errors = wrong.errors(include_url=False)
    for error in errors:
        _explain(error, known or model, path, report)
    broken = {error["loc"][0] for error in errors}
    if broken & _TELLING:
        return None
    try:
        return model.model_validate({key: v for key, v in value.items() if key not in broken})
    except ValidationError:
        return None


def _explain(error: ErrorDetails, model: type[BaseModel], path: Path, report: Report) -> None:
    """Report one of pydantic's errors in our words."""
    loc, kind = error["loc"], error["type"]
    full = (*path, *loc)
    last = str(loc[-1])
    inner = _NESTED.get(str(loc[0]), model) if len(loc) > 1 else model
    if kind == "value_error":
        report.value(full, str(error["ctx"]["error"]))
    elif kind == "extra_forbidden":
        report.key(full, _unknown(last, inner, report))
    elif kind == "missing":
        report.key(full[:-1], f"`{last}` is missing; {_about(inner, last)}")
    elif kind == "too_short":
        if not error["input"]:  # else its items were wrong, and are reported
            report.value(full, "the list is empty; give at least one")
    elif kind == "too_long":
        report.value(full, f"the list is too long; give {error['ctx']['max_length']} at most")
    elif last == "<mapping>":
        report.value(full, f"{_is(error['input'])}; give a list of names, or names with weights")
    elif kind == "model_type":
        needed = _required(_NESTED.get(last, inner))
        report.value(full, f"{_is(error['input'])}; give a mapping with {needed}")
    else:
        report.value(full, error["msg"])


def _is(value: object) -> str:
    return "is empty" if value is None else f"is {kind_of(value)}"


def _about(model: type[BaseModel], key: str) -> str:
    meaning = (model.model_fields[key].description or "").rstrip(".").partition("; ")[0]
    return f"write `{key}: ...`, the {meaning[:1].lower()}{meaning[1:]}"


def _required(model: type[BaseModel]) -> str:
    names = [name for name, info in model.model_fields.items() if info.is_required()]
    return ", ".join(f"`{name}`" for name in names or [*model.model_fields][:1])
