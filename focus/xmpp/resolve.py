"""From a configured server to the TCP connection.

Without SRV, host and port are taken as they stand (C-1001). With it, RFC 6120 3.2: the records of
`_xmpp-client._tcp.<domain>` by priority, then the domain itself.
"""

from __future__ import annotations

import ipaddress
import logging
import random
from typing import Any, List, NamedTuple, Tuple, Union

import gevent
from gevent import socket

from focus.xmpp.errors import ConnectFailed

log = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Seconds one address may take to accept the connection."""

USER_TIMEOUT = 60000
"""Milliseconds after which the kernel gives up a connection that confirms nothing (TCP_USER_TIMEOUT)."""


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int


class SrvRecord(NamedTuple):
    """One record of RFC 2782."""

    priority: int
    weight: int
    host: str
    port: int


def order_records(records: List[SrvRecord], choose: Any = random.uniform) -> List[Address]:
    """RFC 2782: lower priority first; within one, at random by weight."""
    ordered: List[Address] = []
    for priority in sorted({record.priority for record in records}):
        group = sorted((r for r in records if r.priority == priority), key=lambda r: r.weight)
        while group:
            mark = choose(0, sum(record.weight for record in group))
            for record in group:
                mark -= record.weight
                if mark <= 0:
                    break
            group.remove(record)
            ordered.append(Address(record.host, record.port))
    return ordered


def look_up(domain: str, port: int) -> List[Address]:
    """Addresses of a domain by SRV, or the domain itself at `port` if it has none (or DNS does not answer)."""
    import dns.exception  # only who switches SRV on pays for this library
    import dns.resolver

    def ask() -> Union[List[SrvRecord], str]:
        try:
            answer = dns.resolver.resolve("_xmpp-client._tcp." + domain, "SRV")
        except dns.exception.DNSException as error:  # caught here: gevent prints what a thread lets out
            return type(error).__name__
        return [SrvRecord(r.priority, r.weight, str(r.target).rstrip("."), r.port) for r in answer]

    records = gevent.get_hub().threadpool.apply(ask)  # the library's sockets would block the hub
    if isinstance(records, str):
        log.info("No SRV records for %s (%s), using the domain itself", domain, records)
        records = []
    return [address for address in order_records(records) if address.host] or [Address(domain, port)]


def connect(addresses: List[Address]) -> Tuple[Any, Address]:
    """Connect to the first address that answers; returns the socket and that address. Raises ConnectFailed."""
    failure = ConnectFailed("", 0, OSError("no address"))
    for address in addresses:
        try:
            sock = socket.create_connection(address, timeout=CONNECT_TIMEOUT)
        except (OSError, UnicodeError) as error:
            failure = ConnectFailed(address.host, address.port, error)
            continue
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT)
        return sock, address
    raise failure


def is_own_host(sock: Any) -> bool:
    """Whether the peer of a connected socket is on our own machine: loopback, or the same address on both ends."""
    if not sock.family == socket.AF_INET and not sock.family == socket.AF_INET6:
        return True
    peer = sock.getpeername()[0]
    return peer == sock.getsockname()[0] or ipaddress.ip_address(peer.partition("%")[0]).is_loopback
