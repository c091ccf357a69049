"""How a client stream is opened (RFC 6120): header, STARTTLS, SASL, then resume (XEP-0198), or bind and enable.

Straight-line code on a `Wire`: each function is one exchange and raises StreamFailure.
"""

from __future__ import annotations

from typing import Any, List, NamedTuple, Optional

from focus.xmpp import resumption, sasl, tls
from focus.xmpp.errors import (
    BindRefused,
    ConnectionLost,
    LoginRefused,
    NoAnswer,
    ProtocolMismatch,
    ResumptionRefused,
    ResumptionUnsure,
    StreamError,
    TlsUnavailable,
)
from focus.xmpp.parser import STREAMS
from focus.xmpp.resolve import is_own_host
from focus.xmpp.resumption import Session, escape
from focus.xmpp.wire import Wire

TLS = "urn:ietf:params:xml:ns:xmpp-tls"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
SESSION = "urn:ietf:params:xml:ns:xmpp-session"
SM = resumption.NAMESPACE
STANZA_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
FEATURES = "{%s}features" % STREAMS

PROBE_TIME = 3.0
"""Seconds that a resumed stream has at least to answer our first request."""


class Account(NamedTuple):
    """Who logs in. Without a password the login is anonymous (C-1002).

    password_origin: the file or variable the password came from, for the log.
    """

    user: str
    domain: str
    password: str
    resource: str
    password_origin: str = ""

    @property
    def jid(self) -> str:
        """The full JID asked for."""
        return "%s@%s/%s" % (self.user, self.domain, self.resource) if self.password else self.domain


def open_stream(wire: Wire, domain: str) -> Any:
    """Send our header and wait for the server's features."""
    wire.restart()
    wire.write(b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='%s' version='1.0' to='%s'>"
               % (STREAMS.encode(), escape(domain)))
    wire.header()
    return wire.expect(FEATURES)


def secure(wire: Wire, features: Any, account: Account, use_tls: bool, settings: tls.TlsSettings,
           reconnect: tls.Reconnect) -> Any:
    """STARTTLS if offered; returns the features that then hold.

    Raises TlsUnavailable if it is not offered and the server is not on our own machine (C-1003).
    """
    if not use_tls:
        return features
    if features.find("{%s}starttls" % TLS) is None:
        if is_own_host(wire.sock):
            return features
        raise TlsUnavailable("%s:%d" % wire.address)
    start_tls(wire)
    address = wire.address
    with wire.patience():
        wire.sock = tls.handshake(wire.sock, settings, account.domain, address.host, address.port, reconnect)
    wire.encrypted = True
    return open_stream(wire, account.domain)


def start_tls(wire: Wire) -> None:
    """Ask for TLS; the handshake may follow."""
    wire.write(b"<starttls xmlns='%s'/>" % TLS.encode())
    wire.expect("{%s}proceed" % TLS)


def log_in(wire: Wire, features: Any, account: Account) -> Any:
    """SASL; returns the features after it. Raises LoginRefused."""
    offered = [str(m.text or "") for m in features.iterfind("{%s}mechanisms/{%s}mechanism" % ((sasl.NAMESPACE,) * 2))]
    refused: List[str] = []
    while True:
        name = sasl.choose(offered, bool(account.password), wire.encrypted, frozenset(refused))
        if name is None:
            raise _refusal(wire, account, "invalid-mechanism", " ".join(refused) or "none",
                           "offered: %s" % (" ".join(offered) or "nothing"))
        try:
            failure = _exchange(wire, account, name)
        except sasl.BadChallenge as error:
            raise _refusal(wire, account, "aborted", name, str(error)) from None
        if failure is None:
            return open_stream(wire, account.domain)
        if failure["condition"] != "invalid-mechanism":
            said = "server says: " + failure["text"] if failure["text"] else ""
            raise _refusal(wire, account, failure["condition"], name, said)
        refused.append(name)


def _exchange(wire: Wire, account: Account, name: str) -> Any:
    """One attempt; None after success, else condition and text of the failure."""
    exchange = sasl.Exchange(name, account.user, account.password, wire.encrypted)
    wire.write(exchange.auth())
    while True:
        answer = wire.expect(*("{%s}%s" % (sasl.NAMESPACE, kind) for kind in ("challenge", "success", "failure")))
        kind = answer.tag.rpartition("}")[2]
        if kind == "challenge":
            wire.write(exchange.response(answer.text))
        elif kind == "success":
            exchange.finish(answer.text)
            return None
        else:
            return sasl.failure_condition(answer)


def _refusal(wire: Wire, account: Account, condition: str, name: str, detail: str) -> LoginRefused:
    bare = "%s@%s" % (account.user, account.domain) if account.password else account.domain
    return LoginRefused(condition, name, bare, "%s:%d" % wire.address, account.password_origin, detail)


def resume(wire: Wire, features: Any, session: Session) -> bool:
    """Try to resume; True if the server goes on with the session. What it confirms is deleted from it.

    Raises ResumptionUnsure if the connection breaks instead of an answer, which may be the network's fault or the
    server's no; ResumptionRefused if the stream ends otherwise.
    """
    if features.find("{%s}sm" % SM) is None:
        return False
    wire.write(session.resume_request())
    try:
        answer = wire.expect("{%s}resumed" % SM, "{%s}failed" % SM)
    except (ConnectionLost, NoAnswer) as error:
        raise ResumptionUnsure("stream resumption refused: the stream ended after <resume/> (%s)" % error) from None
    except (StreamError, ProtocolMismatch) as error:
        raise ResumptionRefused("stream resumption refused: the stream ended after <resume/> (%s)" % error) from None
    if answer.tag != "{%s}resumed" % SM:
        return False
    try:
        session.confirm(int(answer.get("h", "")))
        _probe(wire, session)
    except (ValueError, ProtocolMismatch) as error:
        raise ResumptionRefused("stream resumption failed: %s" % error) from None
    return True


def _probe(wire: Wire, session: Session) -> None:
    """Ask the resumed stream for an acknowledgement before anything else is written to it.

    COMPAT: Prosody 0.12 goes on with the XML parser of the connection that broke. If that broke in the middle of a
    stanza, everything we send becomes a part of that stanza, until the server ends the stream for its length.
    """
    patience = min(wire.timeout, max(PROBE_TIME, 10 * wire.slowest))  # the server has shown how quick it is today
    wire.write(resumption.REQUEST)
    try:
        while True:
            answer = wire.next(timeout=patience)
            if answer.tag == "{%s}a" % SM:
                session.confirm(int(answer.get("h", "")))
                return
    except (NoAnswer, StreamError) as error:
        raise ResumptionUnsure("the server resumed the stream but does not read it (%s)" % error) from None


def bind(wire: Wire, features: Any, account: Account) -> str:
    """Bind our resource; returns the full JID. Raises BindRefused."""
    resource = b"<resource>%s</resource>" % escape(account.resource) if account.password else b""
    answer = _request(wire, b"bind", b"<bind xmlns='%s'>%s</bind>" % (BIND.encode(), resource))
    jid = answer.findtext("{%s}bind/{%s}jid" % (BIND, BIND))
    if not jid:
        raise BindRefused("the server did not bind the resource %s: %s" % (account.resource, _condition(answer)))
    session = features.find("{%s}session" % SESSION)
    if session is not None and session.find("{%s}optional" % SESSION) is None:  # COMPAT: RFC 3921 servers
        _request(wire, b"session", b"<session xmlns='%s'/>" % SESSION.encode())
    return str(jid)


def enable(wire: Wire, features: Any, jid: str, unprocessed: int) -> Optional[Session]:
    """Switch stream management on; None if the server has none.

    unprocessed: arrivals of earlier sessions not yet handled. Neither they nor stanzas that come before <enabled/>
    are this session's to count.
    """
    if features.find("{%s}sm" % SM) is None:
        return None
    wire.write(b"<enable xmlns='%s' resume='true'/>" % SM.encode())
    answer = wire.expect("{%s}enabled" % SM, "{%s}failed" % SM)
    if answer.tag != "{%s}enabled" % SM:
        return None
    token = answer.get("id", "") if answer.get("resume") in ("true", "1") else ""
    try:
        seconds: Optional[int] = int(answer.get("max", ""))
    except ValueError:
        seconds = None
    return Session(token, jid, seconds, unprocessed + wire.passed)


def _request(wire: Wire, id: bytes, payload: bytes) -> Any:
    wire.write(b"<iq type='set' id='%s'>%s</iq>" % (id, payload))
    return wire.next(lambda stanza: stanza.element.get("id") == id.decode()
                     and stanza.element.get("type") in ("result", "error")).element


def _condition(answer: Any) -> str:
    for child in answer.iterfind("{*}error/*"):
        if str(child.tag).startswith("{%s}" % STANZA_ERRORS):
            return str(child.tag).rpartition("}")[2]
    return "no reason given"
