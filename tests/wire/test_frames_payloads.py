"""IQ payloads of the focus's small protocols: value -> XML -> value, bounds, and the captured ones both ways."""
from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from focus.stanzas import conference_iq, disco, forms, muc, mute, small
from focus.stanzas.caps import Caps, compute_ver, verification_text, verify
from focus.stanzas.conference_iq import ConferenceAnswer, ConferenceRequest
from focus.stanzas.disco import DiscoInfo, DiscoInfoRequest, DiscoItem, DiscoItems, DiscoItemsRequest, Identity
from focus.stanzas.forms import Field, Form, RoomConfigForm, RoomConfigGet, RoomConfigSubmit, RoomDestroy
from focus.stanzas.muc import AdminGet, AdminItem, AdminItems, AdminSet
from focus.stanzas.mute import Mute
from focus.stanzas.stanza import Iq, Malformed, parse_stanza, write_iq
from tests.wire.captures import CALLS, canonical, element, payloads, read_capture

FOCUS = "http://jitsi.org/protocol/focus"
ROOM = "standup@conference.meet.example"


def payload_of(iq: Any) -> Any:
    stanza = parse_stanza(iq)
    assert isinstance(stanza, Iq)
    return stanza.payload


def read(iq_type: str, payload_xml: str) -> Any:
    return payload_of(element(write_iq(iq_type, "1", "a@b/c", payload_xml)))


WRITERS: Dict[type, Callable[[Any], str]] = {
    ConferenceRequest: conference_iq.write_conference_request,
    ConferenceAnswer: conference_iq.write_conference_answer,
    DiscoInfoRequest: disco.write_disco_info_request,
    DiscoInfo: disco.write_disco_info,
    DiscoItemsRequest: disco.write_disco_items_request,
    DiscoItems: disco.write_disco_items,
    RoomConfigGet: forms.write_room_owner,
    RoomConfigForm: forms.write_room_owner,
    RoomConfigSubmit: forms.write_room_owner,
    RoomDestroy: forms.write_room_owner,
    AdminGet: muc.write_admin_get,
    AdminItems: muc.write_admin_items,
    AdminSet: muc.write_admin_set,
    Mute: mute.write_mute,
    small.Ping: lambda _: small.write_ping(),
    small.HealthCheck: lambda _: small.write_health_check(),
    small.VersionRequest: small.write_version,
    small.Version: small.write_version,
    small.LastActivityRequest: small.write_last_activity,
    small.LastActivity: small.write_last_activity,
    small.LoginUrlRequest: small.write_login_url,
    small.LoginUrl: small.write_login_url,
    small.LogoutRequest: small.write_logout,
    small.Logout: small.write_logout,
}

VALUES: Tuple[Tuple[str, Any], ...] = (
    ("set", ConferenceRequest(ROOM)),
    ("set", ConferenceRequest(ROOM, "uid", "session", "eyJ.x.y", {"startAudioMuted": "10", "visitors-version": "1"})),
    ("result", ConferenceAnswer(ROOM, True, "focus@auth.meet.example", {"authentication": "false"})),
    ("result", ConferenceAnswer(ROOM, False)),
    ("result", ConferenceAnswer(ROOM, True, "f@a", {}, "session", "anna@b", "v0")),
    ("get", DiscoInfoRequest()),
    ("get", DiscoInfoRequest("node#ver")),
    ("result", DiscoInfo("n", (Identity("client", "web", "It's <me>", "de"),), ("a", "b"),
                         (Form("result", (Field("FORM_TYPE", "hidden", ("x",)), Field("a", "", ("1", "2")))),))),
    ("result", DiscoInfo()),
    ("get", DiscoItemsRequest("n")),
    ("result", DiscoItems(None, (DiscoItem("a@b"), DiscoItem("c", "n", "name")))),
    ("get", RoomConfigGet()),
    ("result", RoomConfigForm({"muc#roomconfig_whois": ("anyone",), "empty": (), "many": ("1", "", "3")})),
    ("set", forms.SHOW_REAL_JIDS),
    ("set", RoomDestroy("over", "other@conference.meet.example")),
    ("set", RoomDestroy()),
    ("get", AdminGet("outcast")),
    ("get", AdminGet(role="moderator")),
    ("result", AdminItems()),
    ("result", AdminItems((AdminItem("a@b", "owner", "moderator", "nick", "why"),))),
    ("set", AdminSet((AdminItem(jid="a@b", affiliation="owner"),))),
    ("set", Mute("audio", True, ROOM + "/1a2b3c4d")),
    ("set", Mute("desktop", False, None, ROOM + "/1a2b3c4d")),
    ("get", small.Ping()),
    ("get", small.HealthCheck()),
    ("get", small.VersionRequest()),
    ("result", small.Version("Jicofo", "1.0.0")),
    ("result", small.Version("JVB", "2.3", "Linux")),
    ("get", small.LastActivityRequest()),
    ("result", small.LastActivity(12)),
    ("get", small.LoginUrlRequest(ROOM, "uid", True)),
    ("get", small.LoginUrlRequest()),
    ("result", small.LoginUrl(".%2Fstandup%3Flogin%3Dtrue")),
    ("result", small.LoginUrl()),
    ("set", small.LogoutRequest("session")),
    ("set", small.LogoutRequest()),
    ("result", small.Logout("..%2Fout")),
)


@pytest.mark.parametrize("iq_type, value", VALUES, ids=lambda value: repr(value)[:60])
def test_values_round_trip(iq_type: str, value: Any) -> None:
    written = WRITERS[type(value)](value)
    assert read(iq_type, written) == value
    assert "xmlns:" not in written and written.index(" xmlns='") > 0


def test_every_kind_is_among_them() -> None:
    assert {type(value) for _, value in VALUES} == set(WRITERS)


# --- the conference IQ ----------------------------------------------------------------------------------------------

def conference(attributes: str, inside: str = "", iq_type: str = "set") -> Any:
    return read(iq_type, "<conference xmlns='%s' %s>%s</conference>" % (FOCUS, attributes, inside))


@pytest.mark.parametrize("attributes, condition", [
    ("", "bad-request"),
    ("room=''", "bad-request"),
    ("room='standup'", "bad-request"),
    ("room='@conference.meet.example'", "bad-request"),
    ("room='a@b@conference.meet.example'", "jid-malformed"),
    ("room='a b@conference.meet.example'", "jid-malformed"),
    ("room='%s@conference.meet.example'" % ("a" * 1100), "jid-malformed"),
    ("room='%s' machine-uid='%s'" % (ROOM, "a" * 257), "bad-request"),
    ("room='%s' session-id='%s'" % (ROOM, "é" * 129), "bad-request"),
])
def test_conference_requests_refused(attributes: str, condition: str) -> None:
    payload = conference(attributes)
    assert isinstance(payload, Malformed)
    assert payload.error.condition == condition and payload.error.type == "modify" and payload.error.text  # C-213


@pytest.mark.parametrize("inside", [
    "<property name='a'/>" * 65,
    "<property name='%s' value='1'/>" % ("a" * 65),
    "<property name='a' value='%s'/>" % ("a" * 1025),
    "<property name='a' value='%s'/>" % ("\u20ac" * 342),
])
def test_conference_requests_are_bounded(inside: str) -> None:
    payload = conference("room='%s'" % ROOM, inside)
    assert isinstance(payload, Malformed) and payload.error.condition == "bad-request"  # C-216
    assert payload.text


def test_what_just_fits_is_taken() -> None:
    inside = "".join("<property name='%s' value='%s'/>" % (("%02d" % i) * 32, "é" * 512) for i in range(64))
    request = conference("room='%s' machine-uid='%s' session-id='%s'" % (ROOM, "é" * 128, "a" * 256), inside)
    assert len(request.properties) == 64


def test_a_conference_isn_t_asked_for_by_get() -> None:
    assert conference("room='%s'" % ROOM, iq_type="get").error.condition == "feature-not-implemented"  # C-201
    assert conference("room='%s'" % ROOM, iq_type="get").error.type == "cancel"


def test_the_room_is_normalised() -> None:
    request = conference("room='StandUp@Conference.My_Team.Meet.example'")
    assert request.room == "standup@conference.my_team.meet.example"


@pytest.mark.parametrize("inside, expected", [
    ("<property name='a' value='1'/><property name='a' value='2'/>", {"a": "2"}),  # C-202: the last wins
    ("<property name='a' value='1'/><property name='a'/>", {}),
    ("<property name='a'/>", {}),
    ("<property value='1'/>", {}),
    ("<other name='a' value='1'/><property xmlns='x' name='a' value='1'/>text", {}),
    ("<property name='visitor' value='TRUE'/><property name='visitor' value='false'/>", {"visitor": "TRUE"}),
    ("<property name='visitor' value='false'/><property name='visitor' value='true'/>", {"visitor": "true"}),
    ("<property name='visitors-version'/>", {"visitors-version": ""}),
    ("<property name='visitors-version' value='1'/><property name='visitors-version'/>", {"visitors-version": "1"}),
])
def test_properties(inside: str, expected: Dict[str, str]) -> None:
    assert conference("room='%s'" % ROOM, inside).properties == expected


def test_properties_as_values() -> None:
    request = ConferenceRequest(ROOM, properties={
        "yes": "True", "no": "yes", "blank": " ", "ten": "10", "minus": "-1", "words": "ten", "visitor": "true",
        "visitors-version": ""})
    assert request.flag("yes", False) and not request.flag("no", True)
    assert request.flag("blank", True) and request.flag("missing", True) and not request.flag("missing", False)
    assert request.number("ten") == 10
    assert [request.number(name) for name in ("minus", "words", "blank", "missing")] == [None] * 4  # M-553
    assert request.wants_to_visit and request.understands_visitors
    assert not ConferenceRequest(ROOM).wants_to_visit and not ConferenceRequest(ROOM).understands_visitors


def test_a_token_too_long_to_be_read_is_absent() -> None:
    assert conference("room='%s' token='%s'" % (ROOM, "a" * 20_000)).token is None
    assert conference("room='%s' token='abc'" % ROOM).token == "abc"


def test_secrets_stay_out_of_logs() -> None:
    secret = "top-secret"
    request = conference("room='%s' token='%s' session-id='%s' machine-uid='%s'" % (ROOM, secret, secret, secret))
    iq = Iq("set", "1", "a", "b", request)
    for value in (iq, request, ConferenceAnswer(ROOM, True, session_id=secret), muc.MucJoin(secret),
                  small.LogoutRequest(secret)):
        assert secret not in repr(value)


@pytest.mark.parametrize("written, ready", [("true", True), ("True", False), ("1", False), ("false", False)])
def test_ready_is_exactly_true(written: str, ready: bool) -> None:
    assert conference("room='%s' ready='%s'" % (ROOM, written), iq_type="result").ready is ready  # C-232


def test_application_conditions() -> None:
    assert etree.fromstring(conference_iq.SESSION_INVALID).tag == "{%s}session-invalid" % FOCUS
    shutdown = etree.fromstring(conference_iq.GRACEFUL_SHUTDOWN)
    assert shutdown.tag == "{http://jitsi.org/protocol/colibri}graceful-shutdown"
    reservation = etree.fromstring(conference_iq.reservation_error(403))
    assert (reservation.tag, reservation.get("error-code")) == ("{%s}reservation-error" % FOCUS, "403")


# --- the small ones -------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("iq_type, payload", [
    ("set", "<ping xmlns='urn:xmpp:ping'/>"),
    ("set", "<query xmlns='jabber:iq:version'/>"),
    ("set", "<query xmlns='jabber:iq:last'/>"),
    ("set", "<healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/>"),
    ("set", "<login-url xmlns='%s'/>" % FOCUS),
    ("get", "<logout xmlns='%s'/>" % FOCUS),
    ("get", "<mute xmlns='http://jitsi.org/jitmeet/audio' jid='a'>true</mute>"),
    ("set", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    ("set", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
])
def test_the_wrong_iq_type(iq_type: str, payload: str) -> None:
    assert read(iq_type, payload).error.condition == "feature-not-implemented"  # C-249, M-341, M-342, M-512


@pytest.mark.parametrize("request_, condition", [
    (small.LoginUrlRequest(None, "uid"), "not-acceptable"),
    (small.LoginUrlRequest(), "not-acceptable"),
    (small.LoginUrlRequest(ROOM), "bad-request"),
    (small.LoginUrlRequest(ROOM, " "), "bad-request"),
    (small.LoginUrlRequest(ROOM, "a" * 257), "bad-request"),
])
def test_login_url_faults(request_: small.LoginUrlRequest, condition: str) -> None:
    with pytest.raises(Malformed) as refused:
        request_.check()
    assert refused.value.condition == condition  # M-341
    small.LoginUrlRequest(ROOM, "uid").check()


@pytest.mark.parametrize("text, muted", [
    ("true", True), (" TRUE\n", True), ("1", True), ("false", False), ("0", False)])
def test_mute_words(text: str, muted: bool) -> None:
    payload = read("set", "<mute xmlns='http://jitsi.org/jitmeet/video' jid='a'>%s</mute>" % text)
    assert payload == Mute("video", muted, "a")


@pytest.mark.parametrize("text", ["", "yes", "<true/>", "tru"])
def test_mute_words_refused(text: str) -> None:
    payload = read("set", "<mute xmlns='http://jitsi.org/jitmeet/video' jid='a'>%s</mute>" % text)
    assert payload.error.condition == "bad-request"  # M-502, M-5101


# --- rooms ----------------------------------------------------------------------------------------------------------

def test_what_a_room_form_tells() -> None:
    form = RoomConfigForm({
        "muc#roomconfig_whois": ("anyone",), "muc#roominfo_isbreakout": ("1",),
        "muc#roominfo_breakout_main_room": (ROOM,), "muc#roominfo_meetingId": ("abc",),
        "muc#roominfo_conference_presets_service_enabled": ("true",)})
    assert form.shows_real_jids and form.is_breakout and form.waits_for_metadata  # C-425
    assert (form.main_room, form.meeting_id) == (ROOM, "abc")
    nothing = RoomConfigForm({"muc#roominfo_isbreakout": ("0",), "muc#roominfo_meetingId": (" ",), "x": ()})
    assert not (nothing.shows_real_jids or nothing.is_breakout or nothing.waits_for_metadata)
    assert nothing.main_room is None and nothing.meeting_id is None and nothing.text("x") is None  # C-423


@pytest.mark.parametrize("payload", [
    "<query xmlns='http://jabber.org/protocol/muc#owner'/>",
    "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='cancel'/></query>",
    "<query xmlns='http://jabber.org/protocol/muc#admin'/>",
    "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'>%s</x></query>"
    % ("<field var='a'/>" * 513),
])
def test_room_requests_refused(payload: str) -> None:
    assert read("set", payload).error.condition == "bad-request"


def test_the_focus_submits_one_field_only() -> None:
    written: Any = etree.fromstring(forms.write_room_owner(forms.SHOW_REAL_JIDS))
    fields = {field.get("var"): "".join(field.itertext()) for field in written[0]}
    assert written[0].get("type") == "submit"
    assert fields == {  # C-414
        "FORM_TYPE": "http://jabber.org/protocol/muc#roomconfig", "muc#roomconfig_whois": "anyone"}


@pytest.mark.parametrize("affiliation, role, seen", [
    ("owner", "moderator", "owner"), ("owner", "none", "owner"), ("admin", "participant", "moderator"),
    ("none", "moderator", "moderator"), ("member", "participant", "participant"), ("none", "visitor", "visitor"),
    ("none", "none", "visitor"), (None, None, "visitor"), ("outcast", "none", "visitor"),
])
def test_roles(affiliation: str, role: str, seen: str) -> None:
    assert muc.focus_role(affiliation, role) == seen  # C-604, M-103


# --- discovery and caps ---------------------------------------------------------------------------------------------

def test_caps_of_the_xep_s_examples() -> None:
    features = ("http://jabber.org/protocol/disco#info", "http://jabber.org/protocol/disco#items",
                "http://jabber.org/protocol/muc", "http://jabber.org/protocol/caps")
    simple = DiscoInfo(None, (Identity("client", "pc", "Exodus 0.9.1"),), features)
    assert compute_ver(simple) == "QgayPKawpkPSDYmwT/WM94uAlu0="  # XEP-0115 5.2
    form = Form("result", (
        Field("FORM_TYPE", "hidden", ("urn:xmpp:dataforms:softwareinfo",)),
        Field("ip_version", "text-multi", ("ipv4", "ipv6")), Field("os", "", ("Mac",)),
        Field("os_version", "", ("10.5.1",)), Field("software", "", ("Psi",)),
        Field("software_version", "", ("0.11",))))
    identities = (Identity("client", "pc", "Psi 0.11", "en"), Identity("client", "pc", "\u03a8 0.11", "el"))
    complex_ = DiscoInfo(None, identities, features, (form,))
    assert compute_ver(complex_) == "q07IKJEyjvHSyhy//CH0CxmKi8w="  # XEP-0115 5.3
    assert verify(Caps("n", "q07IKJEyjvHSyhy//CH0CxmKi8w=", "sha-1"), complex_)
    assert not verify(Caps("n", "q07IKJEyjvHSyhy//CH0CxmKi8w=", "sha-256"), complex_)
    assert not verify(Caps("n", "q07IKJEyjvHSyhy//CH0CxmKi8w=", "md2"), complex_)
    assert not verify(Caps("n", "other", "sha-1"), complex_)


@pytest.mark.parametrize("info", [
    DiscoInfo(None, (), ("a", "a")),
    DiscoInfo(None, (Identity("a", "b"), Identity("a", "b")), ()),
    DiscoInfo(None, (), (), (Form("result", (Field("FORM_TYPE", "hidden", ("a", "b")),)),)),
    DiscoInfo(None, (), (), (Form("result", (Field("FORM_TYPE", "hidden", ("a",)),)),) * 2),
    DiscoInfo(None, (), (), (Form("result", (Field("FORM_TYPE", "hidden", ()),)),)),
])
def test_ill_formed_answers_have_no_hash(info: DiscoInfo) -> None:
    assert compute_ver(info) is None


def test_nobody_forges_the_end_of_a_part() -> None:
    assert verification_text(DiscoInfo(None, (), ("a<b",))) != verification_text(DiscoInfo(None, (), ("a", "b")))
    unnamed = Form("result", (Field("FORM_TYPE", "", ("a",)), Field("x", "", ("1",))))
    assert compute_ver(DiscoInfo(None, (), ("a",), (unnamed,))) == compute_ver(DiscoInfo(None, (), ("a",)))


@pytest.mark.parametrize("call", CALLS)
def test_captured_caps_are_verified(call: str) -> None:
    nodes = {}
    verified = 0
    for line in read_capture(call):
        iq = line.element
        if iq.tag != "iq" or line.payload is None or not line.payload.tag.endswith("disco#info}query"):
            continue
        if iq.get("type") == "get":
            nodes[iq.get("id")] = line.payload.get("node")
        elif nodes.get(iq.get("id")):
            node, _, ver = nodes[iq.get("id")].rpartition("#")
            info = payload_of(iq)
            assert verify(Caps(node, ver, "sha-1"), info)
            assert not info.identities  # C-640: LJM has none, and the hash over the features alone is right
            verified += 1
    assert verified == 1  # one version of the client, one question


def test_what_the_focus_says_of_itself() -> None:
    caps = disco.focus_caps()
    for node in (None, caps.key):
        info = disco.answer_disco_info(DiscoInfoRequest(node))
        assert info.node == node and verify(caps, info)
        assert info.identities == (Identity("client", "bot", "Jicofo"),)  # C-901
        assert {"https://jitsi.org/meet/jicofo/terminate-restart", FOCUS, "urn:xmpp:ping"} <= set(info.features)
    with pytest.raises(Malformed) as refused:
        disco.answer_disco_info(DiscoInfoRequest("other"))
    assert refused.value.condition == "item-not-found"  # C-902
    component = disco.answer_disco_info(DiscoInfoRequest(), component=True)
    assert component.identities[0].category == "component" and FOCUS in component.features  # C-907
    assert disco.answer_disco_items(DiscoItemsRequest("x")) == DiscoItems("x")  # C-903


@pytest.mark.parametrize("inside", [
    "<feature var='a'/>" * 513, "<identity category='a' type='b'/>" * 65, "<feature var='%s'/>" % ("a" * 1025),
    "<x xmlns='jabber:x:data'/>" * 17,
])
def test_answers_of_strangers_are_bounded(inside: str) -> None:
    answer = read("result", "<query xmlns='http://jabber.org/protocol/disco#info'>%s</query>" % inside)
    assert isinstance(answer, Malformed)


# --- captured -------------------------------------------------------------------------------------------------------

#: What we don't keep of captured payloads: texts for people and the choices of a room's form.
DROPPED = ("title", "instructions", "desc", "validate", "option", "field/@type", "field/@label")
KINDS = ("{%s}conference" % FOCUS, "{http://jabber.org/protocol/disco#info}query",
         "{http://jabber.org/protocol/muc#owner}query", "{http://jabber.org/protocol/muc#admin}query",
         "{http://jitsi.org/jitmeet/audio}mute", "{http://jitsi.org/jitmeet/video}mute")
CAPTURED = [pytest.param(line.element, id=label) for kind in KINDS for label, line in payloads(kind)]


@pytest.mark.parametrize("iq", CAPTURED)
def test_captured_payloads_come_back(iq: Any) -> None:
    value = payload_of(iq)
    written = etree.fromstring(WRITERS[type(value)](value))
    seen: Any = etree.fromstring(etree.tostring(iq[0]))
    for heading in seen.xpath(".//*[local-name()='field'][not(@var)]"):
        heading.getparent().remove(heading)
    assert canonical(written, DROPPED) == canonical(seen, DROPPED)


def test_enough_was_captured() -> None:
    assert len(CAPTURED) == 12 * 2 + 14 + 12 + 4 + 6


# --- any text -------------------------------------------------------------------------------------------------------

# What XML can hold; the rest is dropped on the way out.
any_text = st.text(st.characters(), max_size=30)
xml_text = any_text.map(lambda text: "".join(
    c for c in text if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff"))


@given(xml_text, xml_text, xml_text)
def test_texts_round_trip(a: str, b: str, c: str) -> None:
    for iq_type, value in (
        ("result", ConferenceAnswer(a, True, b, {"k" + c[:15]: a}, b, c)),
        ("result", small.Version(a, b, c)),
        ("result", small.LoginUrl(a)),
        ("result", DiscoInfo(None, (Identity(a, b, c, "en"),), ("f" + a,),
                             (Form("result", (Field("v" + b, "", (a, c)),)),))),
        ("result", RoomConfigForm({"v" + a: (b, c)})),
        ("set", AdminSet((AdminItem(jid="j" + a, affiliation="none", nick=b, reason=c),))),
        ("set", RoomDestroy(a, b)),
        ("set", small.LogoutRequest(a)),
    ):
        assert read(iq_type, WRITERS[type(value)](value)) == value


@given(any_text, any_text)
def test_whatever_is_written_is_well_formed(a: str, b: str) -> None:
    for value in (
        ConferenceRequest(a, b, a, b, {a: b}), ConferenceAnswer(a, True, b, {a: b}, a, b), small.Version(a, b, a),
        DiscoInfo(a, (Identity(a, b, a, "en"),), (b,), (Form("result", (Field(a, "", (b,)),)),)),
        RoomConfigSubmit({a: (b,)}), AdminSet((AdminItem(a, "owner", None, b, a, a, b),)), RoomDestroy(a, b),
    ):
        etree.fromstring(WRITERS[type(value)](value))
