"""The wire: XMPP streams, from the socket to parsed top-level elements and back.

`client.Client` and `component.Component` are the two kinds of connection. Neither knows what a stanza means: they
put what arrives, in order, into an inbox and write what they are given.
"""
