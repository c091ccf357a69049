"""Colibri 1 at the door: the sheet's example, both directions, what is never sent, hostile input (colibri.md 7)."""
from __future__ import annotations

import textwrap
from typing import Any, List, Tuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lxml import etree

from focus.conference.offer import Features, media_for
from focus.stanzas.colibri1 import (
    Bundle,
    Channel,
    ColibriConference,
    Content,
    EndpointLabel,
    SctpConnection,
    parse_conference,
    write_conference,
)
from focus.stanzas.colibri2 import InvalidRequest
from focus.stanzas.errors import Malformed
from focus.stanzas.stanza import parse_stanza
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup
from focus.values.transport import Candidate, Fingerprint, Transport
from tests.wire.mutation import mutate, mutations

NS = "http://jitsi.org/protocol/colibri"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
AUDIO, VIDEO = [one._replace(maxptime=None, extmap_allow_mixed=False)
                for one in media_for(Features(audio=True, video=True, rtx=True, tcc=True))]
CLIENT = Transport((("ufrag", "aB3d"), ("pwd", "p0o9")), True, (Fingerprint("11:22", "sha-256", "active"),))
BRIDGE = Transport((("ufrag", "7k2p1"), ("pwd", "x")), True, (Fingerprint("8A", "sha-256", "actpass"),),
                   ("wss://meet.example/x?a=1&b=2",), (Candidate((("ip", "203.0.113.9"),)),))
VIDEO_SOURCES = SourceSet((Source(2001, "video", "1a2b3c4d-v0"), Source(2002, "video", "1a2b3c4d-v0")),
                          (SsrcGroup("FID", "video", (2001, 2002)),))


def xml(text: str) -> Any:
    return etree.fromstring(text.encode("utf-8"))


def new(**more: Any) -> Any:
    """What Ada's endpoint needs to be created (K-705)."""
    return dict(endpoint="1a2b3c4d", bundle="1a2b3c4d", initiator=True, **more)


#: The messages of 7.8, as values.
CREATE = ColibriConference(
    None, "standup@muc.meet.example", "9d1c", False,
    (Content("audio", (Channel(**new(media=AUDIO)),)), Content("video", (Channel(**new(media=VIDEO, last_n=20)),)),
     Content("data", (), (SctpConnection(**new(port=5000)),))),
    (Bundle("1a2b3c4d"),), (EndpointLabel("1a2b3c4d", "Ada-x1y"),))
ANSWER = ColibriConference(
    "b7c1d2e3f4a5", contents=(
        Content("audio", (Channel("aa01", **new(sources=SourceSet((Source(411312308, "audio"),)))),)),
        Content("video", (Channel("aa02", **new(sources=SourceSet((Source(3929652146, "video"),)))),)),
        Content("data", (), (SctpConnection("aa03", **new(port=5000)),))), bundles=(Bundle("1a2b3c4d", BRIDGE),))
UPDATE = ColibriConference(
    "b7c1d2e3f4a5", "standup@muc.meet.example", "9d1c", None,
    (Content("audio", (Channel("aa01", direction="sendrecv", sources=SourceSet((
        Source(1001, "audio", "1a2b3c4d-a0"),))),)),
     Content("video", (Channel("aa02", direction="sendrecv", sources=VIDEO_SOURCES),))),
    (Bundle("1a2b3c4d", CLIENT),))
LEAVE = ColibriConference(
    "b7c1d2e3f4a5", contents=(
        Content("audio", (Channel("bb01", expire=0),)), Content("video", (Channel("bb02", expire=0),)),
        Content("data", (), (SctpConnection("bb03", "5e6f7a8b", expire=0, port=5000),))))
EMPTIED = ColibriConference("c1", contents=(
    Content("audio", (Channel("a", direction="sendonly", sources=EMPTY_SOURCES),)),
    Content("video", (Channel("v", direction="sendrecv", last_n=-1, sources=EMPTY_SOURCES),))))
SHUTDOWN = ColibriConference("c1", graceful_shutdown=True)
EXAMPLES = {"create": CREATE, "answer": ANSWER, "update": UPDATE, "leave": LEAVE, "emptied": EMPTIED,
            "shutdown": SHUTDOWN}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_there_and_back(name):
    """K-701 to K-708, K-730"""
    value = EXAMPLES[name]
    assert parse_conference(xml(write_conference(value)), "result" if name == "answer" else "set") == value


def test_as_the_sheet_writes_it():
    """7.8, without codecs and candidates."""
    plain = CREATE._replace(contents=(
        Content("audio", (Channel(**new()),)), Content("video", (Channel(**new(last_n=20)),)), CREATE.contents[2]))
    assert write_conference(plain) == flat("""
        <conference xmlns='%s' name='standup@muc.meet.example' meeting-id='9d1c' rtcstats-enabled='false'>
        <content name='audio'><channel endpoint='1a2b3c4d' initiator='true' channel-bundle-id='1a2b3c4d'/></content>
        <content name='video'>
        <channel endpoint='1a2b3c4d' initiator='true' channel-bundle-id='1a2b3c4d' last-n='20'/></content>
        <content name='data'>
        <sctpconnection endpoint='1a2b3c4d' initiator='true' channel-bundle-id='1a2b3c4d' port='5000'/></content>
        <channel-bundle id='1a2b3c4d'/>
        <endpoint id='1a2b3c4d' stats-id='Ada-x1y'/></conference>""")
    assert write_conference(LEAVE) == flat("""
        <conference xmlns='%s' id='b7c1d2e3f4a5'>
        <content name='audio'><channel id='bb01' expire='0'/></content>
        <content name='video'><channel id='bb02' expire='0'/></content>
        <content name='data'><sctpconnection id='bb03' endpoint='5e6f7a8b' expire='0' port='5000'/></content>
        </conference>""")


def flat(text: str) -> str:
    return "".join(textwrap.dedent(text % NS).strip().split("\n"))


def test_markers():
    """K-708: an empty source clears the sources, an empty group of the semantics SIM the groups."""
    text = write_conference(EMPTIED)
    empty = "<source xmlns='%s'/>" % SSMA
    assert text.count(empty) == 2 and text.count("<ssrc-group xmlns='%s' semantics='SIM'/>" % SSMA) == 1
    without_groups = UPDATE._replace(contents=(Content("video", (Channel("v", sources=SourceSet((
        Source(1, "video", "v0"),))),)),))
    assert empty not in write_conference(without_groups)
    assert "semantics='SIM'" in write_conference(without_groups)
    assert "semantics='SIM'" not in write_conference(UPDATE)


def test_the_answer_of_an_early_bridge():
    """K-711: all bundles and endpoints, received SSRCs, words that nobody needs; what is odd is passed over."""
    answer = parse_conference(xml("""
        <conference xmlns='%s' id='b7' name=''><content name='audio'>
        <channel id='aa01' endpoint='e1' channel-bundle-id='e1' initiator='true' direction='SENDONLY' expire='60'
         rtp-level-relay-type='mixer' last-n='x' host='h' rtpport='1'>
        <payload-type xmlns='urn:xmpp:jingle:apps:rtp:1' id='999'/>
        <source xmlns='%s' ssrc='-1'/><ssrc>17</ssrc>
        <transport xmlns='urn:xmpp:jingle:transports:ice-udp:1'/></channel></content>
        <content name='application'><channel id='x'/></content>
        <content name='video'><channel id='aa02' direction='sideways'/></content>
        <channel-bundle id='e1'/><channel-bundle id='e0'/><endpoint id='e1'/><recording state='off'/></conference>
        """ % (NS, SSMA)))
    assert [content.name for content in answer.contents] == ["audio", "video"]
    channel = answer.content("audio").channels[0]
    assert (channel.direction, channel.expire, channel.last_n, channel.media) == ("sendonly", 60, None, None)
    assert channel.sources == SourceSet((Source(4294967295, "audio"),))  # KT-32
    assert answer.content("video").channels[0] == Channel("aa02") and answer.content("data") == Content("data")
    assert [bundle.id for bundle in answer.bundles] == ["e1", "e0"] and answer.name is None


NEVER_SENT: List[Tuple[str, Content]] = [
    ("K-743 neither id nor endpoint", Content("audio", (Channel(),))),
    ("K-743 expiry without id", Content("audio", (Channel(endpoint="e", expire=0),))),
    ("K-743 another bundle", Content("audio", (Channel(endpoint="e", bundle="f"),))),
    ("K-743 negative expire", Content("audio", (Channel("a", expire=-1),))),
    ("K-745 no endpoint", Content("data", (), (SctpConnection(),))),
    ("direction", Content("audio", (Channel("a", direction="up"),))),
    ("K-707 ssrc 0", Content("audio", (Channel("a", sources=SourceSet((Source(0, "audio", "n"),))),))),
]


@pytest.mark.parametrize("content", [row[1] for row in NEVER_SENT], ids=[row[0] for row in NEVER_SENT])
def test_never_sent(content):
    """Our own faults are found before a bridge refuses them."""
    with pytest.raises(InvalidRequest):
        write_conference(ColibriConference("c", contents=(content,)))


def test_what_the_values_hold_is_quoted():
    value = ColibriConference("<'&\">", "r'@x", contents=(Content("audio", (Channel("'/>", "e'", "e'"),)),),
                              bundles=(Bundle("e'"),), endpoints=(EndpointLabel("e'", "<b>&"),))
    assert parse_conference(xml(write_conference(value))) == value


MALFORMED = [
    ("too many contents", "<content name='audio'/>" * 9),
    ("too many channels", "<content name='audio'>%s</content>" % ("<channel id='a'/>" * 2001)),
    ("too many connections", "<content name='data'>%s</content>" % ("<sctpconnection id='a'/>" * 2001)),
    ("too many bundles", "<channel-bundle id='a'/>" * 2001),
    ("too many endpoints", "<endpoint id='a'/>" * 2001),
    ("too many sources", "<content name='audio'><channel>%s</channel></content>" % (
        "<source xmlns='%s' ssrc='1'/>" % SSMA * 201)),
    ("no number", "<content name='audio'><channel><source xmlns='%s' ssrc='x'/></channel></content>" % SSMA),
    ("unknown semantics", "<content name='audio'><channel><ssrc-group xmlns='%s' semantics='X'><source ssrc='1'/>"
                          "</ssrc-group></channel></content>" % SSMA),
    ("long id", "<content name='audio'><channel id='%s'/></content>" % ("a" * 257)),
    ("bundle without id", "<channel-bundle/>"),
    ("endpoint without id", "<endpoint/>"),
]


@pytest.mark.parametrize("inner", [row[1] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(inner):
    with pytest.raises(Malformed):
        parse_conference(xml("<conference xmlns='%s'>%s</conference>" % (NS, inner)))


def test_codecs_of_a_request_only():
    """Nothing depends on what an answer repeats of them, so nothing in them makes it unusable."""
    bad = xml("<conference xmlns='%s'><content name='audio'><channel id='a'><payload-type "
              "xmlns='urn:xmpp:jingle:apps:rtp:1' id='999'/></channel></content></conference>" % NS)
    assert parse_conference(bad, "result").content("audio").channels == (Channel("a"),)
    with pytest.raises(Malformed):
        parse_conference(bad, "set")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.sampled_from(sorted(EXAMPLES)), mutations, st.sampled_from(["set", "result", "get"]))
def test_damaged(name, changes, iq_type):
    """Whatever comes is a value or Malformed, and a value can be looked at."""
    damaged = mutate(xml(write_conference(EXAMPLES[name])), changes)
    iq = etree.Element("{jabber:client}iq", {"type": iq_type, "id": "i", "from": "b", "to": "f"})
    iq.append(damaged)
    stanza: Any = parse_stanza(iq)
    payload = stanza.payload
    if isinstance(payload, ColibriConference):
        assert sum(len(c.channels) + len(c.connections) for c in payload.contents) <= 8 * 4000
        assert all(one.id is None or len(one.id) <= 256 for c in payload.contents for one in c.channels)
    else:
        assert not isinstance(payload, Malformed) or payload.condition == "bad-request"


def test_what_an_old_bridge_reports_of_itself():
    """K-774: read like an answer; the router answers with an empty result."""
    stanza: Any = parse_stanza(xml(
        "<iq xmlns='jabber:client' type='set' id='i' from='b' to='f'><conference xmlns='%s' id='c'><content "
        "name='audio'><channel id='a'><ssrc>17</ssrc></channel></content></conference></iq>" % NS))
    assert isinstance(stanza.payload, ColibriConference)
