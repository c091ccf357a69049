"""The connections that a configuration asks for; those of an earlier process go on."""
from __future__ import annotations

from typing import Any, Dict, Optional

from focus.journal.record import Image
from focus.tick import Inbox
from focus.xmpp.client import Client
from focus.xmpp.component import Component
from focus.xmpp.resumption import SessionState

CLIENT = "client"
COMPONENT = "component"


def connections(config: Any, inbox: Inbox, image: Image) -> Dict[str, Any]:
    """The configured connections, by name: the focus user's, and with a secret the component's.

    The user's stream is resumed as the image has it, and what the component had to say is said.
    """
    client, component = image.streams.get(CLIENT), image.streams.get(COMPONENT)
    resume_from = None
    if client is not None and client.token:
        resume_from = SessionState(client.token, client.jid, client.max_seconds, client.handled, client.confirmed,
                                   [stanza.encode("utf-8") for stanza in client.stanzas])
    built: Dict[str, Any] = {CLIENT: make_client(config, inbox, config.resource, resume_from)}
    if config.component_enabled:
        built[COMPONENT] = Component(
            inbox, domain=config.component_domain, secret=config.component_secret, host=config.component_host,
            port=config.component_port, secret_origin=str(config.source_of("component_secret")),
            reply_timeout=config.reply_timeout, stanza_size_limit=config.stanza_size_limit,
            waiting=[stanza.encode("utf-8") for stanza in component.stanzas] if component is not None else ())
    return built


def make_client(config: Any, inbox: Inbox, resource: str, resume_from: Optional[SessionState] = None) -> Client:
    """A connection with the focus's account."""
    return Client(
        inbox, user=config.user_name, domain=config.login_domain, password=config.user_password or "",
        resource=resource, host=config.host, port=config.client_port, use_srv=config.use_srv,
        use_tls=config.use_tls, ca_file=config.ca_file,
        disable_certificate_verification=config.disable_certificate_verification,
        password_origin=str(config.source_of("user_password")), reply_timeout=config.reply_timeout,
        stanza_size_limit=config.stanza_size_limit, resume_from=resume_from)
