"""Bridges that are components, found by service discovery, by PubSub, by their names; a real Prosody and its PubSub
(bridge.md B-1001 to B-1003, colibri.md K-775)."""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Tuple

import pytest

from tests.support.component_bridge import ComponentBridge
from tests.support.focus_process import FocusProcess
from tests.support.loop import Loop
from tests.support.prosody import COMPONENT_SECRET, DOMAIN, Prosody
from tests.support.stage import Stage, full_prosody, log_lines, wait_usable

FIRST, SECOND = "jitsi-videobridge." + DOMAIN, "jvb2." + DOMAIN
PUBSUB = "pubsub." + DOMAIN
NODE = "bridge-statistics"
PUBSUB_HOST = """
Component "%s" "pubsub"
  admins = { "%s", "%s" }
  autocreate_on_publish = true
  autocreate_on_subscribe = true
""" % (PUBSUB, FIRST, SECOND)
QUICK = ("--service_rediscovery_interval=1", "--reply_timeout=3", "--no_bridge_grace=1", "--health_checks_interval=1",
         "--colibri=2")
"""Real ones speak Colibri 1, which their features say; these know today's requests (see test_demo_bridge_component)."""


def prosody_for_bridges() -> Prosody:
    """A server with room for two bridges and a PubSub service."""
    prosody = full_prosody(components=dict.fromkeys(("focus." + DOMAIN, FIRST, SECOND), COMPONENT_SECRET))
    prosody.configuration.write_text(prosody.configuration.read_text() + PUBSUB_HOST)
    return prosody


@pytest.fixture(scope="module")
def components() -> Iterator[Prosody]:
    """The server of most tests here."""
    with prosody_for_bridges() as prosody:
        yield prosody


class Place(Stage):
    """A stage with bridges that are components."""

    def component(self, domain: str, **settings: Any) -> ComponentBridge:
        """A bridge at this address."""
        bridge = ComponentBridge(self.loop, self.prosody, domain, **settings)
        self.bridges.append(bridge)
        return bridge

    def call_on(self, bridge: ComponentBridge, count: int = 2) -> List[Any]:
        """So many participants in a call on that bridge."""
        clients, room = [self.client() for _ in range(count)], self.room()
        self.call(room, *clients)
        assert len(bridge.requests_of(kind="create-endpoint")) >= count
        return clients


@pytest.fixture
def place(components: Prosody, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A focus with the options that a test gives by parametrisation, and its peers."""
    options = (*QUICK, *getattr(request, "param", ()))
    with FocusProcess(components, options=options) as focus:
        if "--brewery_jid=none" in options:
            with Loop() as loop:
                focus.wait_ready(loop, 30)
        else:
            wait_usable(focus)
        one = Place(components, focus)
        one._log_begin = 0
        with one:
            yield one
            one.check()


def test_one_is_found_carries_a_call_and_goes(place: Place) -> None:
    """B-1001, K-775, B-1013: found within the interval, with its version; when it goes, the conference leaves it."""
    first = place.component(FIRST)
    place.wait_log("Added new videobridge: %s (discovered)" % FIRST)
    clients = place.call_on(first)
    second = place.component(SECOND)
    place.wait_log("Added new videobridge: %s (discovered)" % SECOND)
    assert not second.requests
    first.close()
    place.wait_log("Lost a bridge: " + FIRST)
    for client in clients:
        client.wait(lambda: len(client.sessions) == 2 and client.sessions[1].state == "active", 25,  # noqa: B023
                    "in a second session")
    assert {name for request in second.requests_of(kind="create-endpoint") for name in request.endpoints} == {
        client.endpoint for client in clients}
    first.model.conferences.clear()  # it was restarted
    first.come_back()
    place.wait(lambda: place.log().count("Added new videobridge: %s (discovered)" % FIRST) == 2, "found again")
    place.wait(lambda: first.requests_of(kind="expire-conference"), "what was left behind on it is ended")


def test_a_restart_of_the_focus_takes_no_bridge_from_a_call(place: Place) -> None:
    """DESIGN, idea 3: rows that were found stay until the server says otherwise."""
    first = place.component(FIRST)
    place.wait_log("Added new videobridge: " + FIRST)
    clients = place.call_on(first)
    asked = len(first.requests)
    place.focus.kill()
    place.focus.start()
    place.wait_log("Serving again")
    third = place.client()
    place.enter(place.room(), third)
    newcomer = place.client()
    place.enter(third.room, newcomer)
    newcomer.wait_session(20)
    assert all(len(client.sessions) == 1 for client in clients)
    assert "Lost a bridge" not in place.log() and len(first.requests) > asked


NAMED = ("--brewery_jid=none", "--service_rediscovery_interval=0", "--bridge_jids=" + FIRST)


@pytest.mark.parametrize("place", [NAMED], indirect=True)
def test_one_is_named_and_there_is_no_brewery(place: Place) -> None:
    """B-1003: it is there because the operator says so."""
    first = place.component(FIRST, features=())
    place.wait_log("Added new videobridge: %s (named)" % FIRST)
    place.call_on(first)
    assert not log_lines(place.log(), "SEVERE")


@pytest.mark.parametrize("place", [("--client_bridges=" + SECOND,)], indirect=True)
def test_one_is_asked_for(place: Place) -> None:
    """B-1003: only who asks for it gets it; without leave nobody does."""
    first, second = place.component(FIRST), place.component(SECOND, features=())
    place.wait_log("Added new videobridge: %s (discovered)" % FIRST)
    wishes: List[Tuple[str, Dict[str, str]]] = [
        (FIRST, {}), (FIRST, {"enforcedBridge": "jvb.evil.example"}), (FIRST, {"bridge": SECOND}),
        (SECOND, {"enforcedBridge": SECOND.upper()})]
    for wanted, enforced in wishes:
        clients, room = [place.client(), place.client()], place.room()
        clients[0].request("set", place.focus.jid, clients[0].conference_request(room, enforced))
        place.call(room, *clients)
        bridge = {FIRST: first, SECOND: second}[wanted]
        assert all(bridge.endpoint(client.endpoint) is not None for client in clients)


SHARED = ("--service_rediscovery_interval=0", "--pubsub_address=" + PUBSUB, "--pubsub_stats_node=" + NODE,
          "--max_stats_report_age=2", "--pubsub_retry_interval=1")
MAPPED = ("--service_rediscovery_interval=0", "--pubsub_address=" + PUBSUB, "--max_stats_report_age=2",
          "--pubsub_retry_interval=1", "--pubsub_bridge_nodes=%s:first; %s:second" % (FIRST, SECOND))


@pytest.mark.parametrize("place", [SHARED, MAPPED], ids=["shared node", "node per bridge"], indirect=True)
def test_statistics_by_pubsub(place: Place, request: pytest.FixtureRequest) -> None:
    """B-1002: they find bridges and tell their load; silence or the word of the bridge itself ends that."""
    shared = "shared" in request.node.name
    first = place.component(FIRST, pubsub=PUBSUB, node=NODE if shared else "first", stats_interval=0.5,
                            stats={"stress_level": "0.7"})
    second = place.component(SECOND, pubsub=PUBSUB, node=NODE if shared else "second", stats_interval=0.5)
    for bridge in (first, second):
        place.wait_log("Added new videobridge: %s (published)" % bridge.jid)
    clients = place.call_on(second)
    assert not first.requests
    second.stop_publishing()
    place.wait_log("Lost a bridge: %s: it has published nothing new" % SECOND)
    for client in clients:
        client.wait(lambda: len(client.sessions) == 2 and client.sessions[1].state == "active", 25,  # noqa: B023
                    "in a second session")
    second.publish()
    place.wait(lambda: place.log().count("Added new videobridge: %s (published)" % SECOND) == 2, "back")
    second.publish_item("<service-unavailable xmlns='urn:xmpp:x'/>")
    place.wait_log("Lost a bridge: %s: it says that it is not available" % SECOND)


@pytest.mark.parametrize("place", [SHARED], indirect=True)
def test_statistics_come_to_a_later_process_too(place: Place) -> None:
    """DESIGN, "Coming back": the stream goes on, and the subscription with it."""
    first = place.component(FIRST, pubsub=PUBSUB, node=NODE, stats_interval=0.5)
    place.wait_log("Added new videobridge: %s (published)" % FIRST)
    clients = place.call_on(first)
    place.focus.kill()
    place.focus.start()
    place.wait_log("Serving again")
    first.publish(drain="true", version="9.9")  # another version is another process, so the call is made anew
    place.wait(lambda: all(len(client.sessions) == 2 for client in clients), "statistics are heard", place.log)
    place.wait(lambda: all(client.sessions[1].state == "active" for client in clients), "in a second session")
    place.never(lambda: "nothing new" in place.log(), 5.0, "it was called silent")


def test_after_the_server_was_restarted() -> None:
    """B-1001, B-1002, T-38: subscribed again, found again; nothing has to be done by hand."""
    with prosody_for_bridges() as prosody, FocusProcess(prosody, options=(*QUICK, *SHARED)) as focus:
        wait_usable(focus)
        place = Place(prosody, focus)
        place._log_begin = 0
        with place:
            first = place.component(FIRST, pubsub=PUBSUB, node=NODE, stats_interval=0.5)
            place.wait_log("Added new videobridge: %s (published)" % FIRST)
            prosody.stop()
            place.wait(lambda: first.stream.closed, "the bridge has lost the server")
            prosody.start()
            place.wait(lambda: place.log().count("Subscribed to the bridges' statistics") == 2, "subscribed again",
                       place.log, 60)
            first.come_back()
            first.publish(version="3.0")
            place.wait(lambda: place.log().count("Joined the brewery") == 2, "in the brewery", place.log, 30)
            clients, room = [place.client(), place.client()], place.room()
            place.call(room, *clients)
            assert all(first.endpoint(client.endpoint) is not None for client in clients)
            place.check()


@pytest.mark.parametrize("place", [SHARED], indirect=True)
def test_others_than_the_service_are_not_heard(place: Place) -> None:
    """B-1002: an address that is no bridge, or of a foreign domain, or an event that a guest sends."""
    first = place.component(FIRST, pubsub=PUBSUB, node=NODE, stats_interval=0.5)
    place.wait_log("Added new videobridge: %s (published)" % FIRST)
    stats = "<stats xmlns='http://jitsi.org/protocol/colibri'><stat name='version' value='1'/></stats>"
    first.publish_item(stats, PUBSUB)
    first.publish_item(stats, "jvb.evil.example")
    place.wait_log("Statistics of %s are published, but it doesn't say that it is a bridge" % PUBSUB)
    place.wait_log("Statistics of jvb.evil.example are published, but it doesn't belong to " + DOMAIN)
    guest = place.client()
    guest.stream.send(
        "<message to='%s'><event xmlns='http://jabber.org/protocol/pubsub#event'><items node='%s'><item id='%s'>"
        "<service-unavailable/></item></items></event></message>" % (place.focus.jid, NODE, FIRST))
    place.call_on(first)
    assert "Lost a bridge" not in place.log() and place.log().count("Added new videobridge") == 1
    assert not log_lines(place.log(), "SEVERE")
