"""Jingle requests that are wrong: each gets its answer, and changes nothing (jingle.md sections 5 and 6)."""

from __future__ import annotations

from typing import Any, List, Tuple

import pytest

from tests.support import media
from tests.support.client import Client
from tests.support.media import Sources
from tests.support.stage import Stage


@pytest.fixture(scope="module")
def quarrel(server: Any, focus: Any) -> Any:
    """Two in a call, for all these requests."""
    with Stage(server, focus) as stage:
        stage.bridge()
        one, other = stage.client(), stage.client()
        stage.call(stage.room(), one, other)
        yield stage, one, other
        stage.check()


def unchanged(client: Client) -> Tuple[Any, ...]:
    return client.others, client.session.state if client.session else "", client.updates_received


def test_a_session_belongs_to_its_occupant(quarrel: Any) -> None:
    """J-106, J-503, J-505, T-15: an unknown sid, and a known one from somebody else, change nothing."""
    stage, one, other = quarrel
    bridge = stage.bridges[0]
    sid = one.wait_session().sid
    before, requests = (unchanged(one), unchanged(other)), len(bridge.requests)
    body = media.update_contents(one.sources)
    for asker, wrong in ((one, "nonsense"), (one, ""), (other, sid)):
        for action in ("session-accept", "source-add", "source-remove", "session-info", "session-terminate",
                       "transport-info", "transport-accept", "transport-reject"):
            answer = asker.request("set", asker.focus, asker.jingle(action, body, sid=wrong))
            assert answer.error[:2] == ("cancel", "item-not-found"), (action, wrong)
            assert answer.find("*/{urn:xmpp:jingle:errors:1}unknown-session") is not None
    assert (unchanged(one), unchanged(other)) == before and len(bridge.requests) == requests


def source(attributes: str, inner: str = "", medium: str = "audio", name: str = "audio") -> str:
    """A content with one source."""
    return (
        "<content name='%s'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='%s'>"
        "<source xmlns='%s' %s>%s</source></description></content>" % (name, medium, media.SSMA, attributes, inner))


def grouped(semantics: str, ssrcs: List[Any], group: List[Any], msid: str = "a b") -> str:
    """A video content with sources and a group of some."""
    parameter = "<parameter name='msid' value='%s'/>" % msid if msid else ""
    lines = ["<source xmlns='%s' ssrc='%s'>%s</source>" % (media.SSMA, ssrc, parameter) for ssrc in ssrcs]
    members = "".join("<source ssrc='%s'/>" % ssrc for ssrc in group)
    lines.append("<ssrc-group xmlns='%s' semantics='%s'>%s</ssrc-group>" % (media.SSMA, semantics, members))
    return (
        "<content name='video'><description xmlns='urn:xmpp:jingle:apps:rtp:1' media='video'>%s</description>"
        "</content>" % "".join(lines))


MALFORMED = {
    "ssrc is no number": source("ssrc='x'"),
    "ssrc is missing": source(""),
    "ssrc is 0": source("ssrc='0'"),
    "ssrc is negative": source("ssrc='-4000000000'"),
    "ssrc is too large": source("ssrc='4294967296'"),
    "only a rid": source("rid='1'"),
    "media type": source("ssrc='5'", medium="text", name="text"),
    "group semantics": grouped("XYZ", [5, 6], [5, 6]),
    "group of strangers": grouped("FID", [5], [5, 6]),
    "FID of one": grouped("FID", [5, 6], [5]),
    "FID of three": grouped("FID", [5, 6, 7], [5, 6, 7]),
    "grouped without msid": grouped("SIM", [5, 6], [5, 6], msid=""),
    "ssrc twice": source("ssrc='5'", "<parameter name='msid' value='a a'/>") + source("ssrc='5'"),
    "twenty-one": "".join(source("ssrc='%d'" % number) for number in range(100, 121)),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
def test_a_malformed_source_is_refused_and_changes_nothing(quarrel: Any, name: str) -> None:
    """J-509, J-534, J-611 to J-619, J-625, J-626, J-627."""
    stage, one, other = quarrel
    before, requests = (unchanged(one), unchanged(other)), len(stage.bridges[0].requests)
    answer = one.request("set", one.focus, one.jingle("source-add", MALFORMED[name]))
    assert answer.error[:2] == ("modify", "bad-request") and answer.error[2]
    assert other.request("set", other.focus, other.jingle("session-info")).get("type") == "result"
    assert ((unchanged(one), unchanged(other)), len(stage.bridges[0].requests)) == (before, requests)


def test_sources_of_others_can_be_neither_taken_nor_removed(quarrel: Any) -> None:
    """J-423, J-612, J-613, J-641, J-642."""
    stage, one, other = quarrel
    before = unchanged(one), unchanged(other)
    theirs = next(iter(other.sources.only(video=False).sources))
    own = next(iter(one.sources.only(video=False).sources))
    for contents in (source("ssrc='%d'" % theirs.ssrc), source("ssrc='%d'" % own.ssrc),
                     source("ssrc='77'", "<parameter name='msid' value='%s'/>" % theirs.msid),
                     source("ssrc='77' name='%s'" % theirs.name, "<parameter name='msid' value='n n'/>")):
        assert one.request("set", one.focus, one.jingle("source-add", contents)).error[1] == "bad-request", contents
    assert one.remove_sources(other.sources).error[1] == "bad-request"
    assert one.remove_sources(Sources(frozenset(), other.sources.groups)).error[1] == "bad-request"
    assert (unchanged(one), unchanged(other)) == before


def test_actions_that_are_none_of_ours(quarrel: Any) -> None:
    """J-506, J-507, J-508: whatever the sid is."""
    stage, one, other = quarrel
    before = unchanged(one), unchanged(other)
    for sid in (one.session.sid, "none"):
        for action in ("session-initiate", "content-add", "content-accept", "content-reject", "content-remove",
                       "content-modify", "description-info", "security-info", "transport-replace"):
            answer = one.request("set", one.focus, one.jingle(action, sid=sid))
            assert answer.error[:2] == ("cancel", "feature-not-implemented"), action
        assert one.request("set", one.focus, one.jingle("dance", sid=sid)).error[:2] == ("modify", "bad-request")
        no_action = "<jingle xmlns='urn:xmpp:jingle:1' sid='%s'/>" % sid
        assert one.request("set", one.focus, no_action).error[:2] == ("modify", "bad-request")
    answer = one.request("get", one.focus, one.jingle("session-info"))
    assert answer.error[:2] == ("cancel", "feature-not-implemented")
    assert (unchanged(one), unchanged(other)) == before


def test_hostile_stanzas_are_answered_and_harm_nobody(quarrel: Any) -> None:
    """DESIGN idea 4: three hundred levels deep, a name of 3 kB, quotes and tags in names (J-407).

    Not longer: newer expats, which Prosody reads with, put off a start tag that didn't come in one piece until its
    size has doubled. The unit tests of the parser have names of 60 kB.
    """
    stage, one, other = quarrel
    deep = "<a xmlns='urn:example:deep'>" * 300 + "</a>" * 300
    long_name = "<x%s xmlns='urn:example:long'/>" % ("y" * 3000)
    for payload in (deep, long_name):
        assert one.request("set", one.focus, payload).error[:2] == ("modify", "bad-request")
        assert one.request("set", stage.focus.component_jid, payload).error[:2] == ("modify", "bad-request")
    one.send(one.presence(extra=deep))
    one.send("<message type='groupchat' to='%s'><body>x</body>%s</message>" % (one.room, deep))
    odd = media.audio_source(one.endpoint, 6, index=5)
    odd = Sources(frozenset(s._replace(msid="\"]}<&'> <json>") for s in odd.sources), frozenset())
    assert one.add_sources(odd).get("type") == "result"
    other.wait_sources_of([one])
    assert one.remove_sources(odd).get("type") == "result"
    other.wait_sources_of([one])
