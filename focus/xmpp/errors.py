"""Why a connection could not be made, or ended. One class per kind; the facts are fields.

`text` is the one line for the operator: what happened, why, and what to do. It uses the words operators search for
(pains.md U-2 ... U-13) and never holds a secret. `patience` tells the connect loop how to go on.
"""

from __future__ import annotations

from typing import Dict, Optional, Sequence


class Patience:
    """How long to wait before the next attempt: a name for each policy of `backoff`."""

    NETWORK = "network"  # 0.5 s, doubling to 10 s
    REFUSED = "refused"  # the same, going on to 60 s: only somebody's change of a configuration helps
    CONFLICT = "conflict"  # 30 s, and the second time: give way (C-1036)
    NONE = "none"  # at once


class StreamFailure(Exception):
    """A stream could not be opened, or ended. Subclasses say why."""

    patience = Patience.NETWORK
    condition = ""
    """Defined condition of RFC 6120, where there is one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return self.text


class InternalError(StreamFailure):
    """A mistake of ours while handling the stream."""

    def __init__(self, name: str) -> None:
        super().__init__("internal error (%s), see the stack above" % name)


class NotWellFormed(StreamFailure):
    """What the server sends can't be parsed."""

    condition = "not-well-formed"


class ConnectFailed(StreamFailure):
    """No TCP connection: name not resolved, refused, timed out."""

    def __init__(self, host: str, port: int, error: BaseException) -> None:
        super().__init__("no connection to %s:%d: %s. Is the XMPP server running, and is this its address?"
                         % (host, port, describe_os_error(error)))
        self.host = host
        self.port = port


class ConnectionLost(StreamFailure):
    """The TCP connection broke, or the server closed it."""


class StreamClosed(ConnectionLost):
    """The server closed the stream in order; its session is over."""


class JournalTaken(StreamFailure):
    """It isn't our turn to serve any more."""

    patience = Patience.REFUSED


class ResumptionRefused(StreamFailure):
    """The stream ended after <resume/>: to us the same as <failed/> (Prosody does it for a stale h)."""

    patience = Patience.NONE


class ResumptionUnsure(ResumptionRefused):
    """The connection broke after <resume/>: to be tried once more, since a server that has refused says <failed/>
    then."""


class NoAnswer(StreamFailure):
    """The server did not answer in time."""


class OutputOverflow(StreamFailure):
    """More output waits for the server than we are willing to keep."""


class ProtocolMismatch(StreamFailure):
    """The peer does not speak the protocol we need."""

    patience = Patience.REFUSED


class TlsUnavailable(StreamFailure):
    """TLS is required and the server does not offer it."""

    patience = Patience.REFUSED

    def __init__(self, server: str) -> None:
        super().__init__(
            "%s does not offer STARTTLS, and TLS is required. Load Prosody's module \"tls\" and give its host a "
            "certificate (only a server on our own address may be spoken to in the clear)" % server)


class TlsFailed(StreamFailure):
    """The TLS handshake failed, for another reason than the certificate."""

    patience = Patience.REFUSED


class CertificateRefused(StreamFailure):
    """The server's certificate is not trusted, or is for another name (U-8, U-9).

    reason: what the verification said; description: the certificate in words; names: those tried.
    """

    patience = Patience.REFUSED

    def __init__(self, server: str, reason: str, description: str, names: Sequence[str],
                 advice: str) -> None:
        super().__init__("certificate of %s refused (%s). Tried for: %s. The certificate: %s. %s"
                         % (server, reason, ", ".join(names), description, advice))
        self.reason = reason
        self.description = description
        self.names = tuple(names)


class StreamError(StreamFailure):
    """The server ended the stream with a <stream:error/> (RFC 6120 4.9).

    condition: the defined condition; server_text: what the server wrote beside it.
    """

    def __init__(self, condition: str, server_text: str, text: str, patience: str = Patience.NETWORK) -> None:
        super().__init__(text)
        self.condition = condition
        self.server_text = server_text
        self.patience = patience


class LoginRefused(StreamFailure):
    """SASL ended in a failure (RFC 6120 6.5).

    condition: from the server; mechanism: the one used; detail: what else is known (what the server said).
    """

    patience = Patience.REFUSED

    def __init__(self, condition: str, mechanism: str, account: str, server: str, password_origin: str = "",
                 detail: str = "") -> None:
        advice = _LOGIN_ADVICE.get(condition, "")
        text = "SASLError using %s: %s (account %s at %s" % (mechanism, condition, account, server)
        if password_origin:
            text += ", password from %s" % password_origin
        text += "; %s)" % detail if detail else ")"
        super().__init__(text + (". " + advice % {"account": account} if advice else ""))
        self.condition = condition
        self.mechanism = mechanism
        self.account = account


class BindRefused(StreamFailure):
    """The server did not give us our resource."""

    patience = Patience.REFUSED


_LOGIN_ADVICE: Dict[str, str] = {
    "not-authorized": "The password here and the one in the server's accounts differ, or there is no such account: "
                      "set it with `prosodyctl passwd %(account)s` (`prosodyctl adduser %(account)s` if it is missing)",
    "account-disabled": "Enable the account %(account)s on the server",
    "encryption-required": "The server wants TLS; do not switch use_tls off",
    "invalid-mechanism": "The server takes none of SCRAM-SHA-512, SCRAM-SHA-256, SCRAM-SHA-1, and PLAIN only over TLS",
}

_CLIENT_ADVICE: Dict[str, str] = {
    "conflict": "Another process logged in with our full JID (%(jid)s). Two focuses must not share an account and "
                "resource: stop the other one, or give it an account of its own",
    "host-unknown": "The server has no host %(domain)s: compare the user domain here with the VirtualHost lines of "
                    "Prosody's configuration, see that its file is linked into conf.d, and that the port is the one "
                    "for clients (5222)",
    "system-shutdown": "The server is shutting down or restarting",
    "policy-violation": "The server's limits are too small for a focus (Prosody: mod_limits, c2s_stanza_size_limit)",
    "resource-constraint": "The server has no room for this stream",
    "invalid-namespace": "The server is not ready to serve clients on this port, or this is another kind of port",
    "not-authorized": "The server does not accept this stream",
}

_COMPONENT_ADVICE: Dict[str, str] = {
    "not-authorized": "component secret for %(domain)s not accepted by %(server)s; Prosody's component_secret and our "
                      "secret%(origin)s differ",
    "host-unknown": "%(server)s has no external component %(domain)s: Prosody wants a line `Component \"%(domain)s\"` "
                    "with component_secret and no module name behind it, in a file it reads (conf.d). If it says "
                    "`Component \"%(domain)s\" \"client_proxy\"`, then no secret is needed here: switch the component "
                    "connection off",
    "conflict": "Another process is already connected as component %(domain)s (an old focus that still runs?)",
    "system-shutdown": "The server is shutting down or restarting",
    "invalid-namespace": "This port does not take components (Prosody: component_ports, 5347)",
    "invalid-from": "We sent a stanza from an address outside of %(domain)s",
}

_REFUSALS = frozenset(("not-authorized", "host-unknown", "host-gone", "invalid-namespace", "policy-violation",
                       "unsupported-version", "see-other-host"))


def client_stream_error(condition: str, server_text: str, jid: str, domain: str) -> StreamError:
    """The failure for a <stream:error/> on a client connection."""
    text = _join(condition, server_text, _CLIENT_ADVICE.get(condition, "") % {"jid": jid, "domain": domain})
    patience = Patience.CONFLICT if condition == "conflict" else _patience(condition)
    return StreamError(condition, server_text, text, patience)


def component_stream_error(condition: str, server_text: str, domain: str, server: str, origin: str) -> StreamError:
    """The failure for a <stream:error/> on a component connection. A second one is refused, so no duel there."""
    advice = _COMPONENT_ADVICE.get(condition, "") % {
        "domain": domain, "server": server, "origin": " (from %s)" % origin if origin else ""}
    host, _, port = server.rpartition(":")
    where = "%s, host:%s, port:%s" % (condition, host, port)
    patience = Patience.REFUSED if condition == "conflict" else _patience(condition)
    return StreamError(condition, server_text, _join(where, server_text, advice), patience)


def _patience(condition: str) -> str:
    return Patience.REFUSED if condition in _REFUSALS else Patience.NETWORK


def _join(condition: str, server_text: str, advice: str) -> str:
    text = "stream error %s" % condition
    if server_text:
        text += " (%s)" % server_text
    return "%s. %s" % (text, advice) if advice else text


def printable(text: Optional[str]) -> str:
    """What a server wrote, as part of one log line."""
    return " ".join((text or "").split())[:300]


def describe_os_error(error: BaseException) -> str:
    """An OSError in words, without its number."""
    message: Optional[str] = getattr(error, "strerror", None)
    return message or str(error) or type(error).__name__
