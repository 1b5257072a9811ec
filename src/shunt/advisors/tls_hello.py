"""The hellos of TLS, written and read by hand (RFC 8446 section 4, RFC 5246 section 7.4.1).

OpenSSL 3 offers no RC4 and no 3DES any more; a server that knows nothing else lives all the same.
"""

from __future__ import annotations

import os
import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

from shunt.advisors.dialogue import WrongAnswerError

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSIONS = {"1.0": 0x0301, "1.1": 0x0302, "1.2": 0x0303, "1.3": 0x0304}
NAMES = {0x0300: "SSLv3", 0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}
RECORD_HEAD = 5
_HANDSHAKE, _CLIENT_HELLO, _SERVER_HELLO = 22, 1, 2
_CIPHERS = (
    0x1301, 0x1302, 0x1303,  # TLS 1.3: AES, ChaCha20
    0xC02B, 0xC02F, 0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC009, 0xC013, 0xC00A, 0xC014,  # ECDHE
    0x009E, 0x009F, 0x0033, 0x0039,  # DHE
    0x009C, 0x009D, 0x003C, 0x002F, 0x0035,  # RSA, AES
    0xC012, 0x0016, 0x000A, 0xC011, 0x0005, 0x0004,  # 3DES, RC4
    0x00FF,  # renegotiation is secure (RFC 5746)
)  # fmt: skip
_GROUPS = (0x001D, 0x0017, 0x0018, 0x0019)  # X25519, P-256, P-384, P-521
_SIGNATURES = (0x0403, 0x0503, 0x0603, 0x0807, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601,
               0x0203, 0x0201)  # fmt: skip
_SERVER_NAME, _SUPPORTED_GROUPS, _POINT_FORMATS, _SIGNATURE_ALGORITHMS = 0, 10, 11, 13
_SUPPORTED_VERSIONS, _KEY_SHARE = 43, 51


def client_hello(server_name: str | None, oldest: str) -> bytes:
    """Return a client's hello that offers every version from `oldest` on.

    It brings no key share: a server of TLS 1.3 answers with its hello and asks for one.
    """
    offered = [number for number in VERSIONS.values() if number >= VERSIONS[oldest]]
    extensions = [
        (_SUPPORTED_GROUPS, _counted(2, _shorts(_GROUPS))),
        (_POINT_FORMATS, _counted(1, b"\0")),
        (_SIGNATURE_ALGORITHMS, _counted(2, _shorts(_SIGNATURES))),
        (_SUPPORTED_VERSIONS, _counted(1, _shorts(reversed(offered)))),
        (_KEY_SHARE, _counted(2, b"")),
    ]
    if server_name is not None and not _is_address(server_name):
        name = b"\0" + _counted(2, server_name.encode("idna"))
        extensions.insert(0, (_SERVER_NAME, _counted(2, name)))
    body = (
        struct.pack("!H", VERSIONS["1.2"])  # 1.3 is told by its extension
        + os.urandom(32)
        + _counted(1, os.urandom(32))
        + _counted(2, _shorts(_CIPHERS))
        + _counted(1, b"\0")  # no compression
        + _counted(2, b"".join(struct.pack("!H", kind) + _counted(2, data)
                               for kind, data in extensions))
    )  # fmt: skip
    message = bytes((_CLIENT_HELLO,)) + _counted(3, body)
    return struct.pack("!BH", _HANDSHAKE, VERSIONS["1.0"]) + _counted(2, message)


def server_version(record: bytes) -> int:
    """Return the version that a server's hello chooses.

    Raises:
        WrongAnswerError: the record does not begin with a server's hello.
    """
    if record[:1] != bytes((_SERVER_HELLO,)):
        raise WrongAnswerError(f"no server hello but handshake message {record[:1].hex()}")
    body = record[4:]
    if len(body) < 35:
        raise WrongAnswerError("a server hello that is cut off")
    chosen = int.from_bytes(body[:2], "big")
    at = 35 + body[34] + 3 + 2  # random, session, cipher and compression, the extensions' length
    while at + 4 <= len(body):
        kind, length = struct.unpack_from("!HH", body, at)
        if kind == _SUPPORTED_VERSIONS and length == 2 and at + 6 <= len(body):
            return int.from_bytes(body[at + 4 : at + 6], "big")
        at += 4 + length
    return chosen


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _shorts(numbers: Iterable[int]) -> bytes:
    return b"".join(number.to_bytes(2, "big") for number in numbers)


def _counted(size: int, data: bytes) -> bytes:
    return len(data).to_bytes(size, "big") + data
