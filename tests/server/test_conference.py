"""Asking for a conference and its life, with the real focus on a real Prosody (conference.md)."""

from __future__ import annotations

import base64
import hashlib
import time
from typing import Dict

import pytest

from tests.support.client import FOCUS, MUC, MUC_USER, Client
from tests.support.focus_process import FocusProcess
from tests.support.stage import (
    OPEN_MUC,
    PROXY,
    TENANT_MUC,
    Stage,
    admin_set,
    affiliation,
    answers_to,
    conference,
    destroy,
    is_ready,
    item,
    log_lines,
    owner_form,
    unavailable_focus,
)
from tests.support.wire import Stanza, escape

FOCUS_OPTIONS = ("--client_proxy=" + PROXY, "--initial_timeout=2", "--single_participant_timeout=2")
WAYS = ("user", "component", "proxy")
DISCO_INFO = "http://jabber.org/protocol/disco#info"
AT_ONCE = 4.0
"""Seconds within which a refusal must be here; the machine may be busy, a time-out of the focus is 5 s at least."""


def address(focus: FocusProcess, way: str) -> str:
    return {"user": focus.jid, "component": focus.component_jid, "proxy": PROXY}[way]


# --- the three ways, and the answer ---------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_a_request_is_answered_when_the_focus_is_in_the_room(stage: Stage, focus: FocusProcess, way: str) -> None:
    """C-101, C-102, C-104, C-107, C-109, C-120, C-122, C-221, C-420, S-730, S-731."""
    client, room = stage.client(), stage.room()
    answer = client.ask(room, address(focus, way))
    assert (answer.get("to"), answer.get("from")) == (client.jid, address(focus, way))
    element = conference(answer)
    assert {key: element.get(key) for key in ("room", "ready", "focusjid")} == {
        "room": room, "ready": "true", "focusjid": "focus@" + stage.prosody.user_domain}
    properties = {p.get("name"): p.get("value") for p in element.iter("{%s}property" % FOCUS)}
    assert properties["authentication"] == "false"
    client.join(room)
    client.wait_joined()
    assert item(client.occupants["focus"]).get("jid") == focus.jid
    assert item(client.occupants["focus"]).get("affiliation") == "owner"
    codes = {status.get("code") for status in client.occupants[client.endpoint].element.iter("{%s}status" % MUC_USER)}
    assert "100" in codes  # real JIDs are shown to everybody


def test_the_first_presence_of_the_focus_says_everything(stage: Stage) -> None:
    """C-501, C-502, C-504, C-505, C-510, C-905."""
    client, room = stage.client(), stage.room("standup")
    stage.enter(room, client)
    presences = [s for s in client.received if s.name == "presence" and s.get("from") == client.focus]
    children = {child.tag.rpartition("}")[2]: child for child in presences[0].element}
    assert children["etherpad"].text == room.partition("@")[0]
    assert [part.get("name") for part in children["versions"]] == ["focus"]
    properties = {p.get("key"): p.get("value") for p in children["conference-properties"]}
    assert properties["support-terminate-restart"] == "true"
    assert children["c"].get("hash") == "sha-1"
    assert not {"features", "nick", "stats-id", "show", "bridgeNotAvailable"} & set(children)


INVALID_ROOMS: Dict[str, str] = {
    "": "bad-request",
    "standup": "bad-request",
    "@conference.meet.example": "bad-request",
    "a@b@conference.meet.example": "jid-malformed",
    "stand up@conference.meet.example": "jid-malformed",
    "o'clock@conference.meet.example": "jid-malformed",
    "a" * 1100 + "@conference.meet.example": "jid-malformed",
    "standup@conference..example": "jid-malformed",
    "standup@-conference.meet.example": "jid-malformed",
    "standup@conference.elsewhere.example": "not-allowed",
    "standup@meet.example": "not-allowed",
    "standup@lobby.meet.example": "not-allowed",
    "standup@auth.meet.example": "not-allowed",
    "standup@internal.auth.meet.example": "not-allowed",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_room_that_cannot_be_is_refused_at_once(stage: Stage, focus: FocusProcess, way: str) -> None:
    """C-210, C-213, C-214, C-240, C-260, T-1, T-31: an error of the right kind, and no conference."""
    client = stage.client()
    begin = time.monotonic()
    conditions = {}
    to = address(focus, way)
    requests = {client.send_iq("set", to, client.conference_request(room)): room for room in INVALID_ROOMS}
    missing = client.send_iq("set", to, "<conference xmlns='%s'/>" % FOCUS)
    everything = [*requests, missing]
    stage.wait(lambda: len(answers_to(client, everything)) == len(everything), "all answered", client.summary)
    assert time.monotonic() - begin < AT_ONCE
    for answer in answers_to(client, everything):
        kind, condition, text = answer.error
        conditions[requests.get(answer.get("id"), "missing")] = condition
        assert kind == ("cancel" if condition == "not-allowed" else "modify")
        assert text
    assert conditions == dict(INVALID_ROOMS, missing="bad-request")
    assert "Joined the room" not in stage.log() and "Failed to join" not in stage.log()


def test_what_a_stranger_can_make_us_keep_is_bounded(stage: Stage, focus: FocusProcess) -> None:
    """C-216."""
    client, room = stage.client(), stage.room()
    many = "".join("<property name='p%d' value=''/>" % number for number in range(65))
    for attributes, content in (("machine-uid='%s'" % ("m" * 257), ""), ("session-id='%s'" % ("s" * 257), ""),
                                ("", many), ("", "<property name='%s' value=''/>" % ("n" * 65)),
                                ("", "<property name='n' value='%s'/>" % ("v" * 1025))):
        payload = "<conference xmlns='%s' room='%s' %s>%s</conference>" % (FOCUS, room, attributes, content)
        assert client.request("set", focus.jid, payload).error[:2] == ("modify", "bad-request"), attributes
    assert is_ready(client.ask(room, focus.jid))


def test_strange_but_valid_requests_are_served(stage: Stage, focus: FocusProcess) -> None:
    """C-201, C-202, C-204, C-250: what isn't known is ignored, and so is a session id without authentication."""
    client, room = stage.client(), stage.room()
    payload = (
        "<conference xmlns='%s' room='%s' session-id='old' ready='false' focusjid='x' color='red' token='no.jwt'>text"
        "<property name='startAudioMuted' value='many'/><property name='startAudioMuted' value='-3'/>"
        "<property name='a'/>"
        "<property value='1'/><property name='visitor' value='false'/><other xmlns='urn:example:other'><deep/></other>"
        "</conference>" % (FOCUS, room))
    assert is_ready(client.request("set", focus.jid, payload))


def test_spellings_of_one_room_are_one_conference(stage: Stage, focus: FocusProcess) -> None:
    """C-211, C-212, T-11: the normalised address is the key and the answer's room."""
    client = stage.client()
    room = stage.room("caf%c3%a9_standup-")
    odd = room.upper().replace("@CONFERENCE", "@Conference")
    for spelling in (room, odd):
        assert conference(client.ask(spelling, focus.jid)).get("room") == room
    assert stage.log().count("Joined the room") == 1


def test_rooms_of_tenants_are_ours(stage: Stage, focus: FocusProcess) -> None:
    """C-210, C-215, T-12: an underscore in the domain is a tenant's."""
    client = stage.client()
    assert is_ready(client.ask(stage.room(muc=TENANT_MUC), focus.jid))


def test_a_room_on_a_host_the_server_does_not_have_is_refused(stage: Stage, focus: FocusProcess) -> None:
    """C-430: never silence."""
    client = stage.client()
    answer = client.ask(stage.room(muc="conference.nobody." + stage.prosody.domain), focus.jid)
    assert answer.get("type") == "error" and answer.error[2]


@pytest.mark.parametrize("way", WAYS)
def test_a_hundred_requests_for_a_new_room_are_one_join(stage: Stage, focus: FocusProcess, way: str) -> None:
    """C-222, C-401, T-22: all are held until the focus is in, then answered with true."""
    client, room = stage.client(), stage.room()
    identifiers = ["burst%d" % number for number in range(100)]
    client.send("".join("<iq type='set' to='%s' id='%s'>%s</iq>" % (
        address(focus, way), identifier, client.conference_request(room)) for identifier in identifiers))
    stage.wait(lambda: len(answers_to(client, identifiers)) >= 100, "100 answers", client.summary)
    answers = answers_to(client, identifiers)
    assert sorted(answer.get("id") for answer in answers) == sorted(identifiers)
    assert all(is_ready(answer) for answer in answers)
    assert stage.log().count("Joined the room") == 1


def test_who_asks_for_too_many_rooms_is_put_off(stage: Stage, focus: FocusProcess) -> None:
    """C-226: ready='false' first, an error beyond ten times the limit; others aren't touched."""
    greedy, other = stage.client(), stage.client()
    identifiers = [greedy.send_iq("set", focus.jid, greedy.conference_request(stage.room())) for _ in range(230)]
    stage.wait(lambda: len(answers_to(greedy, identifiers)) == 230, "230 answers", greedy.summary)
    answers = answers_to(greedy, identifiers)
    refused = [answer for answer in answers if answer.get("type") == "error"]
    ready = [answer for answer in answers if answer.get("type") == "result" and is_ready(answer)]
    assert 0 < len(ready) <= 20 and len(ready) + len(refused) < 230
    assert {answer.error[:2] for answer in refused} == {("wait", "resource-constraint")}
    assert is_ready(other.ask(stage.room(), focus.jid))


# --- everything else that is asked ----------------------------------------------------------------------------------


def query(namespace: str, attributes: str = "") -> str:
    return "<query xmlns='%s'%s/>" % (namespace, attributes)


@pytest.fixture(params=[*WAYS, "room"])
def asker(stage: Stage, focus: FocusProcess, request: pytest.FixtureRequest) -> Asker:
    """A client and an address at which it reaches the focus: one of the three ways, or its occupant in the room."""
    client = stage.client()
    if request.param != "room":
        return Asker(client, address(focus, request.param), request.param)
    stage.enter(stage.room(), client)
    return Asker(client, client.focus, "room")


class Asker:
    """Asks the focus at one address."""

    def __init__(self, client: Client, to: str, way: str) -> None:
        self.client = client
        self.to = to
        self.way = way

    def __call__(self, kind: str, payload: str) -> Stanza:
        answer = self.client.request(kind, self.to, payload)
        assert (answer.get("from"), answer.get("to")) == (self.to, self.client.jid)
        return answer


def test_discovery_version_ping_and_last(asker: Asker) -> None:
    """C-901, C-903, C-904, C-906, C-907."""
    info = asker("get", query(DISCO_INFO)).element[0]
    features = {child.get("var") for child in info if child.tag.endswith("feature")}
    identity = next(child for child in info if child.tag.endswith("identity"))
    assert "http://jitsi.org/protocol/focus" in features and "urn:xmpp:ping" in features
    if asker.way == "component":
        assert (identity.get("category"), identity.get("name")) == ("component", "Jitsi Meet Focus")
    else:
        assert (identity.get("category"), identity.get("type"), identity.get("name")) == ("client", "bot", "Jicofo")
        assert "https://jitsi.org/meet/jicofo/terminate-restart" in features
    assert len(asker("get", query("http://jabber.org/protocol/disco#items")).element[0]) == 0
    version = asker("get", query("jabber:iq:version")).element[0]
    parts = {child.tag.rpartition("}")[2]: child.text for child in version}
    assert parts["name"] == "Jicofo" and parts["version"] and "os" not in parts
    ping = asker("get", "<ping xmlns='urn:xmpp:ping'/>")
    assert ping.get("type") == "result" and len(ping.element) == 0
    assert int(asker("get", query("jabber:iq:last")).element[0].get("seconds")) >= 0


def test_requests_nobody_knows_are_refused(asker: Asker) -> None:
    """C-201, C-249, C-251, C-252, C-908, T-1."""
    unknown = "<query xmlns='urn:example:unknown'/>"
    assert asker("get", unknown).error[:2] == ("cancel", "service-unavailable")
    assert asker("set", unknown).error[:2] == ("cancel", "service-unavailable")
    assert asker("get", "<conference xmlns='%s' room='a@conference.meet.example'/>" % FOCUS).error[:2] == (
        "cancel", "feature-not-implemented")
    assert asker("get", "<login-url xmlns='%s' room='a@conference.meet.example'/>" % FOCUS).error[:2] == (
        "cancel", "feature-not-implemented")
    assert asker("set", "<logout xmlns='%s' session-id='x'/>" % FOCUS).error[:2] == (
        "cancel", "feature-not-implemented")
    assert asker("get", query(DISCO_INFO, " node='urn:example:nothing'")).error[1] == "item-not-found"
    assert asker("set", query(DISCO_INFO)).error[1] == "feature-not-implemented"


@pytest.mark.parametrize("payload", ["", "<a xmlns='urn:example:a'/><b xmlns='urn:example:b'/>"])
def test_a_request_has_one_child(asker: Asker, payload: str) -> None:
    """C-908, RFC 6120 8.2.3; a server may have said so before us."""
    client = asker.client
    assert client.request("get", asker.to, payload).error[:2] == ("modify", "bad-request")


def test_the_node_of_our_caps_is_known(stage: Stage, focus: FocusProcess) -> None:
    """C-902, C-905: what the presence announces can be asked, and says what it is the hash of."""
    client = stage.client()
    stage.enter(stage.room(), client)
    caps = client.occupants["focus"].find("{http://jabber.org/protocol/caps}c")
    node = "%s#%s" % (caps.get("node"), caps.get("ver"))
    answer = client.request("get", client.focus, query(DISCO_INFO, " node='%s'" % node))
    assert answer.element[0].get("node") == node
    features = sorted(child.get("var") for child in answer.element[0] if child.tag.endswith("feature"))
    text = "client/bot//Jicofo<" + "".join(feature + "<" for feature in features)
    assert base64.b64encode(hashlib.sha1(text.encode()).digest()).decode() == caps.get("ver")


def test_jingle_without_a_conference_is_answered(stage: Stage, focus: FocusProcess) -> None:
    """J-503, J-106: at the user's address and at the component's, no session exists."""
    client = stage.client()
    for to in (focus.jid, focus.component_jid):
        answer = client.request("set", to, "<jingle xmlns='urn:xmpp:jingle:1' action='session-terminate' sid='x'/>")
        assert answer.error[:2] == ("cancel", "item-not-found")


# --- who moderates --------------------------------------------------------------------------------------------------


def wait_owner(stage: Stage, client: Client) -> None:
    stage.wait(lambda: affiliation(client) == "owner", "%s is owner" % client.endpoint, client.summary)


def test_the_first_participant_is_made_owner_and_then_the_next(stage: Stage) -> None:
    """C-110, M-210, M-220, M-221: one owner; when it leaves, who came next after it."""
    first, second, third, room = stage.client(), stage.client(), stage.client(), stage.room()
    stage.enter(room, first)
    wait_owner(stage, first)
    stage.enter(room, second)
    stage.enter(room, third)
    stage.never(lambda: affiliation(second) == "owner" or affiliation(third) == "owner", 0.5, "two owners")
    first.leave()
    wait_owner(stage, second)
    assert affiliation(third) != "owner"
    second.close()
    wait_owner(stage, third)


def test_an_owner_who_is_there_already_stays_the_only_one(stage: Stage) -> None:
    """M-220, M-221: an administrator of the server is owner by itself."""
    admin, guest, room = stage.account("jvb"), stage.client(), stage.room()
    stage.enter(room, admin)
    stage.enter(room, guest)
    assert affiliation(guest, admin.endpoint) == "owner"
    stage.never(lambda: affiliation(guest) == "owner", 0.5, "a second owner")
    admin.leave()
    wait_owner(stage, guest)


# --- time-outs and ends ---------------------------------------------------------------------------------------------


def test_a_room_nobody_enters_is_left(stage: Stage, focus: FocusProcess) -> None:
    """C-266, C-801, C-807, C-820."""
    client, room = stage.client(), stage.room()
    assert is_ready(client.ask(room, focus.jid))
    assert stage.exists(client, room)
    stage.wait_no_room(client, room)
    assert is_ready(client.ask(room, focus.jid))  # and a new request makes a new conference


def test_each_request_starts_the_initial_time_anew(stage: Stage, focus: FocusProcess) -> None:
    """C-223, C-801: as long as somebody asks, the room is kept."""
    client, room = stage.client(), stage.room()
    client.ask(room, focus.jid)
    until = time.monotonic() + 4.5
    while time.monotonic() < until:
        stage.loop.run_for(0.9)
        assert is_ready(client.ask(room, focus.jid))
    assert stage.log().count("Joined the room") == 1


def test_alone_for_long_the_session_ends_and_begins_anew(stage: Stage) -> None:
    """C-802, C-808, J-126: expired, the member stays, the next one starts everything with the same meeting id."""
    bridge = stage.bridge()
    one, two, three, room = stage.client(), stage.client(), stage.client(), stage.room()
    stage.call(room, one, two)
    meeting = bridge.requests[0].meeting_id
    two.leave()
    session = one.wait_session(state="ended")
    assert session.end_reason == "expired" and "Idle session timeout" in repr(session.end)
    stage.wait(lambda: not bridge.leaks(), "the bridge is empty", bridge.leaks)
    assert one.joined and not unavailable_focus(one)
    stage.enter(room, three)
    stage.wait_call(one, three)
    assert len(one.sessions) == 2 and one.sessions[0].sid != one.sessions[1].sid
    assert {request.meeting_id for request in bridge.requests} == {meeting}


def test_a_room_all_have_left_is_left_by_the_focus(stage: Stage) -> None:
    """C-705, C-810, C-820, C-821: no session-terminate; the bridge is empty; the room is gone."""
    bridge = stage.bridge()
    watcher, one, two, room = stage.client(), stage.client(), stage.client(), stage.room()
    stage.call(room, one, two)
    one.leave()
    two.leave()
    stage.wait_no_room(watcher, room)
    assert not bridge.leaks()
    assert b"session-terminate" not in b"".join(s.raw for s in [*one.received, *two.received])


def test_who_was_promised_a_room_finds_the_focus_in_it(stage: Stage, focus: FocusProcess) -> None:
    """C-816, C-817: the last one leaves between the answer and the join."""
    one, late, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, one)
    assert is_ready(late.ask(room, focus.jid))
    one.leave()
    stage.never(lambda: "Stopped." in stage.log_of(room), 1.4, "the conference ended")
    late.join(room)
    late.wait_joined()
    assert "focus" in late.occupants and not unavailable_focus(late)
    assert stage.log().count("Joined the room") == 1


def test_the_last_one_goes_to_a_breakout_room(stage: Stage) -> None:
    """C-812: the initial time runs instead of the end."""
    one, watcher, room = stage.client(), stage.client(), stage.room()
    stage.enter(room, one)
    one.send("<presence type='unavailable' to='%s'><status>switch_room</status></presence>" % one.occupant)
    stage.never(lambda: not stage.exists(watcher, room), 1.4, "the room is gone")
    stage.wait_no_room(watcher, room)


def test_a_destroyed_room_ends_the_conference(stage: Stage, focus: FocusProcess) -> None:
    """C-713, T-28: the bridge is emptied, and the same room can be had again."""
    bridge, admin = stage.bridge(), stage.account("jvb")
    one, two, room = stage.client(), stage.client(), stage.room()
    stage.call(room, one, two)
    assert admin.request("set", room, destroy("over")).get("type") == "result"
    stage.wait_log("The room was destroyed: over")
    stage.wait(lambda: not bridge.leaks(), "the bridge is empty", bridge.leaks)
    stage.wait(lambda: not one.joined and not two.joined, "they are out")
    stage.call(room, one, two)


def kick(admin: Client, room: str, nick: str = "focus") -> None:
    """An administrator, who is owner, takes an occupant's role."""
    payload = admin_set("<item nick='%s' role='none'/>" % nick)
    answer = admin.request("set", room, payload)
    assert answer.get("type") == "result", repr(answer)


def test_a_kicked_focus_comes_back_and_the_call_goes_on(stage: Stage) -> None:
    """C-711, C-712, T-19: sessions, bridge and moderator stay; a third one joins the same call."""
    bridge, admin = stage.bridge(), stage.account("jvb")
    one, two, three, room = stage.client(), stage.client(), stage.client(), stage.room()
    for client in (one, two):
        client.hooks.append(ignores_focus_leaving)
    stage.call(room, one, two)
    creations = len(bridge.requests_of(kind="create-endpoint"))
    admin.room = room
    admin.send(admin.presence("<x xmlns='%s'/>" % MUC))
    admin.wait_joined()
    kick(admin, room)
    stage.wait(lambda: unavailable_focus(admin), "the focus was kicked")
    admin.wait(lambda: "focus" in admin.occupants, 10, "the focus is back")
    stage.enter(room, three)
    stage.wait(lambda: three.session is not None and three.session.state == "active", "the third is in", stage.log)
    assert three.others.keys() >= {one.endpoint, two.endpoint}
    stage.wait(lambda: three.endpoint in one.remote and three.endpoint in two.remote, "told of the third")
    for client in (one, two):
        assert len(client.sessions) == 1 and client.session is not None and client.session.end is None
    assert one.endpoint in {e for r in bridge.requests for e in r.endpoints}
    assert len(bridge.requests_of(kind="create-endpoint")) == creations + 2  # the third and the administrator


def ignores_focus_leaving(stanza: Stanza) -> bool:
    """A hook: these clients take no notice of the focus going (a web client would reload, C-123)."""
    return stanza.name == "presence" and stanza.get("type") == "unavailable" and stanza.get("from").endswith("/focus")


# --- rooms that don't let us in -------------------------------------------------------------------------------------


def enter_first(client: Client, room: str, nick: str = "") -> None:
    """Join a room without asking the focus, and make it thereby."""
    client.endpoint = nick or client.endpoint
    client.join(room)
    client.wait_joined()


def test_members_who_were_there_before_the_focus_are_invited(stage: Stage, focus: FocusProcess) -> None:
    """C-412, C-416, C-433: and they see the focus's real JID although the room hid it until then (C-121)."""
    stage.bridge()
    one, two, room = stage.client(), stage.client(), stage.room(muc=OPEN_MUC)
    enter_first(one, room)
    enter_first(two, room)
    assert is_ready(one.ask(room, focus.jid))
    stage.wait_call(one, two)
    assert item(two.occupants["focus"]).get("jid") == focus.jid


def test_a_guest_on_our_nickname_is_put_out(stage: Stage, focus: FocusProcess) -> None:
    """C-431: banned, entered, and the ban lifted again."""
    stage.bridge()
    impostor, one, two, room = stage.client(), stage.client(), stage.client(), stage.room(muc=OPEN_MUC)
    endpoint = impostor.endpoint
    enter_first(impostor, room, "focus")
    stage.enter(room, one)
    assert item(one.occupants["focus"]).get("jid") == focus.jid
    impostor.wait(lambda: not impostor.joined, 5, "put out")
    stage.enter(room, two)
    stage.wait_call(one, two)
    impostor.endpoint, impostor.received = endpoint, []
    enter_first(impostor, room)  # not banned for good


def test_an_administrator_on_our_nickname_stays(stage: Stage, focus: FocusProcess) -> None:
    """C-430, C-431: whom we can't put out; the client is told."""
    admin, one, room = stage.account("jvb"), stage.client(), stage.room()
    enter_first(admin, room, "focus")
    assert one.ask(room, focus.jid).error[:2] == ("cancel", "conflict")
    admin.leave()
    stage.wait_no_room(one, room)
    assert is_ready(one.ask(room, focus.jid))


def test_a_room_with_a_password_is_entered(stage: Stage, focus: FocusProcess) -> None:
    """C-432: an owner may read the password."""
    admin, one, room = stage.account("jvb"), stage.client(), stage.room()
    enter_first(admin, room)
    secret = "<&'\"> 42"
    assert admin.request("set", room, owner_form(roomsecret=secret, passwordprotectedroom="1")).get("type") == "result"
    assert is_ready(one.ask(room, focus.jid))
    admin.wait(lambda: "focus" in admin.occupants, 5, "the focus is in")
    assert secret not in stage.log() and escape(secret) not in stage.log()
    one.join(room, "<x xmlns='%s'/>" % MUC)
    stage.wait(lambda: any(s.get("type") == "error" and s.name == "presence" for s in one.received), "still locked")


def test_a_room_for_members_only_is_entered(stage: Stage, focus: FocusProcess) -> None:
    """C-430: as owner we are a member."""
    admin, one, room = stage.account("jvb"), stage.client(), stage.room()
    enter_first(admin, room)
    assert admin.request("set", room, owner_form(membersonly="1")).get("type") == "result"
    assert is_ready(one.ask(room, focus.jid))


def test_a_focus_without_rights_says_what_is_missing(stage: Stage, focus: FocusProcess) -> None:
    """C-122, C-430, U-1, U-10: not among the `admins`; rooms others made are entered, under the nickname focus."""
    poor = FocusProcess(stage.prosody, component=False, options=["--user_name=jibri"],
                        environment={"JICOFO_AUTH_PASSWORD": stage.prosody.passwords["jibri"]})
    one, two = stage.client(), stage.client()
    jid = "jibri@%s/jibri" % stage.prosody.user_domain
    with poor:
        stage.wait(lambda: "Registered" in poor.log(), "logged in", poor.log)
        answer = one.ask(stage.room(), jid)
        assert answer.error[:2] == ("cancel", "internal-server-error")
        assert "admins" in answer.error[2] and "U-10" in answer.error[2]
        lines = [line for line in log_lines(poor.log(), "SEVERE") if "admins" in line and "may not enter" in line]
        assert len(lines) == 1
        room = stage.room(muc=OPEN_MUC)
        stage.enter(room, two, address=jid)
        assert item(two.occupants["focus"]).get("jid") == jid


# --- strange members ------------------------------------------------------------------------------------------------


def test_members_that_cannot_be_invited_do_not_disturb(stage: Stage) -> None:
    """C-603, C-621, C-633, T-15: an endless nickname, SourceInfo that is no JSON, none at all, values of all kinds."""
    stage.bridge()
    one, two, room = stage.client(), stage.client(), stage.room()
    endless, odd = stage.client(), stage.client()
    endless.endpoint = "x" * 80
    stage.enter(room, odd)
    endless.join(room)
    endless.wait_joined()
    for text in ("", "{", "[]", '{"a":5}', '{"%s-v0":{"videoType":7}}' % odd.endpoint, '{"a":{"muted":"yes"}}', "null"):
        odd.send(odd.presence(source_info=text))
    odd.send("<presence to='%s'/>" % odd.occupant)
    stage.enter(room, one, two)
    stage.wait_call(one, two, odd)
    assert endless.session is None and "isn't invited" in stage.log()


def test_a_changed_nickname_is_a_new_endpoint(stage: Stage) -> None:
    """C-703, T-29: leave and join; a new session under the new id."""
    bridge = stage.bridge()
    one, two, room = stage.client(), stage.client(), stage.room()
    stage.call(room, one, two)
    old, new = two.endpoint, "cafe%s" % two.endpoint[:4]
    two.answer_jingle = False  # until it has its new name
    two.endpoint = new
    two.send(two.presence())
    stage.wait(lambda: bridge.endpoint(new) is not None and bridge.endpoint(old) is None, "it moved", stage.log)
    one.wait(lambda: old not in one.remote, 10, "old sources gone")


def test_two_connections_under_one_nickname_are_one_member(stage: Stage) -> None:
    """C-704: until the last of them goes."""
    bridge = stage.bridge()
    one, room = stage.client(), stage.room()
    first = stage.account("jigasi", "first", endpoint="abcd1234")
    second = stage.account("jigasi", "second", endpoint="abcd1234")
    stage.call(room, one, first)
    second.answer_jingle = False
    stage.enter(room, second)
    second.leave()
    stage.never(lambda: bridge.endpoint("abcd1234") is None, 0.7, "the endpoint was expired")
    assert len(first.sessions) == 1 and first.session is not None and first.session.state == "active"
    first.leave()
    stage.wait(lambda: bridge.endpoint("abcd1234") is None, "the endpoint is expired")
