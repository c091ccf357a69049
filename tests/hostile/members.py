"""What a room passes on of its members and says itself: presences, messages; and answers to discovery."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from tests.hostile import values
from tests.hostile.bridges import error, stats
from tests.hostile.grammar import content, element, maybe, several
from tests.hostile.jingle import json_text
from tests.hostile.values import either, odd_texts, slot

MUC = "http://jabber.org/protocol/muc"
CAPS = "http://jabber.org/protocol/caps"
DISCO_INFO = "http://jabber.org/protocol/disco#info"

caps = element("c", CAPS, {"hash": either(st.just("sha-1"), odd_texts), "node": either(
    st.just("https://jitsi.org/jitsi-meet"), odd_texts), "ver": either(values.slots("caps.known"), odd_texts)})
_state = st.fixed_dictionaries({}, optional={
    "muted": st.sampled_from((True, False, None, 0, "x", [])), "videoType": st.sampled_from(("camera", "desktop", 7, "")),
    "mediaType": st.sampled_from(("audio", "video", None, {}))})
_names = st.sampled_from((slot("name.own"), slot("name.victim"), "", "-", "x-a0", "\ud7ff", "%", "__proto__"))
source_info = st.one_of(st.dictionaries(_names, _state, max_size=4).map(json.dumps), json_text, odd_texts, st.sampled_from(
    ("[]", "null", '{"a":', '{"a":{"muted":tru}}', "{" * 3000, '{"a":' * 800 + "1" + "}" * 800, '{"%s":{}}' % ("n" * 9000),
     json.dumps({"x%d" % number: {} for number in range(300)}), '{"\\udc00":{}}', '{"a":{"muted":%s}}' % ("9" * 4000))))
features = element("features", "", {}, [several(element("feature", "", {"var": st.sampled_from((
    "http://jitsi.org/protocol/jibri", "http://jitsi.org/protocol/jigasi", "http://jitsi.org/protocol/transcriber",
    "x", ""))}), 3)])
item = element("item", "", {
    "jid": either(values.slots("jid.real"), values.addresses), "affiliation": either(st.sampled_from(
        ("owner", "admin", "member", "none", "outcast")), odd_texts),
    "role": either(st.sampled_from(("moderator", "participant", "visitor", "none")), odd_texts),
    "nick": maybe(odd_texts, 4)}, [maybe("<reason>x</reason>", 6), maybe("<actor nick='x'/>", 6)])
status = element("status", "", {"code": either(st.sampled_from(
    ("100", "104", "110", "173", "201", "301", "303", "307", "321", "322", "332", "333")), values.odd_numbers)})
user = element("x", MUC + "#user", {}, [several(item, 2), several(status, 2)])
kept_user = element("x", MUC + "#user", {}, [element("item", "", {
    "jid": slot("jid.real"), "affiliation": "none", "role": "participant"}, sound=0)], sound=0)
said = [
    maybe(caps, 2),
    maybe(element("SourceInfo", "", {}, [content(source_info)]), 2),
    maybe(element("audiomuted", "", {}, [st.sampled_from(("true", "false", "x", ""))]), 5),
    maybe(element("stats-id", "", {}, [content(odd_texts)]), 4),
    maybe(element("jitsi_participant_region", "", {}, [content(odd_texts)]), 4),
    maybe(element("jitsi_participant_codecList", "", {}, [content(odd_texts)]), 4),
    maybe(element("nick", "http://jabber.org/protocol/nick", {}, [content(odd_texts)]), 4),
    maybe(features, 5),
    maybe(element("status", "", {}, [st.sampled_from(("switch_room", "", "x"))]), 6),
    maybe(element("startmuted", "http://jitsi.org/jitmeet/start-muted", {"audio": values.booleans}), 8),
    maybe(element("userinfo", "http://jitsi.org/jitmeet/userinfo", {}, ["<robot>true</robot>"]), 8),
    maybe(stats, 8),
    maybe("<x xmlns='%s'/>" % MUC, 8),
]
#: of an occupant that stays: somebody sits beside the victims
update = element("presence", "", {"from": slot("from.member"), "to": slot("jid.self")}, [*said, kept_user], sound=0)
#: of anybody in a room nobody cares for; the focus's own too
anything = element("presence", "", {
    "from": slot("from.attacked"), "to": slot("jid.self"),
    "type": either(st.just(""), st.sampled_from(("unavailable", "error", "x", "probe", "subscribe")))},
    [*said, maybe(user, 1), maybe(error(st.just("")), 8), maybe("<destroy jid='a@b'/>", 20)], sound=40)
#: somebody who isn't there comes
newcomer = element("presence", "", {"from": slot("from.ghost"), "to": slot("jid.self")}, [*said, kept_user], sound=30)
outside = element("presence", "", {
    "from": slot("from.outsider"), "to": slot("jid.self"), "type": st.sampled_from(
        ("", "unavailable", "subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "error", "x"))},
    [*said, maybe(user, 2)], sound=40)

bodies = [
    maybe(element("body", "", {}, [content(odd_texts)]), 2), maybe(element("subject", "", {}, [content(odd_texts)]), 3),
    maybe(element("json-message", "http://jitsi.org/jitmeet", {}, [content(json_text)]), 2), maybe(user, 4),
    maybe(error(st.just("")), 6), maybe("<delay xmlns='urn:xmpp:delay' stamp='x'/>", 6)]
message = element("message", "", {
    "from": slot("from.anyone"), "to": slot("jid.self"), "id": maybe(odd_texts, 3), "type": st.sampled_from(
        ("groupchat", "chat", "normal", "error", "headline", "", "x"))}, bodies, sound=40)

feature = element("feature", "", {"var": either(st.sampled_from(
    ("urn:xmpp:jingle:apps:rtp:audio", "urn:xmpp:jingle:apps:rtp:video", "http://jitsi.org/ssrc-rewriting-1",
     "http://jitsi.org/json-encoded-sources", "urn:xmpp:jingle:transports:dtls-sctp:1")), odd_texts)})
info = element("query", DISCO_INFO, {"node": odd_texts}, [
    several(element("identity", "", {"category": odd_texts, "type": odd_texts}), 2), several(feature, 5),
    maybe("<x xmlns='jabber:x:data'><field var='FORM_TYPE'><value>x</value></field><field/></x>", 5)])
discovered = element("iq", "", {
    "type": either(st.just("result"), st.just("error")), "id": slot("id.disco"), "to": slot("jid.self"),
    "from": slot("from.discovered")}, [either(info, st.one_of(st.just(""), error(st.just(""))))], sound=40)
