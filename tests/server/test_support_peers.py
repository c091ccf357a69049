"""The tests' own peers, tried on a real Prosody with a scripted focus, so that they are trusted before they judge."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
from lxml import etree

from tests.support import media
from tests.support.bridge import Bridge
from tests.support.client import FEATURES_2026, Client
from tests.support.focus_process import account_login, guest_login
from tests.support.loop import Loop
from tests.support.prosody import Prosody
from tests.support.wire import Login, Splitter, Stanza, Stream, StreamEnded, escape

CAPTURE = Path(__file__).parents[1] / "fixtures" / "captures" / "call-2026.jsonl"
MUC = "<x xmlns='http://jabber.org/protocol/muc'/>"


@pytest.fixture(scope="module")
def prosody() -> Iterator[Prosody]:
    with Prosody() as server:
        yield server


@pytest.fixture
def loop() -> Iterator[Loop]:
    with Loop() as one:
        yield one


def captured_offer() -> str:
    """The inside of the first session-initiate of the capture."""
    for line in CAPTURE.read_text(encoding="utf-8").splitlines():
        found = re.search(r"<jingle [^>]*action='session-initiate'>(.*)</jingle></iq>", json.loads(line).get("xml", ""))
        if found:
            return found.group(1)
    raise LookupError("no offer in the capture")


class ScriptedFocus:
    """Just enough of a focus: answers the conference IQ, stands in the room, sends what the test says."""

    def __init__(self, loop: Loop, prosody: Prosody, room: str) -> None:
        self.room = room
        self.loop = loop
        self.received: List[Stanza] = []
        self.stream = Stream(loop, account_login(prosody, "focus", resource="focus"), self._on_stanza)
        self.jid = self.stream.jid
        self.stream.send("<presence to='%s/focus'>%s</presence>" % (room, MUC))
        self.stream.send("<presence to='%s/focus'>%s</presence>" % (prosody.brewery, MUC))

    def _on_stanza(self, stanza: Stanza) -> None:
        self.received.append(stanza)
        if b"http://jitsi.org/protocol/focus" in stanza.raw and stanza.get("type") == "set":
            self.reply(
                stanza,
                "<conference xmlns='http://jitsi.org/protocol/focus' room='%s' focusjid='%s' ready='true'/>"
                % (self.room, self.jid.partition("/")[0]),
            )
        elif b"action='session-accept'" in stanza.raw:
            self.reply(stanza)

    def reply(self, request: Stanza, payload: str = "") -> None:
        self.stream.send(
            "<iq type='result' to='%s' id='%s'>%s</iq>" % (escape(request.get("from")), request.get("id"), payload)
        )

    def jingle(self, endpoint: str, action: str, sid: str, inner: str) -> None:
        self.stream.send(
            "<iq type='set' id='%s-%d' to='%s/%s'>"
            "<jingle xmlns='urn:xmpp:jingle:1' action='%s' sid='%s'>%s</jingle></iq>"
            % (action, len(self.received), self.room, endpoint, action, sid, inner)
        )

    def request(self, to: str, payload: str, identifier: str) -> Stanza:
        self.stream.send("<iq type='get' id='%s' to='%s'>%s</iq>" % (identifier, to, payload))
        return self.loop.wait(
            lambda: next((s for s in self.received if s.get("id") == identifier and s.get("from") == to), None), 5
        )


def json_sources(owners: Dict[str, media.Sources]) -> str:
    body: Dict[str, Any] = {}
    for owner, sources in owners.items():
        entries: Dict[str, List[Any]] = {"video": [], "audio": []}
        for source in sorted(sources.sources):
            entries[source.media].append({"s": source.ssrc, "n": source.name, "m": source.msid})
        groups = [["f" if g.semantics == "FID" else "s", *g.ssrcs] for g in sorted(sources.groups)]
        body[owner] = [entries["video"], groups, entries["audio"]]
    return "<json-message xmlns='http://jitsi.org/jitmeet'>%s</json-message>" % escape(json.dumps({"sources": body}))


def xml_sources(owner: str, sources: media.Sources) -> str:
    info = "<ssrc-info xmlns='http://jitsi.org/jitmeet' owner='%s'/>" % owner
    return re.sub(r"(<source [^>]*name=[^>]*>)", r"\1" + info, media.update_contents(sources))


def test_a_client_goes_through_a_call(prosody: Prosody, loop: Loop) -> None:
    focus = ScriptedFocus(loop, prosody, "script@" + prosody.muc)
    client, other = (Client(loop, guest_login(prosody)) for _ in range(2))
    for one in (client, other):
        one.enter(focus.room, focus.jid)
    client.wait_joined()
    client.wait(lambda: set(client.occupants) == {"focus", client.endpoint, other.endpoint})
    node = "https://jitsi.org/jitsi-meet#x"
    disco = focus.request(
        client.occupant, "<query xmlns='http://jabber.org/protocol/disco#info' node='%s'/>" % node, "d1"
    )
    assert {feature.get("var") for feature in disco.element[0]} == set(FEATURES_2026)
    assert disco.element[0].get("node") == node

    focus.jingle(client.endpoint, "session-initiate", "s1", captured_offer())
    session = client.wait_session()
    assert session.bridge_session == "7bd5f538-f4c0-4566-be43-26dd2d2170f6"
    assert set(client.remote) == {"jvb"} and client.others == {}
    accept = next(s for s in focus.received if b"session-accept" in s.raw)
    assert len(accept.element.findall(".//{%s}source[@name]" % media.SSMA)) == 7
    assert len(accept.element.findall(".//{%s}ssrc-group" % media.SSMA)) == 4

    focus.jingle(client.endpoint, "source-add", "s1", json_sources({other.endpoint: other.sources.stripped()}))
    client.wait_sources_of([other])
    focus.jingle(client.endpoint, "source-remove", "s1", xml_sources(other.endpoint, other.sources.stripped()))
    client.wait(lambda: not client.others)
    focus.jingle(client.endpoint, "source-add", "s1", xml_sources(other.endpoint, other.sources.stripped()))
    client.wait_sources_of([other])
    assert client.violations == []

    focus.jingle(client.endpoint, "source-add", "s1", json_sources({other.endpoint: other.sources.stripped()}))
    client.wait(lambda: client.violations == ["told twice of sources of " + other.endpoint])
    focus.jingle(client.endpoint, "session-terminate", "s1", "<reason><expired/><text>x</text></reason>")
    client.wait_session(state="ended")
    assert session.end_reason == "expired" and client.remote == {}
    other.leave()
    client.wait(lambda: other.endpoint not in client.occupants)


def test_a_client_refuses_an_offer_if_told_to(prosody: Prosody, loop: Loop) -> None:
    focus = ScriptedFocus(loop, prosody, "refuse@" + prosody.muc)
    client = Client(loop, guest_login(prosody))
    client.refuse_offers_with = "service-unavailable"
    client.enter(focus.room, focus.jid)
    client.wait_joined()
    focus.jingle(client.endpoint, "session-initiate", "s1", captured_offer())
    answer = loop.wait(lambda: next((s for s in focus.received if s.get("type") == "error"), None), 5)
    assert answer.error[1] == "service-unavailable"


ENDPOINT = (
    "<endpoint id='%s' create='true'><capability name='source-names'/><transport ice-controlling='true'/></endpoint>"
)


def modify(meeting: str, inner: str, attributes: str = "") -> str:
    return "<conference-modify xmlns='jitsi:colibri2' meeting-id='%s'%s>%s</conference-modify>" % (
        meeting,
        attributes,
        inner,
    )


def test_the_bridge_answers_and_obeys_its_script(prosody: Prosody, loop: Loop) -> None:
    bridge = Bridge(loop, account_login(prosody, "jvb"), prosody.brewery)
    focus = ScriptedFocus(loop, prosody, "unused@" + prosody.muc)
    stats = loop.wait(lambda: next((s for s in focus.received if b"stress_level" in s.raw), None), 5)
    assert stats.get("from") == bridge.jid

    created = focus.request(bridge.jid, modify("m1", ENDPOINT % "e1", " create='true'"), "c1")
    assert created.element.find(".//{urn:xmpp:jingle:transports:ice-udp:1}candidate") is not None
    bridge.script("create-endpoint", "error", condition="internal-server-error", endpoint_id="e2")
    refused = focus.request(bridge.jid, modify("m1", ENDPOINT % "e2"), "c2")
    assert refused.error == ("cancel", "internal-server-error", "")
    bridge.script("any", "hold", endpoint_id="e3")
    focus.stream.send("<iq type='get' id='c3' to='%s'>%s</iq>" % (bridge.jid, modify("m1", ENDPOINT % "e3")))
    loop.wait(lambda: bridge.held, 5)
    assert focus.request(bridge.jid, modify("m1", ENDPOINT % "e4"), "c4").get("type") == "result"
    assert bridge.requests[-1].in_flight_before == 1
    assert bridge.release() == 1
    loop.wait(lambda: any(s.get("id") == "c3" for s in focus.received), 5)
    assert focus.request(bridge.jid, "<healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/>", "h1").get(
        "type"
    ) == "result"
    assert [request.error for request in bridge.requests] == ["", "internal-server-error", "", ""]
    assert bridge.leaks() == ["m1 (): ['e1', 'e3', 'e4']"]
    focus.request(bridge.jid, modify("m1", "", " expire='true'"), "c5")
    assert not bridge.leaks() and not bridge.violations
    bridge.leave()
    loop.wait(lambda: any(s.get("type") == "unavailable" for s in focus.received), 5)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"])
def test_logins(prosody: Prosody, loop: Loop, mechanism: str) -> None:
    login = account_login(prosody, "jvb", resource="r1")
    login.mechanism = mechanism
    offered: List[Stanza] = []
    try:
        stream = Stream(loop, login, offered.append)
    except StreamEnded as error:
        assert "invalid-mechanism" in str(error) and mechanism == "SCRAM-SHA-256"  # 0.12 may not offer it
    else:
        assert stream.jid == "jvb@%s/r1" % prosody.user_domain


def test_a_wrong_password_is_refused(prosody: Prosody, loop: Loop) -> None:
    login = Login(
        prosody.host, prosody.c2s_port, prosody.user_domain, user="jvb", password="no", ca_file=prosody.ca_file
    )
    with pytest.raises(StreamEnded, match="not-authorized"):
        Stream(loop, login, lambda stanza: None)


def test_stanzas_are_cut_right_wherever_the_bytes_break() -> None:
    stanzas = [
        b"<iq a='1'/>",
        b"<message><iq><iq x='/'/></iq><message>1</message><messages/></message>",
        b"<presence to='a'>&lt;/presence&gt;</presence>",
    ]
    text = b"<?xml version='1.0'?><stream:stream to='x'>\n" + b" ".join(stanzas) + b"</stream:stream>"
    for size in range(1, len(text) + 1):
        splitter = Splitter()
        out = []
        for at in range(0, len(text), size):
            out += splitter.feed(text[at : at + size])
        assert [raw for _, raw in out] == stanzas, size
        assert splitter.ended


def test_own_sources_lose_their_simulcast_as_the_sheet_says() -> None:
    camera = media.video_source("ab", 1)
    stripped = camera.stripped()
    assert {source.ssrc for source in stripped.sources} == {1, 4}
    assert {group.ssrcs for group in stripped.groups} == {(1, 4)}
    assert etree.fromstring("<x>%s</x>" % media.accept_contents("ab", camera)) is not None
