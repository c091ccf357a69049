"""A conference into which clients of several generations come, every stanza as XML."""
from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from lxml import etree

from focus.conference.offer import Features, features_from_vars
from focus.values.written import Written, text_of
from tests.support.generation_answers import RESIDENT_2022, RESIDENT_2026, RESIDENT_GATEWAY, Answer
from tests.support.generations import BY_NAME, Generation
from tests.support.harness import COLIBRI, ROOM, Scene, stanza
from tests.wire.captures import read_capture

JINGLE = "{urn:xmpp:jingle:1}jingle"
ENDPOINT = "{%s}endpoint" % COLIBRI
MODIFIED = "{%s}conference-modified" % COLIBRI

RESIDENTS = (("web-2026", RESIDENT_2026), ("web-2022", RESIDENT_2022), ("jigasi", RESIDENT_GATEWAY))


class Visit(NamedTuple):
    """What the coming of a client led to."""

    endpoint: Any
    """As the bridge was asked for it."""
    offer: Any
    """The ``jingle`` element."""
    text: str
    """The offer as it was written."""


def discovered(announces: Tuple[str, ...]) -> Features:
    """The features of a ``disco#info`` answer, through the door."""
    iq = stanza("<iq type='result' id='d1' from='%s/x'><query xmlns='http://jabber.org/protocol/disco#info'>%s</query>"
                "</iq>" % (ROOM, "".join("<feature var='%s'/>" % var for var in announces)))
    return features_from_vars(iq.payload.features)


class Room(Scene):
    """A scene in which each newcomer has a generation of its own."""

    def __init__(self, residents: bool = True, properties: Optional[Dict[str, str]] = None, **options: Any) -> None:
        self.texts: List[str] = []
        super().__init__(properties=properties, min_participants="1", **options)
        for name, answer in RESIDENTS if residents else ():
            self.come(BY_NAME[name], answer.nick)
            self.take_answer(answer)
            self.settle()

    def _send(self, connection: str, stanza: Written) -> None:
        self.texts.append(text_of(stanza))
        super()._send(connection, stanza)

    def come(self, generation: Generation, nick: str, modified: str = "") -> Visit:
        """It joins, tells its features or doesn't, and is offered a session.

        ``modified`` is what the bridge answers, if not the usual.
        """
        self.features = None if generation.announces is None else discovered(generation.announces)
        self.mail(self.presence(nick, role=generation.role,
                                extra="<stats-id>S-%s</stats-id>%s" % (nick, generation.in_presence)))
        if generation.announces is None:
            self.give_up_silent()
        request = self.one("conference-modify")
        self.mail(self.answer(request, modified) if modified else self.allocated(request))
        offer = self.one("session-initiate", to="%s/%s" % (ROOM, nick))
        return Visit(request.find(".//" + ENDPOINT), offer[0],
                     next(text for text in reversed(self.texts) if "action='session-initiate'" in text))

    def take_answer(self, answer: Answer) -> List[Any]:
        """The client answers as its generation does; returns what the bridge was told, by endpoint elements.

        Each request must be answered with a result, in the same turn (J-501).
        """
        told = []
        for action, contents in captured_requests(answer) if answer.captured else answer.requests:
            self.mail(self.jingle(answer.nick, action, contents))
            assert self.one("result", to="%s/%s" % (ROOM, answer.nick)) is not None
            told += [update.find(".//" + ENDPOINT) for update in self.take("conference-modify")]
        return told


def captured_requests(answer: Answer) -> List[Tuple[str, str]]:
    """What it sent of accept and transport, in the order of the capture."""
    found = []
    for line in read_capture(answer.captured):
        payload = line.payload
        if (payload is not None and payload.tag == JINGLE and line.dir == "receives"
                and line.element.get("from").endswith("/" + answer.nick)
                and payload.get("action") in ("session-accept", "transport-info")):
            found.append((payload.get("action"), "".join(etree.tostring(child, encoding="unicode", with_tail=False)
                                                         for child in payload)))
    assert found
    return found


def captured_pair(call: str, nick: str, stranger: str) -> Tuple[Any, str]:
    """(offer, the bridge's answer before it) of a capture, as if it had been for ``stranger``."""
    offer = modified = None
    for line in read_capture(call):
        payload = line.payload
        if payload is None or line.who != "focus":
            continue
        if payload.tag == JINGLE and payload.get("action") == "session-initiate" and line.element.get(
                "to").endswith("/" + nick):
            offer = etree.tostring(payload, encoding="unicode").replace(nick, stranger)
        elif payload.tag == MODIFIED and payload.find(ENDPOINT) is not None and payload.find(ENDPOINT).get(
                "id") == nick and modified is None:
            modified = etree.tostring(payload, encoding="unicode").replace(nick, stranger)
    assert offer is not None and modified is not None
    return etree.fromstring(offer), modified
