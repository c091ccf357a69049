"""Requests that are not Jingle: for a conference, to mute, to discover, and what nobody knows (conference.md)."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.hostile import values
from tests.hostile.grammar import NAMESPACES, content, element, maybe, several
from tests.hostile.values import either, odd_texts, slot

FOCUS = "http://jitsi.org/protocol/focus"
DISCO_INFO = "http://jabber.org/protocol/disco#info"
DISCO_ITEMS = "http://jabber.org/protocol/disco#items"
JITMEET = "http://jitsi.org/jitmeet"

PROPERTIES = ("rtcstatsEnabled", "visitors-version", "visitor", "startAudioMuted", "startVideoMuted", "disableRtx",
              "stereo", "openSctp", "enableTcc", "minParticipants", "enforcedBridge", "octo", "machine-uid")
a_property = element("property", "", {"name": either(st.sampled_from(PROPERTIES), odd_texts), "value": st.one_of(
    values.booleans, values.odd_numbers, odd_texts)})
conference = element("conference", FOCUS, {
    "room": values.rooms, "machine-uid": odd_texts, "session-id": odd_texts, "token": odd_texts},
    [several(a_property, 5)])
a_session = element("conference", FOCUS, {"room": slot("room.attack"), "session-id": odd_texts}, sound=0)
mute = element("mute", "", {"jid": values.addresses, "actor": values.addresses}, [
    content(st.sampled_from(("true", "false", "", "TRUE", "1", "x")))], sound=6).flatmap(
        lambda text: st.sampled_from(("audio", "video", "desktop", "")).map(
            lambda kind: text.replace("<mute", "<mute xmlns='%s'" % (JITMEET + "/" + kind).rstrip("/"), 1)))
login = st.one_of(
    element("login-url", FOCUS, {"room": values.rooms, "machine-uid": odd_texts, "popup": values.booleans}),
    element("logout", FOCUS, {"session-id": odd_texts}))
discovery = st.sampled_from((DISCO_INFO, DISCO_ITEMS)).flatmap(
    lambda namespace: element("query", namespace, {"node": odd_texts}, [maybe("<feature var='x'/>", 5)]))
plain = st.sampled_from((
    "<ping xmlns='urn:xmpp:ping'/>", "<query xmlns='jabber:iq:version'/>", "<query xmlns='jabber:iq:last'/>",
    "<query xmlns='jabber:iq:roster'/>", "<time xmlns='urn:xmpp:time'/>", "<foo xmlns='x:y'/>", "", "<a/><b/>",
    "<mute xmlns='http://jitsi.org/jitmeet/audio'/>", "<healthcheck xmlns='http://jitsi.org/protocol/healthcheck'/>",
    "<jingle xmlns='urn:xmpp:jingle:1'/>", "<conference xmlns='http://jitsi.org/protocol/focus'/>",
    "<jibri xmlns='http://jitsi.org/protocol/jibri' action='start' recording_mode='file'/>",
    "<dial xmlns='urn:xmpp:rayo:1' to='1' from='2'/>", "<graceful-shutdown xmlns='http://jitsi.org/protocol/colibri'/>",
    "<conference-modify xmlns='jitsi:colibri2' meeting-id='x' create='true'/>",
    "<query xmlns='http://jabber.org/protocol/muc#owner'/>", "<query xmlns='http://jabber.org/protocol/muc#admin'/>",
    "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>", "text", "<r xmlns='urn:xmpp:sm:3'/>"))
stranger = st.sampled_from(NAMESPACES + ("urn:example:stranger", "")).flatmap(
    lambda namespace: element("stranger", namespace, {"a": odd_texts}, [content(odd_texts)]))


def iq(payload: st.SearchStrategy[str], kinds: st.SearchStrategy[str], to: st.SearchStrategy[str]
       ) -> st.SearchStrategy[str]:
    """A request or answer around a payload; its sender and what it is to be called are filled in."""
    return element("iq", "", {"type": kinds, "id": either(values.slots("id.new"), values.odd_ids), "to": to,
                              "from": slot("from")}, [payload], sound=60)


to_focus = either(values.slots("jid.self"), values.addresses)
requests = either(st.just("set"), st.sampled_from(("get", "get", "result", "error", "", "SET", "x")))
gets = either(st.just("get"), st.sampled_from(("set", "result", "error", "", "x")))
