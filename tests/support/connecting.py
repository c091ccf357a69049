"""Our own connections to a private Prosody, for tests."""

from __future__ import annotations

from focus.xmpp.client import Client
from focus.xmpp.component import Component


def client(inbox, prosody, user="focus", **settings):
    settings = dict({"domain": prosody.user_domain, "password": prosody.passwords.get(user, ""), "host": "127.0.0.1",
                     "port": prosody.c2s_port, "ca_file": prosody.ca_file}, **settings)
    return Client(inbox, user=user, **settings)


def component(inbox, prosody, **settings):
    settings = dict({"domain": prosody.focus_component, "secret": prosody.component_secret, "host": "127.0.0.1",
                     "port": prosody.component_port}, **settings)
    return Component(inbox, **settings)


def ping(to, id="p1"):
    return b"<iq type='get' id='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % (id.encode(), to.encode())
