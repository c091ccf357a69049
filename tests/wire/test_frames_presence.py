"""Presences: what rooms say, what members say, what bridges report, what the focus publishes."""
from __future__ import annotations

import json
from typing import Any, Optional, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from focus.stanzas.bridge_stats import BridgeStats, write_bridge_stats
from focus.stanzas.caps import Caps
from focus.stanzas.disco import focus_caps
from focus.stanzas.focus_presence import FocusPresence, parse_focus_presence, write_focus_presence
from focus.stanzas.member import FEATURE_JIBRI, MemberInfo, read_member, write_member
from focus.stanzas.muc import (
    Destroy,
    MucItem,
    MucJoin,
    MucUser,
    parse_muc_join,
    write_muc_join,
    write_muc_user,
)
from focus.stanzas.source_info import SourceState, parse_source_info, write_source_info
from focus.stanzas.stanza import Presence, parse_stanza, write_presence
from tests.wire.captures import CALLS, canonical, element, read_capture

ROOM = "standup@conference.meet.example"
OCCUPANT = ROOM + "/1a2b3c4d"
MUC_USER = "http://jabber.org/protocol/muc#user"
ITEM = "<x xmlns='%s'><item affiliation='none' role='participant' jid='anna@meet.example/x7'/></x>" % MUC_USER


def presence(inside: str, type: str = "") -> Presence:
    stanza = parse_stanza(element(write_presence("focus@auth.meet.example/focus", type, inside, from_=OCCUPANT)))
    assert isinstance(stanza, Presence)
    return stanza


# --- rooms ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("user", [
    MucUser(),
    MucUser((MucItem("a@b/c", "owner", "moderator"),), (201, 100, 110)),
    MucUser((MucItem("a@b/c", "none", "participant"), MucItem("a@b/d", "none", "participant"))),
    MucUser((MucItem("a@b/c", "owner", "moderator", None, "since <you> ask", "f@b/focus", "focus"),)),
    MucUser((MucItem(None, "none", "none", "new-nick"),), (303,)),
    MucUser((MucItem(None, "none", "none"),), (), Destroy("over & out", "other@conference.meet.example")),
    MucUser((), (), Destroy()),
])
def test_what_rooms_say_round_trips(user: MucUser) -> None:
    assert presence(write_muc_user(user)).muc == user


def test_a_presence_without_a_word_of_the_room() -> None:
    stanza = presence("<x xmlns='other'/>")
    assert stanza.muc == MucUser() and stanza.muc.item is None
    assert stanza.affiliation is None and not stanza.destroyed and stanza.status_codes == ()


def test_what_a_conference_asks_of_its_own_presence() -> None:
    stanza = presence("<x xmlns='%s'><item affiliation='owner' role='moderator'/><status code='110'/>"
                      "<destroy><reason>late</reason></destroy></x>" % MUC_USER, "unavailable")
    assert stanza.affiliation == "owner" and stanza.muc.is_self and stanza.status_codes == (110,)
    assert stanza.destroyed and stanza.destroy_reason == "late"  # T-28


def test_what_rooms_say_is_read_as_far_as_it_can_be() -> None:
    stanza = presence(
        "<x xmlns='%s'><item affiliation='emperor' role='jester' jid=''/><item xmlns='y' jid='z'/>"
        "<status code='abc'/><status/><status code='١٠٠'/><status code='99999999999999999999999'/>"
        "<status code='307'/></x>" % MUC_USER)
    assert stanza.muc == MucUser((MucItem(),), (307,))


@pytest.mark.parametrize("join", [MucJoin(), MucJoin(""), MucJoin("pass <word>")])
def test_joins_round_trip(join: MucJoin) -> None:
    assert parse_muc_join(presence(write_muc_join(join)).element) == join
    assert parse_muc_join(presence("").element) is None


# --- members --------------------------------------------------------------------------------------------------------

MEMBERS = (
    MemberInfo(role="participant", real_jid="anna@meet.example/x7", connections=1),
    MemberInfo(
        "participant", "anna@meet.example/x7", 2,
        (SourceState("1a2b3c4d-a0", "audio", False), SourceState("1a2b3c4d-v0", "video", True, "camera"),
         SourceState("1a2b3c4d-v1", "video", False, "desktop"), SourceState("odd")),
        False, False, "Jerrell-Ls5", "eu-west", ("av1", "vp8"), True, (FEATURE_JIBRI, "x"),
        Caps("https://jitsi.org/jitsi-meet", "abc=", "sha-1"), "switch_room", True, (True, False)),
    MemberInfo("participant", None, 1, audio_muted=False),
    MemberInfo(),
)


@pytest.mark.parametrize("member", MEMBERS)
def test_members_round_trip(member: MemberInfo) -> None:
    stanza = presence(write_member(member))
    assert read_member(stanza) == member
    assert read_member(presence(write_member(member)), member) is member  # C-636: nothing changed


def test_the_same_on_a_component_s_stream() -> None:
    text = write_presence("a", "", write_member(MEMBERS[1]))
    for namespace in ("jabber:component:accept", ""):
        stanza = parse_stanza(etree.fromstring(text.replace("<presence", "<presence xmlns='%s'" % namespace)))
        assert isinstance(stanza, Presence)
        assert read_member(stanza) == MEMBERS[1] and stanza.status == "switch_room"


def test_a_presence_without_item_changes_neither_role_nor_jid() -> None:
    before = read_member(presence(ITEM))
    assert (before.role, before.real_jid) == ("participant", "anna@meet.example/x7")
    after = read_member(presence("<stats-id>x</stats-id>"), before)
    assert (after.role, after.real_jid, after.stats_id) == (before.role, before.real_jid, "x")  # T-30
    assert read_member(presence("")).role == "visitor"  # C-604
    no_jid = "<x xmlns='%s'><item affiliation='owner' role='moderator'/></x>" % MUC_USER
    owner = read_member(presence(no_jid), before)
    assert (owner.role, owner.real_jid) == ("owner", before.real_jid)  # C-606


def test_the_first_of_several_items_counts() -> None:
    two = ITEM.replace("</x>", "<item affiliation='owner' role='moderator' jid='anna@meet.example/y8'/></x>")
    member = read_member(presence(two))
    assert (member.role, member.real_jid, member.connections) == ("participant", "anna@meet.example/x7", 2)  # C-704


def test_the_region_is_kept_and_the_rest_is_not() -> None:
    before = read_member(presence("<jitsi_participant_region>eu</jitsi_participant_region><stats-id>a</stats-id>"
                                  "<features><feature var='x'/></features>"))
    after = read_member(presence(""), before)
    assert (after.region, after.stats_id, after.features) == ("eu", None, ())  # C-623


def source_info(text: str) -> str:
    return "<SourceInfo>%s</SourceInfo>" % text.replace("&", "&amp;").replace("<", "&lt;")


@pytest.mark.parametrize("inside, muted", [
    ("", (True, True)),  # C-634: muted before any information
    ("<audiomuted>false</audiomuted><videomuted>TRUE</videomuted>", (False, True)),  # C-621
    ("<audiomuted/><videomuted>no</videomuted>", (False, False)),
    (source_info("{}") + "<audiomuted>false</audiomuted>", (True, True)),  # only where SourceInfo is missing
    (source_info('{"a-a0":{"muted":false}}'), (False, True)),
    (source_info('{"a-a0":{"muted":true},"a-v0":{"muted":false}}'), (True, False)),
    (source_info('{"a-a0":{},"a-v0":{"videoType":"camera"}}'), (True, True)),
    (source_info('{"a-v0":{"muted":true},"a-v1":{"muted":false,"videoType":"desktop"}}'), (True, False)),
    (source_info('{"odd":{"muted":false}}'), (True, True)),
])
def test_mute_states(inside: str, muted: Tuple[bool, bool]) -> None:
    member = read_member(presence(inside))
    assert (member.audio_muted, member.video_muted) == muted


@pytest.mark.parametrize("text", [
    "", " ", "{", "[]", "null", "7", '"x"', '{"a":1}', '{"a":null}', '{"a":{"videoType":1}}', '{"a":{"videoType":{}}}',
    '{"a":NaN}', '{"a":{"muted":Infinity}}', "[" * 60_000, '{"a":' * 10_000, '{"a":{},}', "{'a':{}}",
    '{"a":{}}' + " " * 66_000, json.dumps({"s%d" % i: {} for i in range(101)}), '{"\\ud800":{}}', "\ufeff{}",
])
def test_source_info_that_is_ignored(text: str) -> None:
    before = read_member(presence(source_info('{"a-a0":{"muted":false}}')))
    after = read_member(presence(source_info(text) + "<audiomuted>true</audiomuted>"), before)
    assert after.sources == before.sources and not after.audio_muted  # C-633: the state before is kept
    assert read_member(presence(source_info(text))).sources == ()


@pytest.mark.parametrize("text, state", [
    ('{"x-a0":{}}', SourceState("x-a0", "audio", True)),
    ('{"x-v3":{"mediaType":"smell"}}', SourceState("x-v3", "video", True)),
    ('{"x-v0":{"mediaType":"audio","muted":false}}', SourceState("x-v0", "audio", False)),
    ('{"x-v0":{"mediaType":7,"muted":"no"}}', SourceState("x-v0", "video", True)),
    ('{"x-v0":{"videoType":"hologram"}}', SourceState("x-v0", "video", True, None)),
    ('{"x-v0":{"videoType":null}}', SourceState("x-v0", "video", True, None)),
    ('{"x-v0":{"videoType":"desktop","other":[[{}]]}}', SourceState("x-v0", "video", True, "desktop")),
    ('{"-":{}}', SourceState("-", None)),
    ('{"":{}}', SourceState("", None)),
    ('{"\\"<\'&":{}}', SourceState("\"<'&", None)),
    ('{"x":{"muted":%s}}' % ("9" * 5000), SourceState("x", None, True)),
])
def test_source_info_that_is_read(text: str, state: SourceState) -> None:
    assert parse_source_info(text) == (state,)


source_states = st.builds(
    SourceState, st.text(st.characters(codec="utf-8"), max_size=12),
    st.sampled_from(("audio", "video")), st.booleans(), st.sampled_from((None, "camera", "desktop")))


@given(st.lists(source_states, max_size=8, unique_by=lambda state: state.name))
def test_source_info_round_trips(states: Any) -> None:
    assert parse_source_info(write_source_info(tuple(states))) == tuple(states)


@given(st.text(max_size=80) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
).map(json.dumps))
def test_source_info_never_raises(text: str) -> None:
    states = parse_source_info(text)
    assert states is None or all(isinstance(state, SourceState) for state in states)


@pytest.mark.parametrize("inside, codecs", [
    ("<jitsi_participant_codecList>AV1, vp9,,VP8</jitsi_participant_codecList>", ("av1", "vp9", "vp8")),
    ("<jitsi_participant_codecList>av1</jitsi_participant_codecList>", ("av1", "vp8")),  # C-624
    ("<jitsi_participant_codecType>VP9</jitsi_participant_codecType>", ("vp9", "vp8")),
    ("<jitsi_participant_codecType>vp9</jitsi_participant_codecType>"
     "<jitsi_participant_codecList>h264</jitsi_participant_codecList>", ("h264", "vp8")),
    ("<jitsi_participant_codecList/>", ("vp8",)),
    ("", None),
])
def test_codecs(inside: str, codecs: Optional[Tuple[str, ...]]) -> None:
    assert read_member(presence(inside)).codecs == codecs


def test_odds_and_ends_of_members() -> None:
    member = read_member(presence(
        "<userinfo xmlns='http://jitsi.org/jitmeet/userinfo'><robot>true</robot></userinfo>"
        "<startmuted xmlns='http://jitsi.org/jitmeet/start-muted' audio='true' video='false'/>"
        "<features><feature var='%s'/><feature/><other var='x'/></features>"
        "<stats-id> Anna-x </stats-id><stats-id>second</stats-id><status>switch_room</status>"
        "<c xmlns='http://jabber.org/protocol/caps' node='n'/>" % FEATURE_JIBRI))
    assert member.robot and member.start_muted == (True, False)  # C-631, C-632
    assert member.features == (FEATURE_JIBRI,) and member.claims_service  # S-120
    assert member.stats_id == "Anna-x" and member.status == "switch_room" and member.caps is None
    assert not read_member(presence("<features xmlns='other'><feature var='x'/></features>")).features


def test_what_members_can_make_us_keep_is_bounded() -> None:
    member = read_member(presence(
        "<stats-id>%s</stats-id><features>%s</features><jitsi_participant_codecList>%s</jitsi_participant_codecList>"
        "<c xmlns='http://jabber.org/protocol/caps' node='%s' ver='x'/><status>%s</status>" % (
            "a" * 100_000, "<feature var='b'/>" * 5000, "vp9," * 50_000, "n" * 300, "s" * 100_000)))
    assert len(member.stats_id or "") == 256 and len(member.features) == 100 and len(member.status) == 256
    assert member.codecs is not None and len(member.codecs) <= 21 and member.caps is None


# --- the focus ------------------------------------------------------------------------------------------------------

STATES = (
    FocusPresence(),
    FocusPresence(focus_caps(), "standup", "1.0.0", {"support-terminate-restart": "true", "bridge-count": "1"}),
    FocusPresence(focus_caps(), "a <pad>", None, {}, True),
)


@pytest.mark.parametrize("state", STATES)
def test_the_focus_s_presence_round_trips(state: FocusPresence) -> None:
    assert parse_focus_presence(presence(write_focus_presence(state)).element) == state


def test_the_focus_s_presence_in_full() -> None:
    state = FocusPresence(focus_caps(), "p", "1", {"k": "v"}, True, ("<recording xmlns='x' status='off'/>",))
    joining = presence(write_focus_presence(state, MucJoin("secret"))).element
    names = [etree.QName(child).localname for child in joining]
    assert names == ["x", "c", "etherpad", "versions", "conference-properties", "bridgeNotAvailable", "recording"]
    again = presence(write_focus_presence(state)).element
    assert [etree.QName(child).localname for child in again] == names[1:]  # C-417
    assert again.find("{*}conference-properties")[0].get("key") == "k"  # C-510


# --- bridges --------------------------------------------------------------------------------------------------------

ALL_STATS = BridgeStats(0.24, 0.01, False, False, True, "2.3", "r1", "eu-west", "10.0.0.5:4096", True,
                        "2026-08-01 10:00:00.000")


@pytest.mark.parametrize("stats", [BridgeStats(), ALL_STATS, BridgeStats(stress_level=1.5, drain=False)])
def test_statistics_round_trip(stats: BridgeStats) -> None:
    assert presence(write_bridge_stats(stats, conferences=3, muc_clients_configured=1)).stats == stats
    assert presence("<stats xmlns='other'/>").stats is None  # B-105


def stat(name: str, value: str) -> str:
    return "<stats xmlns='http://jitsi.org/protocol/colibri'><stat name='%s' value='%s'/></stats>" % (name, value)


@pytest.mark.parametrize("value, number", [
    ("0.5", 0.5), ("0", 0.0), ("1.5e-3", 0.0015), ("2.", 2.0), ("+1", 1.0),
    ("", None), ("x", None), ("nan", None), ("inf", None), ("-1", None), ("1_0", None), ("1,5", None), ("٣", None),
    ("9" * 400, None), ("0x10", None), (" 1", None),
])
def test_numbers(value: str, number: Optional[float]) -> None:
    stats = presence(stat("stress_level", value)).stats
    assert stats is not None and stats.stress_level == number  # B-120: what can't be parsed is missing


@pytest.mark.parametrize("value, flag", [("true", True), ("TRUE", True), ("1", False), ("yes", False), ("", False)])
def test_flags(value: str, flag: bool) -> None:
    stats = presence(stat("drain", value)).stats
    assert stats is not None and stats.drain is flag


def test_the_first_of_a_name_counts() -> None:
    stats = presence("<stats xmlns='http://jitsi.org/protocol/colibri'><stat name='region' value='a'/>"
                     "<stat name='region' value='b'/><stat/><stat name='version'/></stats>").stats
    assert stats == BridgeStats(region="a")


# --- captured -------------------------------------------------------------------------------------------------------

#: Children of a member's presence that don't matter to the focus (C-635), and what servers and libraries add.
DROPPED_OF_MEMBERS = ("occupant-id", "nick", "priority", "actor", "reason", "presence/@id", "presence/@lang")
PRESENCES = [(call, line) for call in CALLS for line in read_capture(call) if line.element.tag == "presence"]


def sort_of(el: Any) -> str:
    if el.find("{http://jitsi.org/protocol/colibri}stats") is not None:
        return "bridge"
    nick = (el.get("from") or el.get("to")).partition("/")[2]
    if nick == "focus":
        return "focus"
    return "gone" if el.get("type") else "member"


def captured(sort: str) -> Any:
    return [pytest.param(line.element, id="%s:%d" % (call, line.number)) for call, line in PRESENCES
            if sort_of(line.element) == sort]


def normal(el: Any) -> Any:
    """A copy with the JSON text in one spelling, and the codec where newer clients write it."""
    copy: Any = etree.fromstring(etree.tostring(el))
    for info in copy.iter("SourceInfo"):
        info.text = write_source_info(parse_source_info(info.text) or ())
    for codec in copy.iter("jitsi_participant_codecType"):
        codec.tag = "jitsi_participant_codecList"
    return copy


@pytest.mark.parametrize("el", captured("member"))
def test_captured_members_come_back(el: Any) -> None:
    stanza = parse_stanza(el)
    assert isinstance(stanza, Presence) and stanza.muc.item is not None
    item = stanza.muc.item
    member = read_member(stanza)
    assert member.real_jid == item.jid and member.role in ("owner", "participant")
    assert member.caps is not None and member.stats_id
    written = write_presence(stanza.to, "", write_member(member, item.affiliation or "", item.role or ""),
                             from_=stanza.from_)
    # Old mute elements beside SourceInfo don't count, and without either we write both (C-621).
    dropped = list(DROPPED_OF_MEMBERS) + ["audiomuted", "videomuted"]
    if el.find("SourceInfo") is not None and not member.sources:
        dropped.append("SourceInfo")
    assert canonical(etree.fromstring(written), dropped) == canonical(normal(el), dropped)


@pytest.mark.parametrize("el", captured("gone"))
def test_captured_leaves(el: Any) -> None:
    stanza = parse_stanza(el)
    assert isinstance(stanza, Presence)
    assert stanza.type == "unavailable" and stanza.muc.item is not None and stanza.muc.item.role == "none"


@pytest.mark.parametrize("el", captured("focus"))
def test_captured_presences_of_the_focus_come_back(el: Any) -> None:
    stanza = parse_stanza(el)
    assert isinstance(stanza, Presence)
    parts = write_focus_presence(parse_focus_presence(el), parse_muc_join(el))
    if stanza.muc.items:
        parts += write_muc_user(stanza.muc)
    written = write_presence(stanza.to, "", parts, from_=stanza.from_ or None)
    dropped = ("priority", "occupant-id", "presence/@id", "presence/@lang")
    assert canonical(etree.fromstring(written), dropped) == canonical(el, dropped)


@pytest.mark.parametrize("el", captured("bridge"))
def test_captured_statistics_come_back(el: Any) -> None:
    stanza = parse_stanza(el)
    assert isinstance(stanza, Presence) and stanza.stats is not None
    assert stanza.stats.stress_level is not None and stanza.stats.current_timestamp and stanza.stats.version
    written = etree.fromstring(write_bridge_stats(stanza.stats))
    seen = {s.get("name"): s.get("value") for s in el.iter("{http://jitsi.org/protocol/colibri}stat")}
    assert len(seen) >= 79  # B-126
    for s in written:
        assert s.get("value") == seen[s.get("name")]
    kept = set(BridgeStats._fields) & set(seen)
    assert {s.get("name") for s in written} == kept


def test_enough_was_captured() -> None:
    counts = {sort: len(captured(sort)) for sort in ("bridge", "focus", "gone", "member")}
    assert sum(counts.values()) == len(PRESENCES) and min(counts.values()) >= 3, counts
