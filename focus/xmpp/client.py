"""A connection with an account of its own (C-1001 ... C-1004): host and port, or SRV; STARTTLS; SASL; resumption."""

from __future__ import annotations

import logging
from typing import Any, List, Optional

from focus.xmpp import negotiation, resolve
from focus.xmpp.arrivals import Inbox
from focus.xmpp.errors import ResumptionRefused, ResumptionUnsure, StreamFailure, client_stream_error
from focus.xmpp.negotiation import Account
from focus.xmpp.parser import CLIENT, STANZA_LIMIT
from focus.xmpp.resolve import Address
from focus.xmpp.resumption import Session, SessionState
from focus.xmpp.stream import QUEUE_LIMIT, Connection
from focus.xmpp.tls import TlsSettings
from focus.xmpp.wire import Wire

log = logging.getLogger(__name__)
RESUME_TRIES = 3
"""Attempts to resume that may break off before the session is given up."""


class Client(Connection):
    """A client connection.

    user, domain, password, resource: the account; without a password the login is anonymous.
    host, port: where to connect (default: the domain, 5222); use_srv: look the domain up instead.
    use_tls: False never encrypts; True requires TLS, except from a server on our own machine that does not offer it.
    ca_file: trusted besides the system's store. disable_certificate_verification: trust any certificate.
    password_origin: the file or variable the password came from, for the log.
    resume_from: the session of an earlier process, to be resumed by the first login.
    """

    name = "client"

    def __init__(
        self,
        inbox: Inbox,
        *,
        user: str,
        domain: str,
        password: str,
        resource: str = "focus",
        host: str = "",
        port: int = 5222,
        use_srv: bool = False,
        use_tls: bool = True,
        ca_file: Optional[str] = None,
        disable_certificate_verification: bool = False,
        password_origin: str = "",
        reply_timeout: float = 15.0,
        stanza_size_limit: int = STANZA_LIMIT,
        queue_limit: int = QUEUE_LIMIT,
        resume_from: Optional[SessionState] = None,
    ) -> None:
        super().__init__(inbox, reply_timeout, stanza_size_limit, queue_limit)
        self.account = Account(user, domain, password, resource, password_origin)
        self.host = host or domain
        self.port = port
        self.use_srv = use_srv
        self.use_tls = use_tls
        self.tls = TlsSettings(ca_file, not disable_certificate_verification)
        self._addresses: List[Address] = []
        self._warned_unencrypted = False
        self._unsure = 0
        """Attempts to resume in a row whose outcome isn't known."""
        if resume_from is not None:
            self._managed = Session.restore(resume_from)
            self.jid = resume_from.jid

    def _warn(self) -> None:
        self._warned_unencrypted = False
        if self.use_tls and not self.tls.verify:
            log.warning("Disabling TLS certificate verification!")

    def _accepts(self) -> bool:
        return self.connected or self._managed is not None

    def _open(self) -> Wire:
        if self.use_srv:
            self._addresses = resolve.look_up(self.account.domain, self.port)
        else:
            self._addresses = [Address(self.host, self.port)]
        sock, address = resolve.connect(self._addresses)
        return self._wire_for(sock, address)

    def _wire_for(self, sock: Any, address: Address) -> Wire:
        return Wire(sock, address, lambda: self._parser(CLIENT), self._explain, self.reply_timeout)

    def _explain(self, condition: str, text: str) -> StreamFailure:
        return client_stream_error(condition, text, self.jid or self.account.jid, self.account.domain)

    def _negotiate(self, wire: Wire) -> bool:
        account = self.account
        features = negotiation.open_stream(wire, account.domain)
        features = negotiation.secure(wire, features, account, self.use_tls, self.tls,
                                      lambda: self._socket_for_handshake(wire.address))
        if not wire.encrypted and not self._warned_unencrypted:
            self._warned_unencrypted = True
            log.warning("The connection to %s:%d is not encrypted (%s)", wire.address.host, wire.address.port,
                        "the server is on our own machine and does not offer TLS" if self.use_tls
                        else "use_tls is off")
        features = negotiation.log_in(wire, features, account)
        if self._managed is not None:
            try:
                resumed = negotiation.resume(wire, features, self._managed)
            except ResumptionRefused as failure:
                self._unsure += 1
                if not isinstance(failure, ResumptionUnsure) or self._unsure >= RESUME_TRIES:
                    self._forget_session()
                    self._unsure = 0
                raise
            self._unsure = 0
            if resumed:
                self.jid = self._managed.jid
                return True
            log.warning("%s: the server did not resume the stream; starting anew", self.name)
            self._forget_session()
        self.jid = negotiation.bind(wire, features, account)
        self._managed = negotiation.enable(wire, features, self.jid, self._unprocessed)
        self._drop_queue()
        return False

    def _socket_for_handshake(self, address: Address) -> Any:
        """A second connection, up to the TLS handshake, to look at a certificate that was refused."""
        sock, address = resolve.connect([address])
        wire = self._wire_for(sock, address)
        try:
            negotiation.open_stream(wire, self.account.domain)
            negotiation.start_tls(wire)
        except StreamFailure:
            sock.close()
            raise
        return sock
