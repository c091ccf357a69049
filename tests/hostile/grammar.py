"""Hostile stanzas: right enough to be read, wrong in one way or in ten. Everything is drawn from one `Random`.

So a run is repeated by its seed, and Hypothesis can draw from the same grammar and shrink what it finds.
"""

from __future__ import annotations

from random import Random
from typing import Any, Callable, Dict, List, Sequence, Tuple

JINGLE = "urn:xmpp:jingle:1"
FOCUS = "http://jitsi.org/protocol/focus"
COLIBRI2 = "jitsi:colibri2"
COLIBRI = "http://jitsi.org/protocol/colibri"
PUBSUB = "http://jabber.org/protocol/pubsub"
RTP = "urn:xmpp:jingle:apps:rtp:1"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"

ACTIONS = ("session-accept", "session-initiate", "session-info", "session-terminate", "transport-info",
           "transport-accept", "transport-reject", "transport-replace", "source-add", "source-remove", "addsource",
           "removesource", "content-add", "content-modify", "description-info", "security-info", "", "SOURCE-ADD")
CONDITIONS = ("bad-request", "conflict", "feature-not-implemented", "forbidden", "gone", "internal-server-error",
              "item-not-found", "not-acceptable", "service-unavailable", "remote-server-timeout", "policy-violation",
              "no-such-condition")
STATISTICS = ("stress_level", "drain", "version", "relay_id", "region", "healthy", "colibri2", "shutting_down", "x")
REASONS = ("conference_not_found", "conference_already_exists", "unknown_endpoint", "graceful_shutdown", "nonsense", "")
NUMBERS = ("0", "1", "-1", "4294967295", "4294967296", "-2147483648", "1e9", "0x10", "９", " 7 ", "", "NaN", "9" * 400,
           "+5", "1.5", "١٢")
WORDS = ("audio", "video", "application", "camera", "desktop", "SIM", "FID", "true", "false", "", "a", "a-v0", "a-a0",
         "both", "initiator", "m" * 300, "‮evil", "\u0000".replace("\u0000", "\ufffd"), "é", "\U0001f600", "a b",
         "..", "%s%n", "'); DROP TABLE--", "&amp;amp;", "]]>")
TYPES = ("get", "set", "result", "error", "", "chat", "unavailable", "subscribe", "groupchat", "SET")
NAMESPACES = (JINGLE, FOCUS, COLIBRI2, RTP, SSMA, ICE, STANZAS, "http://jabber.org/protocol/muc#user",
              "http://jabber.org/protocol/disco#info", "http://jitsi.org/jitmeet", "urn:ietf:params:xml:ns:xmpp-sasl",
              "jabber:client", "jabber:server", "", "http://jitsi.org/jitmeet/audio", "urn:xmpp:ping",
              "http://jitsi.org/protocol/healthcheck", "http://jitsi.org/protocol/colibri")
TAGS = ("jingle", "content", "description", "source", "ssrc-group", "transport", "candidate", "fingerprint", "reason",
        "conference", "property", "conference-modified", "endpoint", "relay", "media", "sources", "sctp", "query",
        "feature", "identity", "x", "item", "status", "error", "stats", "stat", "json-message", "bridge-session",
        "ice-state", "mute", "nick", "c", "priority", "SourceInfo", "startmuted", "ping", "parameter", "rtcp-fb")
ATTRIBUTES = ("id", "action", "sid", "ssrc", "name", "value", "semantics", "media", "creator", "senders", "ufrag",
              "pwd", "room", "reason", "meeting-id", "create", "expire", "affiliation", "role", "jid", "node", "ver",
              "hash", "var", "category", "type", "videoType", "msid", "generation", "foundation", "port", "ip",
              "xml:lang")


def escape(text: str) -> str:
    """For an attribute in single quotes or text."""
    return (text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("'", "&apos;")
            .replace('"', "&quot;"))


class Targets:
    """What an attacker knows: addresses, sessions and ids. Lists that a run keeps up to date.

    senders: addresses stanzas may come from. own: our addresses.
    """

    def __init__(self, senders: Sequence[str], own: Sequence[str], rooms: Sequence[str]) -> None:
        self.senders = list(senders)
        self.own = list(own)
        self.rooms = list(rooms)
        self.sids: List[str] = ["nosuchsid"]
        self.ids: List[str] = ["1"]

    def learn(self, kind: List[str], word: str) -> None:
        """Remember one of the last hundred."""
        kind.append(word)
        del kind[:-100]


class Grammar:
    """Draws stanzas.

    random: where from. targets: whom they concern.
    """

    def __init__(self, random: Random, targets: Targets) -> None:
        self.random = random
        self.targets = targets

    def stanza(self) -> str:
        """One stanza, well-formed but for what `strange` may make undeclared."""
        kind = self._pick(_KINDS)
        return kind(self)

    # Parts

    def _pick(self, choices: Sequence[Any]) -> Any:
        return choices[self.random.randrange(len(choices))]

    def _one_in(self, count: int) -> bool:
        return self.random.randrange(count) == 0

    def _word(self) -> str:
        targets = self.targets
        pool = self._pick((WORDS, NUMBERS, targets.senders, targets.sids, targets.own, targets.rooms, WORDS))
        return str(self._pick(pool))

    def _attributes(self, **given: str) -> str:
        drawn: Dict[str, str] = {}
        for name, value in given.items():
            if not self._one_in(12):
                drawn[name.replace("_", "-")] = self._word() if self._one_in(12) else value
        if self._one_in(6):
            drawn[self._pick(ATTRIBUTES)] = self._word()
        return "".join(" %s='%s'" % (name, escape(value)) for name, value in drawn.items())

    def element(self, depth: int = 3) -> str:
        """Any element of the vocabulary, in any namespace, with anything inside."""
        tag = self._pick(TAGS) if not self._one_in(50) else "t%x" % self.random.randrange(1 << 40)
        attributes = "".join(" %s='%s'" % (name, escape(self._word()))
                             for name in sorted({self._pick(ATTRIBUTES) for _ in range(self.random.randrange(4))}))
        inside = "".join(self.element(depth - 1) for _ in range(self.random.randrange(3))) if depth else ""
        if self._one_in(3):
            inside += escape(self._word())
        return "<%s xmlns='%s'%s>%s</%s>" % (tag, self._pick(NAMESPACES), attributes, inside, tag)

    def _some(self, *parts: str) -> str:
        """The parts, sometimes without one, with one twice, in another order, or with a stranger among them."""
        chosen = [part for part in parts if not self._one_in(10)]
        if chosen and self._one_in(10):
            chosen.append(self._pick(chosen))
        if self._one_in(8):
            chosen.append(self.element())
        if self._one_in(10):
            self.random.shuffle(chosen)
        return "".join(chosen)

    def _envelope(self, name: str, kind: str, inside: str) -> str:
        targets = self.targets
        stanza_id = self._word() if self._one_in(8) else self._pick(targets.ids)
        return "<%s%s>%s</%s>" % (name, self._attributes(
            type=kind, id=stanza_id, to=self._pick(targets.own), **{"from": self._pick(targets.senders)}), inside, name)

    # Jingle

    def jingle(self) -> str:
        """A request over Jingle."""
        contents = "".join(self._content() for _ in range(self.random.randrange(4)))
        extra = self._some("<bridge-session xmlns='%s'%s/>" % (FOCUS, self._attributes(id="b", restart="true")),
                           "<ice-state xmlns='%s'>failed</ice-state>" % FOCUS,
                           "<reason><success/><text>%s</text></reason>" % escape(self._word()),
                           "<json-message xmlns='http://jitsi.org/jitmeet'>%s</json-message>" % escape(self._json()))
        return self._envelope("iq", self._pick(("set", "set", "set", "get")), "<jingle xmlns='%s'%s>%s%s</jingle>" % (
            JINGLE, self._attributes(action=self._pick(ACTIONS), sid=self._pick(self.targets.sids),
                                     initiator=self._word()), contents, extra))

    def _json(self) -> str:
        return str(self._pick(('{"sources":{"a":[[{"s":1,"n":"a-v0"}],[["s",1,2]],[{"s":-1}],[]]}}', "{", "[]", "null",
                               '{"sources":{"a":[[' + "[" * 900, '{"sources":' + "9" * 900 + "}", '{"a":"\\ud800"}',
                               '{"sources":{"%s":[[],[],[],[]]}}' % ("x" * 50), '{"sources":{"a":[[{"s":1e400}]]}}')))

    def _content(self) -> str:
        media = self._pick(("audio", "video", "application"))
        sources = "".join(self._source() for _ in range(self.random.randrange(5)))
        groups = "".join(self._group() for _ in range(self.random.randrange(3)))
        attributes = self._attributes(name=media, creator="initiator", senders="both")
        return "<content%s>%s</content>" % (attributes, self._some(
            "<description xmlns='%s'%s>%s%s</description>" % (RTP, self._attributes(media=media), sources, groups),
            self._transport()))

    def _source(self) -> str:
        return "<source xmlns='%s'%s>%s</source>" % (SSMA, self._attributes(
            ssrc=str(self.random.randrange(1, 50)), name=self._word(), videoType=self._word()), self._some(
                "<parameter name='msid' value='%s'/>" % escape(self._word()),
                "<ssrc-info xmlns='http://jitsi.org/jitmeet'%s/>" % self._attributes(owner=self._word())))

    def _group(self) -> str:
        members = "".join("<source%s/>" % self._attributes(ssrc=str(self.random.randrange(1, 50)))
                          for _ in range(self.random.randrange(6)))
        return "<ssrc-group xmlns='%s'%s>%s</ssrc-group>" % (
            SSMA, self._attributes(semantics=self._pick(("FID", "SIM", "FEC-FR", "x"))), members)

    def _transport(self) -> str:
        return "<transport xmlns='%s'%s>%s</transport>" % (ICE, self._attributes(ufrag="u", pwd="p"), self._some(
            "<fingerprint xmlns='urn:xmpp:jingle:apps:dtls:0'%s>AA:BB</fingerprint>" % self._attributes(
                hash="sha-256", setup="active"),
            "<candidate%s/>" % self._attributes(foundation="1", component="1", protocol="udp", priority="1",
                                                ip="127.0.0.1", port="1", type="host", generation="0", id="c"),
            "<rtcp-mux/>"))

    # Answers

    def answer(self) -> str:
        """A result or an error to what the focus may have asked."""
        if self._one_in(2):
            payload = self._some(self._modified(), self._disco()) if self._one_in(2) else ""
            return self._envelope("iq", "result", payload)
        reason = "<error xmlns='%s'%s/>" % (COLIBRI2, self._attributes(reason=self._pick(REASONS)))
        return self._envelope("iq", "error", self._some(
            "<error%s><%s xmlns='%s'/>%s</error>" % (self._attributes(type="cancel"), self._pick(CONDITIONS), STANZAS,
                                                     self._some(reason, "<text xmlns='%s'>x</text>" % STANZAS))))

    def _modified(self) -> str:
        endpoints = "".join("<endpoint%s>%s</endpoint>" % (self._attributes(id=self._word()), self._some(
            "<transport>%s</transport>" % self._transport(), "<sctp%s/>" % self._attributes(port="5000"),
            "<sources><media-source%s/></sources>" % self._attributes(type="audio", id="jvb-a0")))
            for _ in range(self.random.randrange(3)))
        relay = "<relay%s><transport>%s<sctp%s/></transport></relay>" % (
            self._attributes(id=self._word()), self._transport(), self._attributes(role="client", port="5000"))
        return "<conference-modified xmlns='%s'%s>%s</conference-modified>" % (
            COLIBRI2, self._attributes(meeting_id=self._word()), self._some(endpoints, relay))

    def old_bridge(self) -> str:
        """What bridges of before autumn 2022 say: answers and requests with channels, statistics sent by themselves."""
        if self._one_in(4):
            return self._envelope("iq", self._pick(("set", "get")), self._statistics())
        contents = "".join("<content%s>%s</content>" % (self._attributes(name=self._pick(("audio", "video", "data"))),
                                                        self._channels()) for _ in range(self.random.randrange(4)))
        bundle = "<channel-bundle%s>%s</channel-bundle>" % (self._attributes(id=self._word()), self._transport())
        return self._envelope("iq", self._pick(("result", "set")), "<conference xmlns='%s'%s>%s</conference>" % (
            COLIBRI, self._attributes(id=self._word()), self._some(contents, bundle)))

    def _channels(self) -> str:
        inside = self._some(self._source(), "<ssrc>%s</ssrc>" % escape(self._word()), self._transport())
        return "".join("<%s%s>%s</%s>" % (tag, self._attributes(id=self._word(), endpoint=self._word(), expire="60",
                                                                port="5000", direction=self._word()), inside, tag)
                       for tag in ("channel", "sctpconnection")[:self.random.randrange(3)])

    def _statistics(self) -> str:
        stats = "".join("<stat%s/>" % self._attributes(name=self._pick(STATISTICS), value=self._word())
                        for _ in range(self.random.randrange(6)))
        return "<stats xmlns='%s'>%s</stats>" % (COLIBRI, stats)

    def published(self) -> str:
        """An event of publish-subscribe."""
        item = "<item%s>%s</item>" % (self._attributes(id=self._word()), self._some(self._statistics()))
        items = "<items%s>%s</items>" % (self._attributes(node=self._word()), item * self.random.randrange(3))
        return self._envelope("message", self._pick(("", "headline", "error")), "<event xmlns='%s#event'>%s</event>" % (
            PUBSUB, self._some(items, "<retract%s/>" % self._attributes(id=self._word()))))

    def _disco(self) -> str:
        features = "".join("<feature%s/>" % self._attributes(var=self._word()) for _ in range(self.random.randrange(9)))
        return "<query xmlns='http://jabber.org/protocol/disco#info'%s>%s</query>" % (
            self._attributes(node=self._word()), self._some("<identity category='client' type='web'/>", features))

    # The room

    def presence(self) -> str:
        """A presence of an occupant."""
        status = "<status code='%s'/>" % self._pick(("110", "307", "x", "301"))
        attributes = self._attributes(affiliation=self._pick(("none", "member", "owner", "x")), jid=self._word(),
                                      role=self._pick(("participant", "none", "visitor")))
        item = "<x xmlns='http://jabber.org/protocol/muc#user'><item%s/>%s</x>" % (attributes, self._some(status))
        return self._envelope("presence", self._pick(("", "", "unavailable", "error", "subscribe")), self._some(
            item, "<c xmlns='http://jabber.org/protocol/caps'%s/>" % self._attributes(hash="sha-1", node="n", ver="v"),
            "<SourceInfo>%s</SourceInfo>" % escape(self._json()), "<audiomuted>%s</audiomuted>" % escape(self._word()),
            "<jitsi_participant_region>%s</jitsi_participant_region>" % escape(self._word()),
            "<stats xmlns='http://jitsi.org/protocol/colibri'><stat name='stress_level' value='nan'/></stats>"))

    def message(self) -> str:
        """A message."""
        return self._envelope("message", self._pick(TYPES), self._some(
            "<body>%s</body>" % escape(self._word()),
            "<json-message xmlns='http://jitsi.org/jitmeet'>%s</json-message>" % escape(self._json()), self.element()))

    def conference(self) -> str:
        """A conference request, and the other requests that go to the focus itself."""
        properties = "".join("<property%s/>" % self._attributes(name=self._word(), value=self._word())
                             for _ in range(self.random.randrange(4)))
        return self._envelope("iq", "set", "<conference xmlns='%s'%s>%s</conference>" % (
            FOCUS, self._attributes(room=self._pick(self.targets.rooms), machine_uid=self._word()),
            self._some(properties)))

    def other(self) -> str:
        """Any payload in any stanza."""
        return self._envelope(self._pick(("iq", "iq", "presence", "message")), self._pick(TYPES),
                              "".join(self.element() for _ in range(self.random.randrange(3))))

    def giant(self) -> str:
        """Deep, long or wide beyond the bounds, but well-formed."""
        size = self._pick((70, 300, 3000))
        part = self._pick((
            "<a>" * size + "</a>" * size,
            "<x y='%s'/>" % ("z" * (size * 20)),
            "<%s/>" % ("n" * size),
            "<x%s/>" % "".join(" a%d='1'" % number for number in range(size)),
            "<source ssrc='1'/>" * size,
            "<a xmlns='%s'/>" % ("u" * size),
            "x" * (size * 20),
            "&#x10FFFF;" * size,
        ))
        return self._envelope(self._pick(("iq", "presence", "message")), "set", str(part))


_KINDS: Tuple[Callable[[Grammar], str], ...] = (
    Grammar.jingle, Grammar.jingle, Grammar.jingle, Grammar.jingle, Grammar.answer, Grammar.answer, Grammar.presence,
    Grammar.presence, Grammar.message, Grammar.conference, Grammar.other, Grammar.old_bridge, Grammar.published)


def mutated(random: Random, data: bytes) -> bytes:
    """The same with some bytes changed, taken out, doubled, or replaced by what parsers stumble over."""
    for _ in range(random.randrange(1, 4)):
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.randrange(1, 12))
        data = data[:at] + random.choice((
            b"", bytes([random.randrange(256)]), data[at:end] * 2, b"\xed\xa0\x80", b"\xff\xfe", b"\x00", b"&#0;",
            b"&#xD800;", b"&lol;", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<![CDATA[x]]>", b"<!-- -->", b"<?xml?>", b"p:q",
            b"<p:q/>", b" xmlns:p='u'", b"'", b">", b"<", b"</iq>")) + data[end:]
    return data
