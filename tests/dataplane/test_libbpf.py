"""The library: what its absence, its age and its errors are to a user."""

from __future__ import annotations

import ctypes
import errno
from types import SimpleNamespace
from typing import Any

import pytest

from shunt.dataplane import libbpf
from shunt.errors import DataplaneError, HostError


def test_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_arguments: Any, **_options: Any) -> ctypes.CDLL:
        raise OSError("not found")

    monkeypatch.setattr(ctypes, "CDLL", absent)
    with pytest.raises(HostError, match="libbpf is not installed") as raised:
        libbpf.Libbpf()
    assert "apt install libbpf1" in (raised.value.hint or "")


def test_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libbpf, "_open", lambda: SimpleNamespace(libbpf_set_print=print))
    with pytest.raises(HostError, match="libbpf 0 is too old: it has no bpf_object__open_file"):
        libbpf.Libbpf()


def test_every_function_is_bound() -> None:
    assert libbpf.libbpf().version != "0"


def test_errors_by_kind() -> None:
    assert libbpf.checked(3, "count") == 3
    with pytest.raises(DataplaneError, match="cannot count: ENOENT: No such file") as raised:
        libbpf.checked(-errno.ENOENT, "count")
    assert raised.value.errno == errno.ENOENT
    with pytest.raises(HostError, match="cannot count: no permission"):
        libbpf.checked(-errno.EPERM, "count")
    assert libbpf.error_name(524).startswith("ENOTSUPP")
