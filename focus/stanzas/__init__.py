"""The door: XML becomes values here and values XML. Nothing else in the service parses or builds XML.

``stanza`` is the way in and out; the other modules hold one kind of payload each, always in both directions.
"""
