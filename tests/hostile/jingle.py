"""Jingle requests of a participant, right and wrong (jingle.md sections 4 and 5)."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

from tests.hostile import values
from tests.hostile.grammar import content, element, maybe, several
from tests.hostile.values import either, odd_texts, slot, slots

JINGLE = "urn:xmpp:jingle:1"
RTP = "urn:xmpp:jingle:apps:rtp:1"
SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"
ICE = "urn:xmpp:jingle:transports:ice-udp:1"
DTLS = "urn:xmpp:jingle:apps:dtls:0"
FOCUS = "http://jitsi.org/protocol/focus"
JITMEET = "http://jitsi.org/jitmeet"

SERVED = ("session-accept", "session-info", "session-terminate", "transport-info", "transport-accept",
          "transport-reject", "source-add", "source-remove", "addsource", "removesource")
UNSERVED = ("session-initiate", "content-add", "content-accept", "content-reject", "content-remove", "content-modify",
            "description-info", "security-info", "transport-replace")
actions = either(st.sampled_from(SERVED + ("source-add", "source-remove") * 3),
                 st.one_of(st.sampled_from(UNSERVED), odd_texts))

parameter = element("parameter", SSMA, {"name": either(st.just("msid"), st.sampled_from(("cname", "label", ""))),
                                        "value": values.msids})
owner = element("ssrc-info", JITMEET, {"owner": values.endpoints})
source = element("source", SSMA, {"ssrc": values.ssrcs, "name": values.source_names,
                                  "videoType": st.sampled_from(("camera", "desktop", "desktop_high_fps", "x", ""))},
                 [parameter, maybe(owner, 4)])
#: of which nothing is wrong: it is accepted, once
good_source = element("source", SSMA, {"ssrc": slot("ssrc.new"), "name": slot("name.own")}, [
    element("parameter", SSMA, {"name": "msid", "value": slot("msid.new")}, sound=0)], sound=0)
own_source = element("source", SSMA, {"ssrc": slot("ssrc.own")}, sound=0)
rid_source = element("source", SSMA, {"rid": "1", "name": values.source_names})
member = element("source", SSMA, {"ssrc": values.ssrcs}, sound=30)
group = element("ssrc-group", SSMA, {"semantics": either(st.sampled_from(("SIM", "FID", "fid")),
                                                         st.one_of(st.sampled_from(("FEC-FR", "SIM ", "")), odd_texts))},
                [several(member, 4)])

payload_type = element("payload-type", RTP, {"id": values.odd_numbers, "name": either(
    st.sampled_from(("opus", "VP8", "rtx")), odd_texts), "clockrate": values.odd_numbers, "channels": "2"})
extension = element("rtp-hdrext", "urn:xmpp:jingle:apps:rtp:rtp-hdrext:0", {"id": values.odd_numbers, "uri": odd_texts})
candidate = element("candidate", ICE, {
    "component": values.odd_numbers, "foundation": "1", "generation": values.odd_numbers, "id": odd_texts,
    "ip": either(st.sampled_from(("192.0.2.1", "2001:db8::1", "127.0.0.1")), odd_texts), "network": "0",
    "port": values.odd_numbers, "priority": values.odd_numbers, "protocol": either(
        st.sampled_from(("udp", "tcp")), odd_texts), "type": st.sampled_from(("host", "srflx", "relay", "prflx", ""))})
fingerprint = element("fingerprint", DTLS, {
    "hash": either(st.just("sha-256"), odd_texts), "setup": either(
        st.sampled_from(("active", "passive", "actpass")), odd_texts), "required": values.booleans},
    [content(either(st.just(":".join(["AB"] * 32)), odd_texts))])
transport = element("transport", ICE, {
    "ufrag": either(st.just("someu"), odd_texts), "pwd": either(st.just("pwd0123456789abcdef0123"), odd_texts),
    "ice-generation": values.odd_numbers}, [several(fingerprint, 2), maybe("<rtcp-mux/>"), several(candidate, 3)])

description = element("description", RTP, {"media": values.media}, [
    several(payload_type, 2), several(st.one_of(source, source, good_source, own_source, rid_source), 4),
    several(group, 3), several(extension, 2)])
a_content = element("content", "", {
    "name": values.media, "creator": st.sampled_from(("responder", "initiator", "")),
    "senders": st.sampled_from(("both", "rejected", "none"))}, [
        description, maybe(transport), maybe(source, 6),
        maybe(element("initial-last-n", "jitsi:colibri2", {"value": values.odd_numbers}), 4)])

good_content = element("content", "", {"name": "audio"}, [
    element("description", RTP, {"media": "audio"}, [good_source], sound=0)], sound=0)
own_content = element("content", "", {"name": "video"}, [
    element("description", RTP, {"media": "video"}, [own_source], sound=0)], sound=0)

bridge_session = element("bridge-session", FOCUS, {
    "id": values.bridge_sessions, "restart": values.booleans, "ice-restart": st.sampled_from(("false", "true", "")),
    "region": odd_texts})
reason = element("reason", "", {}, [
    st.sampled_from(("<success/>", "<connectivity-error/>", "<general-error/>", "", "<gone/>")),
    maybe(element("text", "", {}, [content(odd_texts)]))])
ice_state = element("ice-state", FOCUS, {}, [st.sampled_from(("failed", "FAILED", "connected", "", "x"))])

_json = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2 ** 70, 2 ** 70), st.floats(allow_nan=True),
              st.sampled_from(("f", "s", "d", "", slot("name.victim"), slot("msid.victim")))),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(
        st.sampled_from(("sources", "s", "n", "m", "v", slot("endpoint.victim"), "jvb")), inner, max_size=3)),
    max_leaves=8).map(json.dumps)
json_text = st.one_of(_json, st.sampled_from((
    '{"sources":{"%s":[[{"s":%s}],[],[],[]]}}' % (slot("endpoint.victim"), slot("ssrc.victim")), "{", "[" * 5000,
    '{"sources":' * 300, '{"sources":{"a":[[{"s":1e999}]]}}', '{"sources":NaN}', '{"a":1,"a":2}', '"\\ud800"')))
json_message = element("json-message", JITMEET, {}, [content(json_text)])
bundle = element("group", "urn:xmpp:jingle:apps:grouping:0", {"semantics": "BUNDLE"},
                 [several(element("content", "", {"name": values.media}), 3)])


@st.composite
def request(draw: Any) -> str:
    """The `<jingle/>` of a request."""
    action = draw(actions)
    inside = {
        "source-add": st.one_of(good_content, several(a_content, 2)),
        "source-remove": st.one_of(own_content, several(a_content, 2)),
        "transport-info": element("content", "", {"name": "0"}, [transport]),
        "session-terminate": st.just(""),
        "session-info": st.just(""),
    }.get(action, several(a_content, 3))
    ends = action == "session-terminate" and draw(st.integers(1, 8)) > 1  # seldom its own, or there'd be none left
    sids = slots("sid.victim", "sid.stale", "sid.stranger") if ends else values.sids
    return str(draw(element("jingle", JINGLE, {
        "action": action, "sid": sids, "initiator": slots("jid.focus", "jid.victim"),
        "responder": values.addresses}, [
            maybe(bundle, 4), inside, maybe(reason, 3), maybe(bridge_session, 2), maybe(ice_state, 6),
            maybe(json_message, 6)], sound=20)))


good_change = st.sampled_from(("source-add", "source-remove")).flatmap(lambda action: element("jingle", JINGLE, {
    "action": action, "sid": slot("sid.own")}, [good_content if action == "source-add" else own_content], sound=0))
restart = element("jingle", JINGLE, {"action": "session-terminate", "sid": slot("sid.own")}, [
    "<reason><connectivity-error/><text>ICE FAILED</text></reason>",
    element("bridge-session", FOCUS, {"id": slot("bridge.own"), "restart": "true"}, sound=0)], sound=0)
