"""A certificate in words, for the log line of a refused one (U-8, U-9).

Python describes only certificates it has verified. So the few fields that help an operator are read here from DER
(X.690). Nothing is decided by them.
"""

from __future__ import annotations

import hashlib
import ipaddress
from typing import Iterator, List, NamedTuple, Tuple

_ATTRIBUTES = {b"\x55\x04\x03": "CN", b"\x55\x04\x0a": "O", b"\x55\x04\x0b": "OU", b"\x55\x04\x06": "C"}
_SUBJECT_ALT_NAME = b"\x55\x1d\x11"
_SEQUENCE, _SET, _OID, _OCTETS = 0x30, 0x31, 0x06, 0x04


class Certificate(NamedTuple):
    """What an operator wants to know of a certificate."""

    subject: str
    issuer: str
    valid_from: str
    valid_until: str
    names: Tuple[str, ...]
    fingerprint: str
    """SHA-256, hexadecimal with colons."""

    def describe(self) -> str:
        """One line."""
        names = ", ".join(self.names) if self.names else "none"
        return "subject %s, issuer %s%s, valid %s to %s, names %s, SHA-256 fingerprint %s" % (
            self.subject, self.issuer, " (self-signed)" if self.subject == self.issuer else "",
            self.valid_from, self.valid_until, names, self.fingerprint)


def read(der: bytes) -> Certificate:
    """Read a certificate in DER. Raises ValueError if it is malformed."""
    try:
        return _read(der)
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("malformed certificate") from error


def fingerprint(der: bytes) -> str:
    """SHA-256 of a certificate, hexadecimal with colons."""
    digest = hashlib.sha256(der).hexdigest().upper()
    return ":".join(digest[i:i + 2] for i in range(0, len(digest), 2))


def _read(der: bytes) -> Certificate:
    certificate = _children(der)[0][1]
    fields = _children(_children(certificate)[0][1])
    if fields[0][0] == 0xA0:  # version
        fields = fields[1:]
    _, _, issuer, validity, subject = fields[:5]
    begin, end = _children(validity[1])
    names: List[str] = []
    for tag, content in fields[5:]:
        if tag == 0xA3:
            names = _alternative_names(content)
    return Certificate(_name(subject[1]), _name(issuer[1]), _time(*begin), _time(*end), tuple(names),
                       fingerprint(der))


def _children(content: bytes) -> List[Tuple[int, bytes]]:
    return list(_elements(content))


def _elements(content: bytes) -> Iterator[Tuple[int, bytes]]:
    """The (tag, content) pairs of which a constructed value is made."""
    position = 0
    while position < len(content):
        tag, length = content[position], content[position + 1]
        position += 2
        if length & 0x80:
            size = length & 0x7F
            length = int.from_bytes(content[position:position + size], "big")
            position += size
        if position + length > len(content):
            raise IndexError("length")
        yield tag, content[position:position + length]
        position += length


def _name(content: bytes) -> str:
    parts = []
    for tag, group in _elements(content):
        for _, pair in _elements(group):
            (_, oid), (tag, value) = _children(pair)[:2]
            if oid in _ATTRIBUTES:
                parts.append("%s=%s" % (_ATTRIBUTES[oid], value.decode("utf-16-be" if tag == 0x1E else "utf-8",
                                                                       "replace")))
    return ", ".join(parts) or "(empty)"


def _time(tag: int, content: bytes) -> str:
    text = content.decode("ascii")
    if tag == 0x17:  # UTCTime: two digits of the year
        text = ("19" if text[0] >= "5" else "20") + text
    return "%s-%s-%s %s:%s" % (text[0:4], text[4:6], text[6:8], text[8:10], text[10:12])


def _alternative_names(content: bytes) -> List[str]:
    names = []
    for _, extension in _elements(_children(content)[0][1]):
        parts = _children(extension)
        if parts[0] != (_OID, _SUBJECT_ALT_NAME):
            continue
        for tag, value in _elements(_children(parts[-1][1])[0][1]):
            if tag == 0x82:
                names.append(value.decode("ascii", "replace"))
            elif tag == 0x87 and len(value) in (4, 16):
                names.append(str(ipaddress.ip_address(value)))
    return names
