"""What is kept for the next boot by a tool: sysrc, chdev, ipadm."""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING

from tests.servers.emulated.state import (
    RefusedError,
    State,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def sysrc(state: State, words: Sequence[str]) -> str:
    """sysrc(8): -n prints a value and fails for an unknown name, -x removes, -ae lists."""
    path = state.root / "etc/rc.conf"
    lines = path.read_text().splitlines() if path.exists() else []
    known = dict(line.split("=", 1) for line in lines if "=" in line)
    if words == ["-ae"]:
        return "\n".join(f"{name}={value}" for name, value in known.items())
    if words[0] in {"-n", "-x"}:
        if words[1] not in known:
            raise RefusedError(f"sysrc: unknown variable '{words[1]}'")
        if words[0] == "-n":
            return known[words[1]].strip('"')
        del known[words[1]]
    else:
        name, _, value = words[0].partition("=")
        known[name] = f'"{value}"'
    path.write_text("".join(f"{name}={value}\n" for name, value in known.items()))
    return ""


def lsattr(state: State, words: Sequence[str]) -> str:
    """lsattr -E -l lo0 -F value -a alias4 ...: the values, each attribute on a line."""
    names = [words[place + 1] for place, word in enumerate(words) if word == "-a"]
    return "\n".join("\n".join(state.store.get(name, [])) or " " for name in names)


def chdev(state: State, words: Sequence[str]) -> str:
    """chdev -l lo0 -P -a alias4=ADDRESS,MASK: one more; delalias4 takes away what is there."""
    (change,) = [words[place + 1] for place, word in enumerate(words) if word == "-a"]
    if "-P" not in words:
        raise RefusedError("emulation: without -P the running device changes as well")
    name, _, value = change.partition("=")
    kept = state.store.setdefault(name.removeprefix("del"), [])
    if name.startswith("del"):
        if value not in kept:
            raise RefusedError(f"chdev: 0514-018 The values specified for {name} are not valid")
        kept.remove(value)
    elif value in kept:
        raise RefusedError(f"chdev: 0514-018 {value} is there already")
    else:
        kept.append(value)
    return "lo0 changed"


def ipadm(state: State, words: Sequence[str]) -> str:
    """ipadm(1M): its objects are persistent."""
    verb, *rest = words
    verbs: dict[str, Callable[[State, Sequence[str]], str]] = {
        "show-addr": show_addr,
        "show-if": lambda state, _: "\n".join(state.store["links"]),
        "show-prop": lambda state, rest: ipadm_prop(state, rest, change=False),
        "set-prop": lambda state, rest: ipadm_prop(state, rest, change=True),
        "create-vni": create_vni,
        "delete-vni": delete_vni,
        "create-addr": create_addr,
        "delete-addr": delete_addr,
    }
    if verb not in verbs or ("vni" in verb and state.system == "illumos"):
        raise RefusedError(f"ipadm: '{verb}': unknown subcommand")  # illumos has no vni to create
    return verbs[verb](state, rest)


def show_addr(state: State, _: Sequence[str]) -> str:
    """With -p a colon within a field is quoted."""
    rows = state.store["objects"].items()
    return "\n".join(f"{name}:{address.replace(':', chr(92) + ':')}" for name, address in rows)


def create_vni(state: State, rest: Sequence[str]) -> str:
    """Before 11.2 the name had to begin with vni.

    Configuring and Administering Network Components in Oracle Solaris 11.2, "How to Configure an
    IPv4 Interface".
    """
    (name,) = rest
    if not re.fullmatch(r"vni\d+", name) or name in state.store["links"]:
        raise RefusedError(f"ipadm: could not create VNI interface {name}")
    state.store["links"][name] = state.interfaces[name] = "UP,RUNNING,NOARP,NOXMIT,IPv4"
    return ""


def delete_vni(state: State, rest: Sequence[str]) -> str:
    """One that has addresses, or is not there, is not deleted."""
    (name,) = rest
    busy = any(one.startswith(f"{name}/") for one in state.store["objects"])
    if busy or name not in state.store["links"]:
        raise RefusedError(f"ipadm: could not delete VNI interface {name}: busy or unknown")
    del state.store["links"][name], state.interfaces[name]
    return ""


def create_addr(state: State, rest: Sequence[str]) -> str:
    """An object's name begins with a letter and has 32 characters at most; it is there once."""
    address, name = rest[rest.index("-a") + 1], rest[-1]
    device, _, own = name.partition("/")
    if not own[:1].isalpha() or len(name) > 32 or name in state.store["objects"]:
        raise RefusedError(f"ipadm: could not create address: invalid or known object {name}")
    if device not in state.store["links"]:
        raise RefusedError(f"ipadm: could not create address: no interface {device}")
    state.store["objects"][name] = address
    up(state, name, address)
    return ""


def delete_addr(state: State, rest: Sequence[str]) -> str:
    """An object that is not there is an error."""
    if len(rest) != 1 or rest[0] not in state.store["objects"]:
        raise RefusedError(f"ipadm: could not delete address: object {rest} not found")
    text = state.store["objects"].pop(rest[0]).split("/")[0]
    there = state.find(rest[0].split("/")[0], ip_address(text))
    if there:
        state.addresses.remove(there)
    return ""


def up(state: State, name: str, address: str) -> None:
    """Bring an object's address up on its interface."""
    device, (text, bits) = name.split("/", maxsplit=1)[0], address.split("/")
    state.add(device, text, int(bits), state.free(device, 0 if device.startswith("vni") else 1))


def ipadm_prop(state: State, rest: Sequence[str], *, change: bool) -> str:
    """Show or set a property."""
    values: dict[str, str] = state.store["props"]
    version = rest[-1]
    name = rest[rest.index("-p") + 1]
    if not change:
        if f"{name}-{version}" not in values:
            raise RefusedError(f"ipadm: unknown property {name}")
        return values[f"{name}-{version}"]
    name, _, value = name.partition("=")
    if value not in {"weak", "src-priority", "strong"}:
        raise RefusedError("ipadm: could not set property: invalid value")
    values[f"{name}-{version}"] = value
    return ""


def dladm(state: State, words: Sequence[str]) -> str:
    """dladm(1M) show-linkprop: no link has a protection."""
    return "net0:--"
