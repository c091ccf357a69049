"""Every Jingle action in every state of the session, its answer and its effect (jingle.md section 5).

``ANSWERS`` says what is answered, ``EFFECTS`` what follows from what is accepted. A refusal must have no effect at all.
"""
from __future__ import annotations

from typing import Any, Callable, Dict, List, Set, Tuple

import pytest

from focus.conference import messages
from focus.stanzas.muc import STATUS_KICKED
from tests.support.harness import (
    BRIDGE,
    CLIENT_TRANSPORT,
    ROOM,
    Scene,
    accept_contents,
    colibri_error,
    content,
    source,
)
from tests.support.jingle_answers import (
    ANNA,
    BAD,
    BO,
    CARLA,
    FOCUS_NS,
    GONE,
    LIMIT,
    NO_ACTION,
    OK,
    OUT_OF_ORDER,
    STALE,
    STANZAS,
    UNKNOWN,
    UNSUPPORTED,
    WRONG_BRIDGE,
    Shape,
    ask,
    bridge_session,
    is_quiet,
    shape,
    sid_of,
    snapshot,
    to_client,
    to_the_bridge,
)

OWN, FRESH = 4711, 4712
"""An SSRC that anna has if she has a session, and one that nobody has."""


# --- states of the session ------------------------------------------------------------------------------------------

def own_source() -> str:
    return content("video", source(ANNA, "v", OWN, 1))


def call(accept: bool = True) -> Scene:
    """Anna has a source of her own; she and bo have accepted, or only bo has."""
    scene = Scene().bring_in(ANNA, BO, accept=False)
    scene.mail(scene.accept(BO, 8))
    if accept:
        scene.mail(scene.accept(ANNA, 7))
    return scene.mail(scene.jingle(ANNA, "source-add", own_source())).settle()


def never_begun() -> Tuple[Scene, str]:
    return call(), "nosuchsid"


def without_sid() -> Tuple[Scene, str]:
    return call(), ""


def of_another() -> Tuple[Scene, str]:
    scene = call()
    return scene, sid_of(scene, BO)


def after_leaving() -> Tuple[Scene, str]:
    scene = call()
    sid = sid_of(scene)
    return scene.leave(ANNA).settle(), sid


def after_a_kick() -> Tuple[Scene, str]:
    scene = call()
    sid = sid_of(scene)
    return scene.mail(scene.presence(ANNA, "unavailable", "none", codes=str(STATUS_KICKED))).settle(), sid


def of_a_former_visit() -> Tuple[Scene, str]:
    scene = call()
    sid = sid_of(scene)
    return scene.leave(ANNA).settle().pass_time(3).bring_in(ANNA), sid


def ended_by_itself() -> Tuple[Scene, str]:
    scene = call()
    sid = sid_of(scene)
    return scene.mail(scene.jingle(ANNA, "session-terminate", "<reason><success/></reason>")).settle(), sid


def ended_by_its_accept() -> Tuple[Scene, str]:
    scene = Scene().bring_in(ANNA, BO, accept=False)
    sid = sid_of(scene)
    scene.mail(scene.accept(BO, 8))
    return scene.mail(scene.jingle(ANNA, "session-accept", accept_contents(ANNA, 8))).settle(), sid


def ended_by_refusing_the_offer() -> Tuple[Scene, str]:
    scene = Scene().join(ANNA, BO)
    scene.mail(scene.allocated(scene.one("conference-modify")))
    sid = sid_of(scene)
    offer = scene.one("session-initiate")
    return scene.mail(scene.answer(offer, colibri_error("bad-request"), type="error")).settle(), sid


def ended_by_too_many_restarts() -> Tuple[Scene, str]:
    scene = call()
    for _ in range(2):
        sid = sid_of(scene)
        scene.mail(scene.jingle(ANNA, "session-terminate", bridge_session(scene, "restart='true'"))).settle()
    return scene, sid


def of_before_a_restart() -> Tuple[Scene, str]:
    scene = call()
    sid = sid_of(scene)
    return scene.mail(scene.jingle(ANNA, "session-terminate", bridge_session(scene, "restart='true'"))).settle(), sid


def of_before_a_restart_that_is_accepted() -> Tuple[Scene, str]:
    scene, sid = of_before_a_restart()
    return scene.mail(scene.accept(ANNA)).settle(), sid


def while_it_moves() -> Tuple[Scene, str]:
    """Its bridge has gone and there is no other yet."""
    scene = call()
    sid = sid_of(scene)
    return scene.mail(*[messages.BridgeLost(event.bridge, event.reason)
                        for event in scene.bridges.gone(BRIDGE, "gone")]).settle(), sid


def offered() -> Tuple[Scene, str]:
    scene = call(accept=False)
    return scene, sid_of(scene)


def active() -> Tuple[Scene, str]:
    scene = call()
    return scene, sid_of(scene)


State = Callable[[], Tuple[Scene, str]]
UNKNOWN_STATES: List[State] = [never_begun, without_sid, of_another, after_leaving, after_a_kick, of_a_former_visit]
ENDED_STATES: List[State] = [ended_by_itself, ended_by_its_accept, ended_by_refusing_the_offer,
                             ended_by_too_many_restarts]
STALE_STATES: List[State] = [of_before_a_restart, of_before_a_restart_that_is_accepted, while_it_moves]


# --- answers --------------------------------------------------------------------------------------------------------

NEW_SOURCE = content("video", source(ANNA, "v", FRESH, 2))
ICE_UDP = "<content name='0' creator='responder'>%s</content>" % CLIENT_TRANSPORT

ANSWERS = [
    # id, action, what is in it: answer in an unknown session, an ended one, a stale one, an offered, an active one
    ("J-521, J-527", "session-accept", accept_contents(ANNA, 5), UNKNOWN, GONE, GONE, OK, OUT_OF_ORDER),
    ("J-564, J-527", "transport-accept", accept_contents(ANNA, 5), UNKNOWN, GONE, GONE, OK, OUT_OF_ORDER),
    ("J-564", "transport-reject", "<reason><gone/></reason>", UNKNOWN, GONE, STALE, OK, OK),
    ("J-561, J-562", "transport-info", ICE_UDP, UNKNOWN, GONE, STALE, OK, OK),
    ("J-563", "transport-info", "<content name='audio'/>", UNKNOWN, GONE, STALE, BAD, BAD),
    ("J-544", "session-info", "", UNKNOWN, GONE, STALE, OK, OK),
    ("J-544", "session-info", "<ringing xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>", UNKNOWN, GONE, STALE, OK, OK),
    ("J-544", "session-info", "<novelty xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>", UNKNOWN, GONE, STALE, OK, OK),
    ("J-542", "session-info", "<ice-state xmlns='%s'>failed</ice-state>" % FOCUS_NS, UNKNOWN, GONE, STALE, OK, OK),
    ("J-552", "session-terminate", "<reason><decline/></reason>", UNKNOWN, GONE, STALE, OK, OK),
    ("J-552", "session-terminate", "<bridge-session xmlns='%s' id='x'/>" % FOCUS_NS, UNKNOWN, GONE, STALE,
     WRONG_BRIDGE, WRONG_BRIDGE),
    ("J-552", "session-terminate", "<bridge-session xmlns='%s' restart='true'/>" % FOCUS_NS, UNKNOWN, GONE, STALE,
     WRONG_BRIDGE, WRONG_BRIDGE),
    ("J-531, J-532", "source-add", NEW_SOURCE, UNKNOWN, GONE, STALE, OK, OK),
    ("J-536", "addsource", NEW_SOURCE, UNKNOWN, GONE, STALE, OK, OK),
    ("J-531", "source-add", "", UNKNOWN, GONE, STALE, OK, OK),
    ("J-531", "source-add", own_source(), UNKNOWN, GONE, STALE, BAD, BAD),
    ("J-533", "source-remove", own_source(), UNKNOWN, GONE, STALE, OK, OK),
    ("J-536", "removesource", own_source(), UNKNOWN, GONE, STALE, OK, OK),
    ("J-533", "source-remove", "", UNKNOWN, GONE, STALE, OK, OK),
    ("J-533", "source-remove", NEW_SOURCE, UNKNOWN, GONE, STALE, BAD, BAD),
    # Decided before the session is looked up:
    ("J-506", NO_ACTION, "", BAD, BAD, BAD, BAD, BAD),
    ("J-506", "", "", BAD, BAD, BAD, BAD, BAD),
    ("J-506", "dance", "", BAD, BAD, BAD, BAD, BAD),
    ("J-506", "Session-Accept", accept_contents(ANNA, 5), BAD, BAD, BAD, BAD, BAD),
    ("J-509", "source-add", content("video", source(ANNA, "v", FRESH).replace("4712", "x")), BAD, BAD, BAD, BAD, BAD),
    *[("J-507", action, own_source(), UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED, UNSUPPORTED) for action in (
        "session-initiate", "content-add", "content-accept", "content-reject", "content-remove", "content-modify",
        "description-info", "security-info", "transport-replace")],
]


def cells() -> List[Any]:
    """A row of the table and a state, as parameters: an action's first row in every state, others in one of a kind."""
    found: List[Any] = []
    seen: Set[str] = set()
    for id_, action, inside, *answers in ANSWERS:
        for states, answer in zip((UNKNOWN_STATES, ENDED_STATES, STALE_STATES, [offered], [active]), answers):
            if action in seen or answer in (BAD, UNSUPPORTED):
                states = states[:1]
            found += [pytest.param(action, inside, state, answer, id="%s-%s-%s" % (id_, action, state.__name__))
                      for state in states]
        seen.add(action)
    return found


@pytest.mark.parametrize("action, inside, state, expected", cells())
def test_answers(action: str, inside: str, state: State, expected: Shape) -> None:
    """J-501 to J-507, J-509, J-104, J-106, J-115, and the row's own id."""
    scene, sid = state()
    before = snapshot(scene)
    assert shape(ask(scene, sid, action, inside)) == expected
    if expected != OK:
        assert snapshot(scene) == before and not scene.sent


@pytest.mark.parametrize("state", [never_begun, ended_by_itself, offered, active])
@pytest.mark.parametrize("action, inside", [("session-accept", accept_contents(ANNA, 5)), ("source-add", "<x/>"),
                                            ("session-terminate", ""), ("dance", ""), (NO_ACTION, "")])
def test_only_sets_are_requests(state: State, action: str, inside: str) -> None:
    """J-508: whatever it asks for."""
    scene, sid = state()
    before = snapshot(scene)
    assert shape(ask(scene, sid, action, inside, type="get")) == UNSUPPORTED
    assert snapshot(scene) == before and not scene.sent


def test_an_ended_session_is_gone_in_its_own_words() -> None:
    """J-504: the text stands in the condition itself."""
    scene, sid = ended_by_itself()
    (error,) = ask(scene, sid, "source-add", NEW_SOURCE)
    assert [(child.tag, child.text) for child in error] == [(STANZAS + "gone", "session ended")]


def test_who_asks_is_looked_at_not_what_it_writes() -> None:
    """J-104, J-106: `initiator` and `responder` count for nothing, in either direction."""
    scene = call()
    claims = "%s' initiator='%s/focus' responder='bo@meet.example/r"
    assert shape(ask(scene, claims % (sid_of(scene), ROOM), "source-add", NEW_SOURCE)) == OK
    assert shape(ask(scene, claims % (sid_of(scene, BO), ROOM), "source-add", NEW_SOURCE)) == UNKNOWN


def test_a_limit_of_senders() -> None:
    """J-651, J-531: the shape; nothing is stored. J-530: an accept isn't limited."""
    scene = Scene(max_video_senders=1).bring_in(ANNA, BO, CARLA, accept=False)
    for nick, number in ((ANNA, 7), (BO, 8)):
        muted = "<SourceInfo>{&quot;%s-v0&quot;:{&quot;muted&quot;:false}}</SourceInfo>" % nick
        scene.mail(scene.presence(nick, extra=muted), scene.accept(nick, number)).settle()
    before = snapshot(scene)
    assert shape(ask(scene, sid_of(scene), "source-add", NEW_SOURCE)) == LIMIT
    assert snapshot(scene) == before and not scene.sent
    both = NEW_SOURCE + content("audio", source(ANNA, "a", FRESH + 1, 1))
    assert shape(ask(scene, sid_of(scene), "source-add", both)) == LIMIT, "all or nothing (J-534)"
    assert snapshot(scene) == before
    assert shape(ask(scene, sid_of(scene), "source-add", content("audio", source(ANNA, "a", FRESH + 1, 1)))) == OK
    assert shape(ask(scene, sid_of(scene, CARLA), "session-accept", accept_contents(CARLA, 9),
                     nick=CARLA)) == OK


# --- effects --------------------------------------------------------------------------------------------------------

VIDEO_LAST_N = "<content name='video'><initial-last-n xmlns='jitsi:colibri2' value='3'/></content>"
NO_TRANSPORT = accept_contents(ANNA, 7).replace(CLIENT_TRANSPORT, "")
FAILED = "<ice-state xmlns='%s'>Failed</ice-state>" % FOCUS_NS
MINE = "bridge session"
"""Stands for the element with the right id."""
QUEUED = ["source-add bo00:8000000,8000001"]
"""What anna gets with her accept: bo's came after her offer (J-521, J-717)."""
GIVEN_UP = "source-remove anna:%s"
ALL = "4711,7000000,7000001"

EFFECTS = [
    # id, state, action, what is in it: what the bridge is told, what bo is told, what anna is told, her phase then
    ("J-521", offered, "session-accept", accept_contents(ANNA, 7),
     ["anna0001 transport sources"], ["source-add anna:7000000,7000001"], QUEUED, "active"),
    ("J-528", offered, "session-accept", accept_contents(ANNA, 7) + VIDEO_LAST_N,
     ["anna0001 transport sources initial-last-n"], ["source-add anna:7000000,7000001"], QUEUED, "active"),
    ("J-528 ignored", offered, "session-accept", NO_TRANSPORT + VIDEO_LAST_N.replace("'3'", "'many'"),
     ["anna0001 sources"], ["source-add anna:7000000,7000001"], QUEUED, "active"),
    ("J-524", offered, "session-accept", NO_TRANSPORT,
     ["anna0001 sources"], ["source-add anna:7000000,7000001"], QUEUED, "active"),
    ("J-523", offered, "session-accept", content("audio", "", CLIENT_TRANSPORT),
     ["anna0001 transport sources"], [], QUEUED, "active"),
    ("J-523, J-524 empty", offered, "session-accept", "", ["anna0001 sources"], [], QUEUED, "active"),
    ("J-529", offered, "session-accept", "<content name='data' senders='rejected'><description xmlns='urn:xmpp:jingle:"
     "apps:rtp:1' media='application'><payload-type id='x'/></description></content>",
     ["anna0001 sources"], [], QUEUED, "active"),
    ("J-526", offered, "session-accept", accept_contents(ANNA, 8),
     ["anna0001 expire"], ["source-remove anna:4711"], [], "ended"),
    ("J-564", offered, "transport-accept", accept_contents(ANNA, 7),
     ["anna0001 transport sources"], ["source-add anna:7000000,7000001"], QUEUED, "active"),
    ("J-564, J-526", offered, "transport-accept", accept_contents(ANNA, 8),
     ["anna0001 expire"], ["source-remove anna:4711"], [], "ended"),
    ("J-564", active, "transport-reject", "", [], [], [], "active"),
    ("J-561", offered, "transport-info", ICE_UDP, ["anna0001 transport"], [], [], "offered"),
    ("J-561", active, "transport-info", ICE_UDP, ["anna0001 transport"], [], [], "active"),
    ("J-532", offered, "source-add", NEW_SOURCE, ["anna0001 sources"], ["source-add anna:4712"], [], "offered"),
    ("J-531", active, "source-add", NEW_SOURCE, ["anna0001 sources"], ["source-add anna:4712"], [], "active"),
    ("J-536", active, "addsource", NEW_SOURCE, ["anna0001 sources"], ["source-add anna:4712"], [], "active"),
    ("J-513", active, "source-add", "<content name='video'>%s</content>" % source(ANNA, "v", FRESH, 2),
     ["anna0001 sources"], ["source-add anna:4712"], [], "active"),
    ("J-408", active, "source-add", "<json-message xmlns='http://jitsi.org/jitmeet'>{\"sources\":{\"anna0001\":"
     "[[{\"s\":4712}]]}}</json-message>", [], [], [], "active"),
    ("J-531 empty", active, "source-add", content("video", ""), [], [], [], "active"),
    ("J-533", offered, "source-remove", own_source(), ["anna0001 sources"], ["source-remove anna:4711"], [], "offered"),
    ("J-533", active, "source-remove", own_source(), ["anna0001 sources"], ["source-remove anna:4711"], [], "active"),
    ("J-536", active, "removesource", own_source(), ["anna0001 sources"], ["source-remove anna:4711"], [], "active"),
    ("J-533 empty", active, "source-remove", content("video", ""), [], [], [], "active"),
    ("J-544", active, "session-info", "<mute xmlns='urn:xmpp:jingle:apps:rtp:info:1'/>", [], [], [], "active"),
    ("J-542, J-543, J-811, J-812", active, "session-info", FAILED + MINE,
     ["anna0001 expire"], [GIVEN_UP % ALL], ["session-terminate success moving"], "allocating"),
    ("J-542", offered, "session-info", FAILED + MINE,
     ["anna0001 expire"], [GIVEN_UP % OWN], ["session-terminate success moving"], "allocating"),
    ("J-542 not failed", active, "session-info", FAILED.replace("Failed", "checking") + MINE, [], [], [], "active"),
    ("J-542 wrong id", active, "session-info", FAILED + "<bridge-session xmlns='%s' id='x'/>" % FOCUS_NS,
     [], [], [], "active"),
    ("J-542 no id", active, "session-info", FAILED, [], [], [], "active"),
    ("J-552", active, "session-terminate", "<reason><decline/></reason>",
     ["anna0001 expire"], [GIVEN_UP % ALL], [], "ended"),
    ("J-552", offered, "session-terminate", "", ["anna0001 expire"], [GIVEN_UP % OWN], [], "ended"),
    ("J-553", active, "session-terminate", "<reason><success/></reason>" + MINE,
     ["anna0001 expire"], [GIVEN_UP % ALL], [], "ended"),
    ("J-553", offered, "session-terminate", MINE, ["anna0001 expire"], [GIVEN_UP % OWN], [], "ended"),
    ("J-554", active, "session-terminate", "<reason><connectivity-error/><text>ICE FAILED</text></reason>" + MINE +
     "restart", ["anna0001 expire"], [GIVEN_UP % ALL], [], "allocating"),
    ("J-554", offered, "session-terminate", MINE + "restart",
     ["anna0001 expire"], [GIVEN_UP % OWN], [], "allocating"),
    ("J-557", active, "session-terminate", "<reason><alternative-session/></reason>" + MINE + "restart",
     ["anna0001 expire"], [GIVEN_UP % ALL], [], "allocating"),
]


@pytest.mark.parametrize("state, action, inside, bridge, others, self, phase", [row[1:] for row in EFFECTS],
                         ids=["%s-%s-%s" % (row[0], row[2], row[1].__name__) for row in EFFECTS])
def test_effects(state: State, action: str, inside: str, bridge: List[str], others: List[str], self: List[str],
                 phase: str) -> None:
    """What follows at once, without waiting for anybody's answer (J-501, T-1); the row's own id."""
    scene, sid = state()
    for word, attributes in ((MINE + "restart", "restart='true'"), (MINE, "")):
        inside = inside.replace(word, bridge_session(scene, attributes))
    refused = bridge == ["anna0001 expire"] and "accept" in action
    assert shape(ask(scene, sid, action, inside)) == (BAD if refused else OK)
    found: Dict[str, Any] = {"bridge": to_the_bridge(scene), "bo": to_client(scene, BO), "anna": to_client(scene, ANNA)}
    assert found == {"bridge": bridge, "bo": others, "anna": self}
    assert scene.state.participants[ANNA].phase == phase
    assert is_quiet(scene), "something to nobody we know"
