"""Answers to a Jingle request of a scene's occupant, checked for form, and what else follows, in words."""
from __future__ import annotations

import itertools
from typing import Any, List, NamedTuple

from lxml import etree

from focus.conference import messages
from tests.support.harness import COLIBRI, JINGLE, ROOM, Scene, kinds, stanza, told

ANNA, BO, CARLA = "anna0001", "bo000002", "carla003"
FOCUS_NS = "http://jitsi.org/protocol/focus"
STANZAS = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
NO_ACTION = "(none)"
_ids = itertools.count(1)


class Shape(NamedTuple):
    """An answer; a refusal without an application condition has to say why in words."""

    type: str
    condition: str = ""
    extra: str = ""


OK = Shape("result")
# "Shapes of all errors", in the order of that table.
UNKNOWN = Shape("cancel", "item-not-found", "{urn:xmpp:jingle:errors:1}unknown-session")
GONE = Shape("cancel", "gone")
STALE = WRONG_BRIDGE = Shape("cancel", "item-not-found")
FORBIDDEN = Shape("auth", "forbidden")
LIMIT = Shape("wait", "resource-constraint")
UNSUPPORTED = Shape("cancel", "feature-not-implemented")
OUT_OF_ORDER = Shape("wait", "unexpected-request", "{urn:xmpp:jingle:errors:1}out-of-order")
BAD = Shape("modify", "bad-request")


def ask(scene: Scene, sid: str, action: str, inside: str = "", type: str = "set", nick: str = ANNA) -> Any:
    """The request's only answer (J-501); what else was sent is left."""
    scene.sent.clear()
    attribute = "" if action == NO_ACTION else " action='%s'" % action
    iq_id = "request-%d" % next(_ids)
    scene.mail(messages.JingleReceived(stanza(
        "<iq type='%s' id='%s' from='%s/%s'><jingle xmlns='%s'%s sid='%s'>%s</jingle></iq>" % (
            type, iq_id, ROOM, nick, JINGLE, attribute, sid, inside))))
    answers = [el for el in scene.sent if el.get("type") in ("result", "error")]
    assert [(el.get("id"), el.get("to")) for el in answers] == [(iq_id, "%s/%s" % (ROOM, nick))]
    scene.sent.remove(answers[0])
    return answers[0]


def shape(answer: Any) -> Shape:
    """What kind of answer it is, which has to be of that form (J-502, J-537, T-2)."""
    if answer.get("type") == "result":
        assert not len(answer)
        return OK
    (error,) = answer
    assert etree.QName(error).localname == "error"
    condition, rest = error[0], list(error[1:])
    assert condition.tag.startswith(STANZAS) and condition.tag != STANZAS + "text", "the condition comes first"
    has_text = bool(condition.text)
    if rest and rest[0].tag == STANZAS + "text":
        has_text = bool(rest.pop(0).text)
    assert len(rest) <= 1 and not any(el.tag.startswith(STANZAS) for el in rest)
    assert has_text or rest, "nothing says why"
    return Shape(error.get("type"), etree.QName(condition).localname, rest[0].tag if rest else "")


def text_of_refusal(answer: Any) -> str:
    """The words of a refusal."""
    return str(answer.findtext("{jabber:client}error/%stext" % STANZAS))


def snapshot(scene: Scene) -> Any:
    """What a refused request must not change."""
    state = scene.state
    return ({nick: (row.sid, row.phase, row.invite, row.signalled) for nick, row in state.participants.items()},
            dict(state.sources.rows), state.log.version,
            {bridge: sorted(session.endpoints) for bridge, session in state.bridges.items()})


def is_quiet(scene: Scene) -> bool:
    """Whether nothing was sent but presences."""
    return all(kinds(el)[0] == "presence" for el in scene.sent)


def sid_of(scene: Scene, nick: str = ANNA) -> str:
    """The sid of a participant's session."""
    return scene.state.participants[nick].sid


def bridge_session(scene: Scene, attributes: str = "", nick: str = ANNA) -> str:
    """The element that names the bridge session of a participant's last offer."""
    return "<bridge-session xmlns='%s' id='%s' %s/>" % (FOCUS_NS, scene.state.participants[nick].bridge_session,
                                                         attributes)


def to_the_bridge(scene: Scene) -> List[str]:
    """Each request to a bridge in words: whose endpoint, and what is said of it."""
    found = []
    for request in scene.take("conference-modify"):
        for endpoint in request.iter("{%s}endpoint" % COLIBRI):
            words = [endpoint.get("id")] + [name for name in ("create", "expire") if endpoint.get(name) == "true"]
            if "create" not in words:
                words += [etree.QName(child).localname for child in endpoint
                          if etree.QName(child).localname in ("transport", "sources", "initial-last-n")]
            found.append(" ".join(words))
    return found


def to_client(scene: Scene, nick: str, answers: bool = False) -> List[str]:
    """Each request to a client in words: the action, and whose sources or why; the client may answer them."""
    found = []
    requests = scene.take(to="%s/%s" % (ROOM, nick))
    if answers and requests:
        scene.mail(*[scene.answer(request) for request in requests])
    for request in requests:
        words = [kinds(request)[-1]]
        if words[0] in ("source-add", "source-remove"):
            words += ["%s:%s" % (owner[:4], ",".join(map(str, sorted(ssrcs))))
                      for owner, ssrcs in told(request).items()]
        reason = request.find(".//{%s}reason" % JINGLE)
        if reason is not None:
            words += [etree.QName(reason[0]).localname, reason.findtext("{%s}text" % JINGLE, "")]
        found.append(" ".join(words))
    return found
