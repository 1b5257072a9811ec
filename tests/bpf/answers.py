"""What the dispatcher answers by itself, computed a second time: plain Python over bytes.

Unlike the tables in `cases/` this takes any frame that was answered, however odd, and says whether
the answer is right. It shares no code with the program or with scapy.
"""

from __future__ import annotations

import struct

from tests.bpf.world import OWN

_TAGS = (0x8100, 0x88A8)
_EXTENSIONS = (0, 43, 44, 51, 60)
_TTL = b"\x40"
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16


def is_answer(frame: bytes, out: bytes) -> bool:
    """Say whether `out` is the right answer to `frame`."""
    at = 14
    kind = int.from_bytes(frame[12:14])
    while kind in _TAGS and at < 22:
        kind, at = int.from_bytes(frame[at + 2 : at + 4]), at + 4
    if kind == 0x0806:
        return out == _arp_reply(frame, at)
    if kind == 0x0800:
        inside, protocol = at + (frame[at] & 15) * 4, frame[at + 9]
    else:
        inside, protocol = _behind_extensions(frame, at)
    if protocol == 6:
        return out == _reset(frame, at, kind)
    if protocol == 58 and frame[inside] == 135:
        return out == _advertisement(frame, at)
    return _is_ping_reply(frame, out, at, inside, kind)


def ones_sum(data: bytes) -> int:
    """Return the ones' complement sum (RFC 1071) as a number modulo 65,535."""
    padded = data + b"\0" * (len(data) % 2)
    words: tuple[int, ...] = struct.unpack(f"!{len(padded) // 2}H", padded)
    return sum(words) % 0xFFFF


def _checksum(data: bytes) -> bytes:
    return (-ones_sum(data) % 0xFFFF).to_bytes(2)


def _behind_extensions(frame: bytes, at: int) -> tuple[int, int]:
    protocol, at = frame[at + 6], at + 40
    while protocol in _EXTENSIONS:
        size = 8 if protocol == 44 else (frame[at + 1] + 1) * 8
        if protocol == 51:
            size = (frame[at + 1] + 2) * 4
        protocol, at = frame[at], at + size
    return at, protocol


def _arp_reply(frame: bytes, at: int) -> bytes:
    sender, target = frame[at + 8 : at + 18], frame[at + 24 : at + 28]
    return b"".join((
        frame[6:12], OWN.octets, frame[12 : at + 6], b"\0\2", OWN.octets, target, sender,
        frame[at + 28 :],
    ))  # fmt: skip


def _advertisement(frame: bytes, at: int) -> bytes:
    """RFC 4861, section 7.2.4; the target is the sender, all nodes if the asker has no address."""
    asker, target = frame[at + 8 : at + 24], frame[at + 48 : at + 64]
    to, mac, flags = asker, frame[6:12], b"\x60\0\0\0"
    if asker == bytes(16):
        to, mac, flags = bytes.fromhex(f"ff02{'00' * 13}01"), b"\x33\x33\0\0\0\1", b"\x20\0\0\0"
    body = flags + target + b"\2\1" + OWN.octets
    pseudo = target + to + struct.pack("!II", 32, 58)
    checked = b"\x88\0" + _checksum(pseudo + b"\x88\0\0\0" + body) + body
    header = frame[at : at + 4] + b"\0\x20" + frame[at + 6 : at + 8] + target + to
    return mac + OWN.octets + frame[12:at] + header + checked + frame[at + 72 :]


def _is_ping_reply(frame: bytes, out: bytes, at: int, inside: int, kind: int) -> bool:
    """Every byte but the checksums; those must be right, and have been right in the request."""
    if kind == 0x0800:
        end = at + int.from_bytes(frame[at + 2 : at + 4])
        addresses = frame[at + 16 : at + 20] + frame[at + 12 : at + 16]
        begin = frame[at : at + 8] + _TTL + frame[at + 9 : at + 10] + out[at + 10 : at + 12]
        head, reply, pseudo = begin + addresses + frame[at + 20 : inside], b"\0", b""
        right = ones_sum(out[at:inside]) == ones_sum(frame[at:inside]) == 0
    else:
        end = at + 40 + int.from_bytes(frame[at + 4 : at + 6])
        addresses = frame[at + 24 : at + 40] + frame[at + 8 : at + 24]
        head, reply = frame[at : at + 7] + _TTL + addresses + frame[at + 40 : inside], b"\x81"
        pseudo = addresses + struct.pack("!II", end - inside, 58)
        right = True
    right &= end <= len(frame)
    right &= ones_sum(pseudo + out[inside:end]) == ones_sum(pseudo + frame[inside:end]) == 0
    message = reply + frame[inside + 1 : inside + 2] + out[inside + 2 : inside + 4]
    whole = frame[6:12] + OWN.octets + frame[12:at] + head + message + frame[inside + 4 :]
    return right and out == whole


def _reset(frame: bytes, at: int, kind: int) -> bytes:
    """RFC 9293, section 3.10.7.1."""
    if kind == 0x0800:
        addresses, head = frame[at + 12 : at + 20], 20
        source, target = addresses[4:], addresses[:4]
        length = int.from_bytes(frame[at + 2 : at + 4]) - 20
        pseudo = source + target + struct.pack("!HH", 6, 20)
    else:
        addresses, head = frame[at + 8 : at + 40], 40
        source, target = addresses[16:], addresses[:16]
        length = int.from_bytes(frame[at + 4 : at + 6])
        pseudo = source + target + struct.pack("!II", 20, 6)
    client, port, seq, ack, offset, flags = struct.unpack_from("!HHIIBB", frame, at + head)
    if flags & _ACK:
        numbers, answer = (ack, 0), _RST
    else:
        length += -(offset >> 4) * 4 + bool(flags & _SYN) + bool(flags & _FIN)
        numbers, answer = (0, (seq + length) & 0xFFFFFFFF), _RST | _ACK
    tcp = struct.pack("!HHIIBBHHH", port, client, *numbers, 5 << 4, answer, 0, 0, 0)
    tcp = tcp[:16] + _checksum(pseudo + tcp) + tcp[18:]
    if kind == 0x0800:
        begin = frame[at : at + 2] + b"\0\x28" + frame[at + 4 : at + 8] + _TTL + b"\x06"
        ip = begin + _checksum(begin + source + target) + source + target
    else:
        ip = frame[at : at + 4] + b"\0\x14" + frame[at + 6 : at + 7] + _TTL + source + target
    return frame[6:12] + OWN.octets + frame[12:at] + ip + tcp
