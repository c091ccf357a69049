"""What a bridge says: its answers (colibri.md sections 2 and 4), and its statistics (bridge.md)."""

from __future__ import annotations

from hypothesis import strategies as st

from tests.hostile import values
from tests.hostile.grammar import content, element, maybe, several
from tests.hostile.jingle import SSMA, transport
from tests.hostile.values import either, odd_texts, slot

COLIBRI2 = "jitsi:colibri2"
COLIBRI = "http://jitsi.org/protocol/colibri"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"

CONDITIONS = ("bad-request", "conflict", "feature-not-implemented", "forbidden", "gone", "internal-server-error",
              "item-not-found", "service-unavailable", "resource-constraint", "not-acceptable", "remote-server-timeout",
              "undefined-condition", "x")
REASONS = ("conference_not_found", "conference_already_exists", "feature_not_implemented", "graceful_shutdown",
           "unknown_endpoint", "unspecified", "X")

sctp = element("sctp", "", {"port": either(st.just("5000"), values.odd_numbers), "role": either(
    st.just("server"), odd_texts)})
wrapped = element("transport", "", {}, [transport, maybe(sctp, 3)])
asked = either(values.slots("asked.endpoint"), values.endpoints)
endpoint = element("endpoint", "", {"id": asked, "expire": maybe("true", 4)}, [either(wrapped, st.just(""))])
media_source = element("media-source", "", {"id": odd_texts, "type": values.media}, [several(
    element("source", SSMA, {"ssrc": values.odd_numbers, "name": odd_texts}), 3)])
sources = element("sources", "", {}, [several(media_source, 3)])
relay = element("relay", "", {"id": odd_texts}, [maybe(wrapped)])
modified = element("conference-modified", COLIBRI2, {}, [
    several(endpoint, 3), maybe(sources), maybe(relay, 5)])
giant = st.integers(100, 1500).map(lambda count: "<conference-modified xmlns='%s'>%s</conference-modified>" % (
    COLIBRI2, "<endpoint id='%s'><transport/></endpoint>" % slot("asked.endpoint") * count))


def error(extra: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """A stanza error."""
    condition = st.sampled_from(CONDITIONS).map(lambda name: "<%s xmlns='%s'/>" % (name, STANZAS))
    return element("error", "", {"type": st.sampled_from(("cancel", "modify", "wait", "auth", "", "x"))}, [
        condition, maybe(element("text", STANZAS, {}, [content(odd_texts)])), extra])


colibri_error = error(st.tuples(
    maybe(element("error", COLIBRI2, {"reason": st.sampled_from(REASONS)})),
    maybe(element("endpoint", COLIBRI2, {"id": asked}), 3)).map("".join))
answer_payload = st.one_of(modified, modified, modified, giant, st.just(""), st.just("<query xmlns='jabber:iq:version'/>"),
                           element("conference", COLIBRI, {"id": odd_texts}))
answers = st.one_of(
    element("iq", "", {"type": "result", "id": slot("asked.id"), "to": slot("jid.self"), "from": slot("asked.by")},
            [answer_payload], sound=40),
    element("iq", "", {"type": "error", "id": slot("asked.id"), "to": slot("jid.self"), "from": slot("asked.by")},
            [colibri_error], sound=40))
#: what nobody has asked for, or not from there
unasked = st.one_of(
    element("iq", "", {"type": "result", "id": either(values.slots("id.flying"), values.odd_ids), "to": slot("jid.self"),
                       "from": slot("from.liar")}, [answer_payload], sound=40),
    element("iq", "", {"type": "error", "id": either(values.slots("id.flying"), values.odd_ids), "to": slot("jid.self"),
                       "from": slot("from.liar")}, [colibri_error], sound=40))

STATS = ("stress_level", "average_participant_stress", "graceful_shutdown", "shutting_down", "drain", "version",
         "release", "region", "relay_id", "healthy", "current_timestamp", "octo_version", "conferences")
stat = element("stat", "", {"name": either(st.sampled_from(STATS), odd_texts), "value": st.one_of(
    values.booleans, values.odd_numbers, odd_texts, st.sampled_from(("0.1", "0.99", "-5", "2.3", "2.3.SNAPSHOT")))})
stats = element("stats", COLIBRI, {}, [several(stat, 8)])
item = element("item", "", {"jid": values.addresses, "affiliation": st.sampled_from(("owner", "none", "x")),
                            "role": st.sampled_from(("moderator", "none", "participant", ""))})
presence = element("presence", "", {
    "from": slot("from.brewery"), "to": slot("jid.self"), "type": maybe("unavailable", 5)}, [
        maybe(stats, 1), element("x", "http://jabber.org/protocol/muc#user", {}, [several(item, 2)])], sound=40)
