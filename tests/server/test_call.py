"""Calls: offers, answers and sources, with the real focus on a real Prosody and a synthetic bridge (jingle.md)."""

from __future__ import annotations

import uuid
from typing import Any, Dict, List, Optional, Tuple

import pytest

from tests.support import media
from tests.support.bridge import Bridge
from tests.support.client import FEATURES_2022, FEATURES_2026, FEATURES_XML, FOCUS, Client
from tests.support.stage import Stage
from tests.support.wire import Stanza

FOCUS_OPTIONS = ("--conference_muc_jid=conference.meet.example",)
JINGLE = "{urn:xmpp:jingle:1}"
RTP = "{urn:xmpp:jingle:apps:rtp:1}"
FEEDBACK = "{urn:xmpp:jingle:apps:rtp:rtcp-fb:0}rtcp-fb"
EXTENSION = "{urn:xmpp:jingle:apps:rtp:rtp-hdrext:0}rtp-hdrext"
SCTPMAP = "{urn:xmpp:jingle:transports:dtls-sctp:1}sctpmap"
RTX_FEATURE = "urn:ietf:rfc:4588"
TCC_FEATURE = "http://jitsi.org/tcc"


@pytest.fixture
def bridge(stage: Stage) -> Bridge:
    """The only bridge; without data channels."""
    return stage.bridge()


def without(features: Tuple[str, ...], *names: str) -> Tuple[str, ...]:
    return tuple(feature for feature in features if feature not in names)


def jingles(client: Client, action: str) -> List[Stanza]:
    """The Jingle requests of this action the client has received."""
    return [s for s in client.received if s.name == "iq" and b"action='%s'" % action.encode() in s.raw]


def two(stage: Stage, **settings: Any) -> Tuple[Client, Client, str]:
    """Two participants in a call."""
    one, other, room = stage.client(**settings), stage.client(), stage.room()
    stage.call(room, one, other)
    return one, other, room


# --- offers ---------------------------------------------------------------------------------------------------------


def test_clients_of_three_generations_hear_of_each_other(stage: Stage, bridge: Bridge) -> None:
    """J-301 to J-307, J-361, J-363, J-401, J-411, J-521, J-712, J-741: JSON and XML, each what it reads."""
    new = stage.client()
    old = stage.client(features=FEATURES_2022)
    gateway = stage.client(features=FEATURES_XML)
    stage.call(stage.room(), new, old, gateway)
    for client in (new, old, gateway):
        told = b"".join(s.raw for action in ("session-initiate", "source-add") for s in jingles(client, action))
        assert (b"json-message" in told) == (client is not gateway)
        assert (b"ssrc-info" in told) == (client is gateway)
        offer = client.wait_session().jingle
        assert offer.get("initiator") == stage.focus.jid and offer.get("sid")
        contents = offer.findall(JINGLE + "content")
        assert [(c.get("name"), c.get("creator"), c.get("senders")) for c in contents] == [
            ("audio", "initiator", "both"), ("video", "initiator", "both")]
        group = offer.find("{urn:xmpp:jingle:apps:grouping:0}group")
        assert group.get("semantics") == "BUNDLE" and [c.get("name") for c in group] == ["audio", "video"]
        assert {source.msid for source in client.remote["jvb"].sources} == {
            "mixedmslabel mixedlabelaudio0", "mixedmslabel mixedlabelvideo0"}
        wait_bridge_knows(stage, bridge, client)  # the whole set, simulcast included


def test_a_nameless_source_gets_its_default_name_everywhere(stage: Stage, bridge: Bridge) -> None:
    """J-422: a client of early 2022 gives none; others need one."""
    old = stage.client(features=FEATURES_2022)
    old.sources = media.audio_source(old.endpoint, 4711, named=False).plus(
        media.video_source(old.endpoint, 5000, named=False))
    new = stage.client()
    stage.enter(stage.room(), old, new)
    new.wait(lambda: old.endpoint in new.remote, 15, "told of the nameless ones")
    names = {(source.media, source.name) for source in new.remote[old.endpoint].sources}
    assert names == {("audio", old.endpoint + "-a0"), ("video", old.endpoint + "-v0")}
    wait_bridge_knows(stage, bridge, old)
    assert {one.name for one in bridge.endpoint(old.endpoint).sources} == {old.endpoint + "-a0", old.endpoint + "-v0"}


def offered(client: Client) -> Dict[str, Any]:
    """What an offer consists of, as far as features decide it."""
    offer = client.wait_session(20).jingle
    codecs = [codec.get("name") for codec in offer.iter(RTP + "payload-type")]
    return {
        "contents": [content.get("name") for content in offer.findall(JINGLE + "content")],
        "rtx": "rtx" in codecs,
        "red": "red" in codecs,
        "tcc": any(f.get("type") == "transport-cc" for f in offer.iter(FEEDBACK)),
        "tcc extension": any("transport-wide-cc" in e.get("uri") for e in offer.iter(EXTENSION)),
        "remb": any(f.get("type") == "goog-remb" for f in offer.iter(FEEDBACK)),
        "data": any(True for _ in offer.iter(SCTPMAP)),
    }


@pytest.mark.parametrize("missing, differs", [
    ((), {}),
    ((RTX_FEATURE,), {"rtx": False}),
    ((TCC_FEATURE,), {"tcc": False, "tcc extension": False, "remb": True}),
    ((RTX_FEATURE, TCC_FEATURE), {"rtx": False, "tcc": False, "tcc extension": False, "remb": True}),
    (("urn:xmpp:jingle:apps:rtp:video",), {"contents": ["audio"], "rtx": False}),
], ids=["all", "no rtx", "no tcc", "neither", "audio only"])
def test_the_offer_follows_the_features(
    stage: Stage, bridge: Bridge, missing: Tuple[str, ...], differs: Dict[str, Any]
) -> None:
    """J-201, J-301, J-302, sections 3.2 and 3.3: what a client can't do isn't offered, nobody else is hurt."""
    usual = {"contents": ["audio", "video"], "rtx": True, "red": False, "tcc": True, "tcc extension": True,
             "remb": False, "data": False}
    poor = stage.client(features=without(FEATURES_2026, *missing))
    if "urn:xmpp:jingle:apps:rtp:video" in missing:
        poor.sources = poor.sources.only(video=False)
    one, room = stage.client(), stage.room()
    stage.enter(room, poor, one)
    assert offered(poor) == dict(usual, **differs)
    assert offered(one) == usual
    one.wait_sources_of([poor], 20)
    told = one.sources.stripped()
    if poor.sources.only(audio=False):
        poor.wait_sources_of([one], 20)
    else:
        poor.wait(lambda: poor.others.get(one.endpoint) == told.only(video=False), 20, "only audio sources")


def test_a_data_channel_is_offered_where_the_bridge_has_it(stage: Stage) -> None:
    """J-341, J-343, K-433, K-476."""
    bridge = stage.bridge(sctp=True)
    able, unable = stage.client(), stage.client(features=FEATURES_XML)
    stage.call(stage.room(), able, unable)
    assert offered(able)["contents"] == ["audio", "video", "data"] and offered(able)["data"]
    assert offered(unable)["contents"] == ["audio", "video"]
    assert bridge.endpoint(able.endpoint).sctp and not bridge.endpoint(unable.endpoint).sctp


def test_a_bridge_without_data_channels_is_asked_for_them_once(stage: Stage, bridge: Bridge) -> None:
    """K-476: the call stands, and nobody asks again."""
    two(stage)
    two(stage)
    refused = [request for request in bridge.requests if request.error]
    assert [request.error_text for request in refused] == ["SCTP support is not configured"]


def test_a_client_without_caps_is_asked_by_itself(stage: Stage, bridge: Bridge) -> None:
    """C-644: without a node."""
    plain, one = stage.client(features=without(FEATURES_2026, RTX_FEATURE)), stage.client()
    plain.caps = lambda: ""  # type: ignore[method-assign]
    stage.call(stage.room(), plain, one)
    asked = [s for s in plain.received if s.name == "iq" and b"disco#info" in s.raw]
    assert len(asked) == 1 and asked[0].element[0].get("node") is None
    assert not offered(plain)["rtx"]


def test_a_version_is_asked_once_for_all_who_have_it(stage: Stage, bridge: Bridge) -> None:
    """C-640, C-642, C-643, T-20."""
    features = (*FEATURES_2026, "urn:example:" + uuid.uuid4().hex)
    clients = [stage.client(features=features) for _ in range(4)]
    stage.call(stage.room(), *clients)
    stage.call(stage.room(), stage.client(features=features), stage.client(features=features))
    asked = [s for client in stage.clients for s in client.received if s.name == "iq" and b"disco#info" in s.raw]
    assert len(asked) == 1
    assert "#" in asked[0].element[0].get("node")


def test_a_lie_about_a_version_harms_only_the_liar(stage: Stage, bridge: Bridge) -> None:
    """C-640: what doesn't hash to its version isn't remembered for others."""
    features = (*FEATURES_2026, "urn:example:" + uuid.uuid4().hex)
    liar, honest = stage.client(features=features), stage.client(features=features)
    liar._disco = "".join("<feature var='%s'/>" % name for name in without(features, RTX_FEATURE))
    room = stage.room()
    stage.enter(room, liar)
    liar.wait(lambda: any(b"disco#info" in s.raw for s in liar.received), 10, "asked")
    stage.enter(room, honest)
    stage.wait_call(liar, honest)
    assert not offered(liar)["rtx"] and offered(honest)["rtx"]


def test_a_client_silent_on_disco_delays_nobody(stage: Stage, bridge: Bridge) -> None:
    """C-641, J-202: the others at once, the silent one after 5 s as audio, video and SCTP."""
    silent = stage.client(features=(*FEATURES_2026, "urn:example:" + uuid.uuid4().hex))
    silent.answer_disco = False
    one, other, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, silent, one, other)
    for client in (one, other):
        client.wait_session(20)
    assert silent.session is None
    stage.wait_call(silent, one, other)
    begin = silent.confirmed_at
    assert 4.5 < silent.wait_session().offered_at - begin < 14
    assert max(one.wait_session().offered_at, other.wait_session().offered_at) < silent.wait_session().offered_at - 1
    assert not offered(silent)["rtx"] and not offered(silent)["tcc"]


def test_an_error_to_disco_is_no_answer(stage: Stage, bridge: Bridge) -> None:
    """C-645, J-202."""
    rude = stage.client(features=(*FEATURES_2026, "urn:example:" + uuid.uuid4().hex))

    def refuses(stanza: Stanza) -> bool:
        if stanza.name == "iq" and b"disco#info" in stanza.raw and stanza.get("type") == "get":
            rude.reply_error(stanza, "cancel", "service-unavailable")
            return True
        return False

    rude.hooks.append(refuses)
    one = stage.client()
    stage.call(stage.room(), rude, one)
    assert not offered(rude)["rtx"]


@pytest.mark.parametrize("name, value, expected", [
    ("startAudioMuted", "1", {"audio": "true", "video": "false"}),
    ("startVideoMuted", "1", {"audio": "false", "video": "true"}),
    ("startAudioMuted", "-1", None),
    ("startAudioMuted", "soon", None),
])
def test_newcomers_beyond_the_number_start_muted(
    stage: Stage, bridge: Bridge, name: str, value: str, expected: Optional[Dict[str, str]]
) -> None:
    """C-202, C-203, C-655, J-305, M-553: the creating request decides."""
    one, other, third, room = stage.client(), stage.client(), stage.client(), stage.room()
    one.request("set", stage.focus.jid, one.conference_request(room, {name: value}))
    third.ask(room, stage.focus.jid, startAudioMuted="0", startVideoMuted="0")
    stage.call(room, one, other)
    stage.enter(room, third)
    found = third.wait_session().jingle.find("{http://jitsi.org/jitmeet/start-muted}startmuted")
    assert (dict(found.attrib) if found is not None else None) == expected


# --- sources --------------------------------------------------------------------------------------------------------


def wait_bridge_knows(stage: Stage, bridge: Bridge, client: Client) -> None:
    """Wait until the bridge has exactly the client's sources (J-535)."""
    wanted = {source.ssrc for source in client.sources.sources}
    stage.wait(
        lambda: {s for one in bridge.endpoint(client.endpoint).sources or () for s in one.ssrcs} == wanted,
        "the bridge knows the sources of " + client.endpoint, lambda: bridge.endpoint(client.endpoint).sources)


@pytest.mark.parametrize("features", [FEATURES_2026, FEATURES_XML], ids=["json", "xml"])
def test_sources_come_and_go_both_ways(stage: Stage, bridge: Bridge, features: Tuple[str, ...]) -> None:
    """J-531 to J-535, J-536, J-712, J-720: a screen is shared and hidden, a microphone taken away and back."""
    one, other, room = stage.client(features=features), stage.client(features=features), stage.room()
    stage.call(room, one, other)
    for sender, receiver in ((one, other), (other, one)):
        screen = media.video_source(sender.endpoint, 70000 + stage.clients.index(sender) * 10, index=1, desktop=True)
        for change in (sender.add_sources, sender.remove_sources):
            assert change(screen).get("type") == "result"
            receiver.wait_sources_of([sender])
            wait_bridge_knows(stage, bridge, sender)
        microphone = sender.sources.only(video=False)
        for change in (sender.remove_sources, sender.add_sources):
            assert change(microphone).get("type") == "result"
            receiver.wait_sources_of([sender])
            wait_bridge_knows(stage, bridge, sender)
    added = jingles(other, "source-add")
    assert not any(one.endpoint.encode() not in s.raw for s in added)


def test_old_names_of_source_actions(stage: Stage, bridge: Bridge) -> None:
    """J-536, J-513: addsource and removesource; sources that stand in the content itself."""
    one, other, _ = two(stage)
    screen = media.video_source(one.endpoint, 80000, index=1, layers=1, rtx=False)
    content = "<content name='video'>%s</content>" % media.source_lines(screen, "video")
    assert one.request("set", one.focus, one.jingle("addsource", content)).get("type") == "result"
    one.sources = one.sources.plus(screen)
    other.wait_sources_of([one])
    assert one.request("set", one.focus, one.jingle("removesource", content)).get("type") == "result"
    one.sources = one.sources.minus(screen)
    other.wait_sources_of([one])


def test_an_empty_change_is_a_result_and_nothing_else(stage: Stage, bridge: Bridge) -> None:
    """J-531, J-533, J-544."""
    one, other, _ = two(stage)
    requests, updates = len(bridge.requests), other.updates_received
    assert one.add_sources(media.NOTHING).get("type") == "result"
    assert one.remove_sources(media.NOTHING).get("type") == "result"
    ringing = "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>"
    assert one.request("set", one.focus, one.jingle("session-info", ringing)).get("type") == "result"
    assert one.request("set", one.focus, one.jingle("session-info")).get("type") == "result"
    assert other.request("set", other.focus, other.jingle("session-info")).get("type") == "result"
    assert (len(bridge.requests), other.updates_received) == (requests, updates)


def test_a_client_with_ssrc_rewriting_is_told_of_nobody(stage: Stage, bridge: Bridge) -> None:
    """J-362, J-721: only the bridge's own sources."""
    rewriting = stage.client(features=(*FEATURES_2026, "http://jitsi.org/ssrc-rewriting-1"))
    one = stage.client()
    stage.enter(stage.room(), rewriting, one)
    one.wait_sources_of([rewriting], 20)
    assert one.add_sources(media.audio_source(one.endpoint, 90001, index=1)).get("type") == "result"
    wait_bridge_knows(stage, bridge, one)
    rewriting.wait_session()
    assert set(rewriting.remote) == {"jvb"} and rewriting.updates_received == 0


def test_who_accepts_late_is_told_everything_in_one(stage: Stage, bridge: Bridge) -> None:
    """J-365, J-366, J-371, J-717, J-718: what changed while its offer lay there."""
    late = stage.client()
    late.auto_accept = False
    one, other, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, late, one, other)
    late.wait_session(20, "pending")
    one.wait_sources_of([other], 20)
    other.wait_sources_of([one], 20)
    screen = media.video_source(one.endpoint, 100000, index=1, layers=1)
    one.add_sources(screen)
    other.wait_sources_of([one])
    one.remove_sources(one.sources.only(audio=False).minus(screen))
    other.wait_sources_of([one])
    assert not jingles(late, "source-add")
    late.accept()
    stage.wait_call(late, one, other)
    assert len(jingles(late, "source-add")) <= 1


# --- leaving and coming back ----------------------------------------------------------------------------------------


def test_leaving_and_coming_back_under_the_same_nickname(stage: Stage, bridge: Bridge) -> None:
    """C-701, J-122, J-125, J-722, T-16: a new session; nobody is told to remove anything."""
    one, other, room = two(stage)
    third = stage.client()
    stage.enter(room, third)
    stage.wait_call(one, other, third)
    for _ in range(2):
        other.leave()
        stage.wait(lambda: other.endpoint in one.gone and other.endpoint in third.gone, "seen leaving")
        stage.enter(room, other)
        stage.wait_call(one, other, third)
    assert len({session.sid for session in other.sessions}) == 3
    assert not jingles(one, "source-remove") and not jingles(third, "source-remove")
    assert len(one.sessions) == len(third.sessions) == 1


def test_a_stream_that_breaks_is_a_leave(stage: Stage, bridge: Bridge) -> None:
    """C-701, C-706."""
    one, other, room = two(stage)
    other.close(end_stream=False)
    stage.wait(lambda: bridge.endpoint(other.endpoint) is None, "its endpoint is expired")
    assert bridge.endpoint(one.endpoint) is not None


def test_a_restart_that_a_client_asks_for(stage: Stage, bridge: Bridge) -> None:
    """J-551, J-554, J-555, J-556, J-722, J-831: a new session at once; one too soon is refused, all released."""
    one, other, room = two(stage)
    first = one.wait_session()
    assert one.terminate(restart=True).get("type") == "result"
    one.wait(lambda: one.session is not first and one.session is not None and one.session.state == "active", 15, "anew")
    stage.wait_call(one, other)
    assert first.end is None and len(other.sessions) == 1
    assert one.terminate(restart=True).error[:2] == ("wait", "resource-constraint")
    stage.wait(lambda: bridge.endpoint(one.endpoint) is None, "its endpoint is expired")
    other.wait(lambda: not other.others, 10, "its sources are gone")
    one.leave()
    stage.enter(room, one)
    stage.wait_call(one, other)


def test_a_client_that_ends_its_session_stays_a_member(stage: Stage, bridge: Bridge) -> None:
    """J-504, J-552, J-553: with the right id, without a bridge-session, and with the wrong id."""
    one, other, room = two(stage)
    session = one.wait_session()
    assert one.terminate(bridge_session="wrong").error[:2] == ("cancel", "item-not-found")
    session.state = "active"
    assert one.add_sources(media.audio_source(one.endpoint, 123, index=1)).get("type") == "result"
    assert one.terminate().get("type") == "result"
    other.wait(lambda: not other.others, 10, "its sources are gone")
    stage.wait(lambda: bridge.endpoint(one.endpoint) is None, "its endpoint is expired")
    answer = one.request("set", one.focus, one.jingle("source-add", media.update_contents(one.sources)))
    assert answer.error[0] == "cancel" and answer.error[1] in ("gone", "item-not-found")
    inner = "<reason><decline/></reason>"
    session = other.wait_session()
    assert other.request("set", other.focus, other.jingle("session-terminate", inner)).get("type") == "result"
    session.state = "ended"
    stage.wait(lambda: bridge.endpoint(other.endpoint) is None, "no endpoint is left")
    assert len(one.sessions) == len(other.sessions) == 1


def test_an_old_client_reports_that_ice_failed(stage: Stage, bridge: Bridge) -> None:
    """J-542, J-543: a new session."""
    one, other, _ = two(stage, features=FEATURES_2022)
    first = one.wait_session()
    failed = "<ice-state xmlns='%s'>FAILED</ice-state><bridge-session xmlns='%s' id='%s'/>" % (
        FOCUS, FOCUS, first.bridge_session)
    one.hooks.append(lambda stanza: setattr(first, "state", "ended") if b"session-initiate" in stanza.raw else None)
    assert one.request("set", one.focus, one.jingle("session-info", failed)).get("type") == "result"
    one.wait(lambda: len(one.sessions) == 2, 15, "a second offer")
    stage.wait_call(one, other)


# --- answers to offers --------------------------------------------------------------------------------------------


def test_transport_comes_before_and_after_the_accept(stage: Stage, bridge: Bridge) -> None:
    """J-107, J-514, J-561, J-563, J-564, J-566: it goes on to the bridge."""
    early = stage.client(features=FEATURES_2022)
    early.auto_accept = False
    one, room = stage.client(), stage.room()
    stage.enter(room, early, one)
    early.wait_session(20, "pending")
    candidate = "<candidate component='1' foundation='1' generation='0' id='x' ip='127.0.0.1' network='0' port='5' " \
                "priority='1' protocol='udp' type='host'/>"
    transport = media.client_transport(early.endpoint, setup="active", candidates=candidate)
    assert early.transport_info(transport).get("type") == "result"
    updates = stage.wait(
        lambda: [r for r in bridge.requests_of(kind="transport") if r.endpoints == [early.endpoint]], "at the bridge")
    update = updates[0]
    assert b"ip='127.0.0.1'" in update.stanza.raw
    assert b"rtcp-mux" in update.stanza.raw and "sources" not in update.kinds
    empty = early.jingle("transport-info", "<content name='0'/>")
    assert early.request("set", early.focus, empty).error[1] == "bad-request"
    assert early.request("set", early.focus, early.jingle("transport-reject")).get("type") == "result"
    early.accept()
    stage.wait_call(early, one)
    assert early.transport_info().get("type") == "result"


def test_an_accept_that_comes_twice_harms_nothing(stage: Stage, bridge: Bridge) -> None:
    """J-527, T-27: out of order, and the session lives."""
    one, other, _ = two(stage)
    session = one.wait_session()
    contents = media.accept_contents(one.endpoint, one.sources)
    answer = one.request("set", one.focus, one.jingle("session-accept", contents))
    assert answer.error[:2] == ("wait", "unexpected-request")
    assert one.add_sources(media.audio_source(one.endpoint, 321, index=1)).get("type") == "result"
    other.wait_sources_of([one])
    assert session.state == "active"


def test_a_bad_accept_ends_only_that_session(stage: Stage, bridge: Bridge) -> None:
    """J-504, J-526: refused, nothing stored, its endpoint released; the others go on."""
    bad = stage.client()
    bad.auto_accept = False
    one, other, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, bad, one, other)
    bad.wait_session(20, "pending")
    one.wait_sources_of([other], 20)
    contents = media.accept_contents(bad.endpoint, one.sources)
    answer = bad.request("set", bad.focus, bad.jingle("session-accept", contents))
    assert answer.error[:2] == ("modify", "bad-request")
    stage.wait(lambda: bridge.endpoint(bad.endpoint) is None, "its endpoint is expired")
    again = bad.request("set", bad.focus, bad.jingle("session-accept", contents))
    assert again.error[0] == "cancel" and again.error[1] in ("gone", "item-not-found")
    screen = media.video_source(one.endpoint, 4000, index=1)
    one.add_sources(screen)
    other.wait_sources_of([one])
    assert not jingles(bad, "source-add")


def test_an_accept_without_sources_or_transport(stage: Stage, bridge: Bridge) -> None:
    """J-523, J-524, J-528: joined muted, and how many videos it wants."""
    quiet = stage.client(sources=media.NOTHING)
    quiet.auto_accept = False
    one, room = stage.client(), stage.room()
    stage.enter(room, quiet, one)
    quiet.wait_session(20, "pending")
    last_n = "<content name='video'><initial-last-n xmlns='jitsi:colibri2' value='3'/></content>"
    assert quiet.request("set", quiet.focus, quiet.jingle("session-accept", last_n)).get("type") == "result"
    quiet.wait_sources_of([one])
    stage.wait(lambda: bridge.endpoint(quiet.endpoint).initial_last_n == 3, "the bridge knows its last-n")
    assert one.others == {}


def test_a_refused_offer_ends_that_session(stage: Stage, bridge: Bridge) -> None:
    """J-373, J-128: told so, and released."""
    rude = stage.client()
    rude.refuse_offers_with = "service-unavailable"
    ended: List[Stanza] = []

    def notices(stanza: Stanza) -> bool:
        if b"session-terminate" not in stanza.raw:
            return False
        ended.append(stanza)
        rude.reply(stanza)
        return True

    rude.hooks.append(notices)
    one, other, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, rude, one, other)
    stage.wait_call(one, other)
    stage.wait(lambda: ended, "told of the end")
    reason = ended[0].find(JINGLE + "jingle/" + JINGLE + "reason")
    assert reason[0].tag == JINGLE + "general-error"
    stage.wait(lambda: bridge.endpoint(rude.endpoint) is None, "its endpoint is expired")


def test_who_never_answers_disturbs_nobody(stage: Stage, bridge: Bridge) -> None:
    """J-372, J-719, J-1008: neither the offer nor updates; when it comes to itself, it is in."""
    dead = stage.client()
    dead.answer_jingle = False
    one, other, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, dead, one, other)
    stage.wait_call(one, other)
    one.add_sources(media.video_source(one.endpoint, 4100, index=1))
    other.wait_sources_of([one])
    stage.wait(lambda: jingles(dead, "session-initiate"), "it was offered a session")
    offer = jingles(dead, "session-initiate")[0]
    dead.answer_jingle = True
    dead._on_jingle(offer)
    stage.wait_call(dead, one, other)


def test_who_never_answers_updates_gets_them_all_the_same(stage: Stage, bridge: Bridge) -> None:
    """J-719: an update's answer is waited for a second at most, and no change is lost."""
    one, other, _ = two(stage)

    def swallows(stanza: Stanza) -> bool:
        if stanza.name == "iq" and b"action='source-" in stanza.raw and stanza.get("type") == "set":
            other._on_update(stanza, "source-add" if b"'source-add'" in stanza.raw else "source-remove")
            return True
        return False

    other.hooks.append(swallows)
    for number in range(5):
        one.add_sources(media.audio_source(one.endpoint, 5000 + number, index=1 + number))
    other.wait_sources_of([one])


def test_many_changes_at_once_are_few_updates(stage: Stage, bridge: Bridge) -> None:
    """J-714, J-715: one request after the other in one write; what comes to nothing isn't sent."""
    one, other, _ = two(stage)
    before = other.updates_received
    payloads = []
    for number in range(30):
        extra = media.audio_source(one.endpoint, 6000 + number, index=1)
        payloads += [(action, media.update_contents(extra)) for action in ("source-add", "source-remove")]
    answers: List[Stanza] = []
    one.hooks.append(lambda s: answers.append(s) if s.get("id").startswith("many") else None)
    one.send("".join("<iq type='set' to='%s' id='many%d'>%s</iq>" % (one.focus, number, one.jingle(action, body))
                     for number, (action, body) in enumerate(payloads)))
    stage.wait(lambda: len(answers) == 60, "all are answered")
    assert all(answer.get("type") == "result" for answer in answers)
    assert [answer.get("id") for answer in answers] == ["many%d" % number for number in range(60)]
    stage.loop.run_for(0.3)
    other.wait_sources_of([one])
    assert other.updates_received - before <= 20


def test_published_presence_does_not_cost_a_call(stage: Stage, bridge: Bridge) -> None:
    """C-636: clients repeat their presence for every trifle."""
    one, other, _ = two(stage)
    for number in range(50):
        one.publish(a0=bool(number % 2), v0=True)
    assert one.request("get", one.focus, "<ping xmlns='urn:xmpp:ping'/>").get("type") == "result"
    assert other.updates_received <= 1 and len(one.sessions) == 1


def test_the_bridge_count_is_published(stage: Stage, bridge: Bridge) -> None:
    """C-510, C-511, B-663."""
    one, _, _ = two(stage)

    def count() -> Optional[str]:
        properties = one.occupants["focus"].element.iter("{%s}property" % FOCUS)
        return next((p.get("value") for p in properties if p.get("key") == "bridge-count"), None)

    one.wait(lambda: count() == "1", 5, "bridge-count")
