"""A synthetic videobridge on XMPP: the strict model of bridge_model.py in a brewery, without media.

It stands in the brewery, publishes statistics, answers Colibri 2, health checks, version and pings, and can be told to
answer late, never, wrongly, or with a given error (`script`). It records every request with its time, so that a test
can ask for order, number and overlap, and at the end whether everything was expired (`leaks`).
"""

from __future__ import annotations

import re
import time
from typing import Any, Callable, Dict, List, Optional, Union

from tests.support.bridge_model import COLIBRI2, BridgeModel, Conference, Refusal, Unparsable, echo
from tests.support.loop import Loop
from tests.support.wire import Opener, Stanza, escape

HEALTH = "http://jitsi.org/protocol/healthcheck"
VERSION = "jabber:iq:version"
DISCO_INFO = "http://jabber.org/protocol/disco#info"
#: K-115: nothing of Colibri
FEATURES = (HEALTH, "urn:xmpp:jingle:apps:dtls:0", "urn:xmpp:jingle:transports:ice-udp:1", VERSION, DISCO_INFO)
_NS = "{%s}" % COLIBRI2

#: kinds of requests, for `script`: see `kinds_of`
KINDS = (
    "any",
    "create-conference",
    "create-endpoint",
    "update",
    "transport",
    "sources",
    "force-mute",
    "expire-endpoint",
    "expire-conference",
    "create-relay",
    "update-relay",
    "expire-relay",
    "health",
)


class Request:
    """One Colibri request: what was asked, when, and what came of it. Times are monotonic seconds."""

    def __init__(self, stanza: Stanza, element: Any) -> None:
        self.stanza = stanza
        self.element = element
        self.at = stanza.at
        self.kinds = kinds_of(element)
        self.meeting_id: str = element.get("meeting-id", "")
        self.endpoints: List[str] = [endpoint.get("id", "") for endpoint in element.findall(_NS + "endpoint")]
        self.answered_at: Optional[float] = None
        #: payload of the answer; None while there is none
        self.answer: Optional[str] = None
        #: condition of an error answer, or empty
        self.error = ""
        self.error_text = ""
        #: requests of the same conference that were not answered when this one came
        self.in_flight_before = 0

    @property
    def is_creation(self) -> bool:
        """Whether it makes an endpoint."""
        return "create-endpoint" in self.kinds

    def __repr__(self) -> str:
        return "<%s %s %s%s>" % (
            "+".join(sorted(self.kinds)),
            self.meeting_id[:8],
            ",".join(self.endpoints),
            " -> " + self.error if self.error else "",
        )


def kinds_of(element: Any) -> set:
    """The names in KINDS that fit a `<conference-modify/>`; transport, sources and force-mute are kinds of updates."""
    kinds = set()
    if element.get("create") == "true":
        kinds.add("create-conference")
    if element.get("expire") == "true":
        kinds.add("expire-conference")
    for endpoint in element.findall(_NS + "endpoint"):
        if endpoint.get("expire") == "true":
            kinds.add("expire-endpoint")
            continue
        if endpoint.get("create") == "true":
            kinds.add("create-endpoint")
            continue
        kinds.add("update")
        for name in ("transport", "sources", "force-mute"):
            if endpoint.find(_NS + name) is not None:
                kinds.add(name)
    for relay in element.findall(_NS + "relay"):
        word = next((word for word in ("create", "expire") if relay.get(word) == "true"), "update")
        kinds.add(word + "-relay")
    return kinds


class Rule:
    """What to do with the next requests of a kind, instead of answering as a bridge does."""

    def __init__(self, kind: str, action: str, times: int, **details: Any) -> None:
        self.kind = kind
        self.action = action
        self.times = times
        self.details = details

    def fits(self, kinds: set, request: Optional[Request]) -> bool:
        """Whether this rule is for such a request."""
        if not self.times or (self.kind != "any" and self.kind not in kinds):
            return False
        endpoint = self.details.get("endpoint_id")
        return endpoint is None or (request is not None and endpoint in request.endpoints)


class Bridge:
    """A bridge in the brewery.

    login: the bridge's account. brewery: bare JID of the room. nickname: its display name.
    delay: seconds until an answer, or a function of the request; the order within a conference is kept.
    """

    def __init__(
        self,
        loop: Loop,
        login: Opener,
        brewery: str,
        *,
        nickname: str = "jvb1",
        sctp: bool = False,
        relays: bool = False,
        delay: Union[float, Callable[[Request], float]] = 0.0,
        stats_interval: float = 5.0,
        stats: Optional[Dict[str, str]] = None,
    ) -> None:
        self.loop = loop
        self.brewery = brewery
        self.nickname = nickname
        self.delay = delay
        self.model = BridgeModel(sctp=sctp, nickname=nickname, relays=relays)
        self.requests: List[Request] = []
        self.health_checks = 0
        self.other_requests: List[Stanza] = []
        self.occupants: Dict[str, Stanza] = {}
        self.stats: Dict[str, str] = {
            "stress_level": "0.01",
            "average_participant_stress": "0.01",
            "version": "2.3.SNAPSHOT",
            "drain": "false",
            "graceful_shutdown": "false",
            "shutting_down": "false",
            "healthy": "true",
        }
        if relays:
            self.stats["relay_id"] = "relay-" + nickname
        self.stats.update(stats or {})
        self._rules: List[Rule] = []
        self._held: List[Callable[[], None]] = []
        self._last_due: Dict[str, float] = {}
        self._open: Dict[str, int] = {}
        self._beats = 0
        self.joined = False
        self._login = login
        self.come_back()
        self._timer = loop.call_every(stats_interval, self.publish)

    def come_back(self) -> None:
        """Log in and join; again after its server was gone, like a bridge that goes on with what it has."""
        self.joined = False
        self.stream = self._login.open(self.loop, self._on_stanza)
        self._go_in()
        self.loop.wait(lambda: self.joined, 10, "the bridge has joined %s" % self.brewery)
        self.publish()

    def _go_in(self) -> None:
        self.stream.send(
            "<presence to='%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>" % escape(self.jid)
        )

    @property
    def jid(self) -> str:
        """Its address for the focus (B-103)."""
        return "%s/%s" % (self.brewery, self.nickname)

    # What a test can turn, B-1155

    def publish(self, **changes: str) -> None:
        """Send the statistics, with changes of single ones (`publish(drain="true")`)."""
        if self.stream.closed:
            return
        self.stats.update(changes)
        self.model.graceful = self.stats["graceful_shutdown"] == "true"
        self._beats += 1
        stats = dict(self.stats, current_timestamp="2026-11-24 00:00:%06.3f" % (self._beats % 60))
        lines = "".join("<stat name='%s' value='%s'/>" % (name, escape(value)) for name, value in stats.items())
        self.stream.send(
            "<presence to='%s'><stats xmlns='http://jitsi.org/protocol/colibri'>%s</stats></presence>"
            % (escape(self.jid), lines)
        )

    def script(self, kind: str, action: str, *, times: int = 1, **details: Any) -> Rule:
        """Treat the next `times` requests of `kind` otherwise; `endpoint_id=` picks those of one endpoint.

        action: "drop" (no answer, nothing done), "drop-answer" (done, but not answered), "hold" (executed and answered
        at `release()`), "delay" (seconds=), "error" (condition=, text=, reason=, endpoint=; nothing is done),
        "wrong-result" (a result that is no conference-modified), "no-transport" (a result without a transport).
        """
        if kind not in KINDS:
            raise ValueError("unknown kind %s" % kind)
        rule = Rule(kind, action, times, **details)
        self._rules.append(rule)
        return rule

    def release(self, count: Optional[int] = None) -> int:
        """Let held requests go, the oldest first; returns how many went."""
        going = self._held[: len(self._held) if count is None else count]
        del self._held[: len(going)]
        for go in going:
            go()
        return len(going)

    @property
    def held(self) -> int:
        """Number of requests that wait for `release()`."""
        return len(self._held)

    def leave(self) -> None:
        """Leave the brewery; the stream stays."""
        self.stream.send("<presence type='unavailable' to='%s'/>" % escape(self.jid))
        self._timer.cancel()

    def vanish(self) -> None:
        """Be gone without a word: the connection stays open, nothing is read, answered or published any more."""
        self._timer.cancel()
        self.stream.on_stanza = lambda stanza: None

    def close(self) -> None:
        """End the stream."""
        self._timer.cancel()
        self.stream.close()

    # What a test can ask, B-1156

    @property
    def violations(self) -> List[str]:
        """What a correct focus never sends."""
        return self.model.violations

    def leaks(self) -> List[str]:
        """Conferences and endpoints that were created and not expired."""
        return self.model.leaks()

    def requests_of(self, meeting_id: str = "", kind: str = "any") -> List[Request]:
        """The recorded requests of a conference and kind, in order."""
        return [
            request
            for request in self.requests
            if meeting_id in ("", request.meeting_id) and (kind == "any" or kind in request.kinds)
        ]

    def endpoint(self, identifier: str) -> Any:
        """The live endpoint with that id, or None."""
        for conference in self.model.conferences.values():
            if identifier in conference.endpoints:
                return conference.endpoints[identifier]
        return None

    # Requests

    def _on_stanza(self, stanza: Stanza) -> None:
        if stanza.name == "presence":
            self._on_presence(stanza)
        elif stanza.name == "iq" and stanza.get("type") in ("get", "set"):
            self._on_request(stanza)

    def serves(self, sender: str) -> bool:
        """Whether it takes requests from there."""
        return sender.lower().startswith(self.brewery.lower() + "/")

    def _on_presence(self, stanza: Stanza) -> None:
        room, _, nickname = stanza.get("from").partition("/")
        if room != self.brewery:
            return
        if stanza.get("type") == "unavailable":
            self.occupants.pop(nickname, None)
        elif stanza.get("type") == "error":
            self._go_in()  # the room doesn't know it any more
        else:
            self.occupants[nickname] = stanza
            self.joined = self.joined or bool(re.search(rb"code=.110.", stanza.raw))

    def _on_request(self, stanza: Stanza) -> None:
        payload = next(iter(stanza.element), None)
        name = payload.tag if payload is not None else ""
        if not self.serves(stanza.get("from")):  # K-102
            self.model.violations.append("request from %s" % stanza.get("from"))
            self._reply(stanza, "error", Refusal("forbidden").write())
        elif name == _NS + "conference-modify":
            self._on_colibri(stanza, payload)
        elif name == "{%s}healthcheck" % HEALTH:
            self.health_checks += 1
            self._on_health_check(stanza)
        elif name == "{%s}query" % VERSION:
            self._reply(
                stanza,
                "result",
                "<query xmlns='%s'><name>JVB</name><version>%s</version><os>Linux</os></query>"
                % (VERSION, escape(self.stats["version"])),
            )
        elif name == "{urn:xmpp:ping}ping":
            self._reply(stanza, "result", "")
        elif name == "{%s}query" % DISCO_INFO:
            self._reply(stanza, "result", "<query xmlns='%s'>%s</query>" % (
                DISCO_INFO, "".join("<feature var='%s'/>" % feature for feature in FEATURES)))
        else:
            self.other_requests.append(stanza)
            self.model.violations.append("request a bridge doesn't know: %r" % stanza)  # K-114: it may cost its stream
            self._reply(stanza, "error", Refusal("service-unavailable").write())

    def _on_health_check(self, stanza: Stanza) -> None:
        rule = self._rule({"health"}, None)
        if rule is None:
            self._reply(stanza, "result", "")
        elif rule.action == "error":
            self._reply(stanza, "error", _refusal(rule).write())

    def _on_colibri(self, stanza: Stanza, element: Any) -> None:
        request = Request(stanza, element)
        request.in_flight_before = self._open.get(request.meeting_id, 0)
        self.requests.append(request)
        rule = self._rule(request.kinds, request)
        action = rule.action if rule is not None else ""
        if rule is not None and action == "drop":
            return
        self._open[request.meeting_id] = request.in_flight_before + 1
        if rule is not None and action == "error":
            self._finish(request, error=_refusal(rule))
            return
        try:
            conference = self.model.receive(element)
        except Refusal as refusal:
            self._finish(request, error=refusal)
            return
        except Unparsable as error:
            self.model.violations.append("%s: %r" % (error, stanza))
            return
        seconds = self.delay(request) if callable(self.delay) else self.delay
        if rule is not None and action == "delay":
            seconds = rule.details["seconds"]

        def go() -> None:
            self._execute(request, conference, rule)

        if action == "hold":
            self._held.append(go)
            return
        # The order within one conference is kept (K-131), whatever the delays are.
        due = max(time.monotonic() + seconds, self._last_due.get(request.meeting_id, 0.0))
        self._last_due[request.meeting_id] = due
        if seconds or due > time.monotonic():
            self.loop.call_at(due, go)
        else:
            go()

    def _execute(self, request: Request, conference: Conference, rule: Optional[Rule]) -> None:
        if conference.expired:  # K-136: its queue is closed, nobody gets an answer
            return
        try:
            answer = self.model.execute(conference, request.element)
        except Refusal as refusal:
            self._finish(request, error=refusal)
            return
        action = rule.action if rule is not None else ""
        if action == "drop-answer":
            return
        if action == "wrong-result":
            answer = "<query xmlns='%s'/>" % VERSION
        elif action == "no-transport":
            answer = re.sub(r"<transport>.*</transport>", "", answer)
        self._finish(request, answer=answer)

    def _finish(self, request: Request, answer: str = "", error: Optional[Refusal] = None) -> None:
        request.answered_at = time.monotonic()
        self._open[request.meeting_id] -= 1
        if error is not None:
            request.error, request.error_text = error.condition, error.text
            answer = error.write() + echo(request.element)
        request.answer = answer
        self._reply(request.stanza, "error" if error is not None else "result", answer)

    def _reply(self, stanza: Stanza, kind: str, payload: str) -> None:
        if self.stream.closed:
            return
        self.stream.send(
            "<iq type='%s' to='%s' id='%s'>%s</iq>"
            % (kind, escape(stanza.get("from")), escape(stanza.get("id")), payload)
        )

    def _rule(self, kinds: set, request: Optional[Request]) -> Optional[Rule]:
        for rule in self._rules:
            if rule.fits(kinds, request):
                rule.times -= 1
                return rule
        return None


def _refusal(rule: Rule) -> Refusal:
    details = rule.details
    return Refusal(
        details["condition"], details.get("text", ""), details.get("reason", ""), details.get("endpoint", "")
    )
