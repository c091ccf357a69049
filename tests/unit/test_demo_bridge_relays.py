"""Relays of the demo bridge: what its table does with them, and which packet goes where (colibri.md section 5)."""

from __future__ import annotations

from typing import List, Tuple

import pytest

from focus.demo.bridge import rtcp
from focus.demo.bridge.colibri import Endpoint, Refused, Relay, Table
from focus.demo.bridge.request import EndpointRequest, RelayRequest
from focus.demo.bridge.room import Peer
from focus.values.sources import Source, SourceSet
from tests.unit.test_demo_bridge_colibri import MEETING, RecordingMedia, ask, creating, make_table
from tests.unit.test_demo_bridge_rtp import Ear, Meeting, camera, make_packet

CREATE = (
    "<relay id='r2' mesh-id='0' create='true'><transport use-unique-port='true' ice-controlling='true'/><endpoints>"
    "<endpoint id='bo' create='true'><capability name='source-names'/><sources>%s</sources></endpoint></endpoints>"
    "</relay>"
)
MICROPHONE = (
    "<media-source type='audio' id='bo-a0'><source xmlns='urn:xmpp:jingle:apps:rtp:ssma:0' ssrc='7'/></media-source>"
)


def shared_table() -> Tuple[Table, RecordingMedia]:
    """A table with the endpoint ada and the relay r2, behind which bo is."""
    media = RecordingMedia()
    table = make_table(media)
    table.relays_enabled = True
    ask(table, creating("ada"), create="true")
    ask(table, CREATE % MICROPHONE)
    return table, media


def relayed(table: Table) -> List[str]:
    return list(table.conferences[MEETING].relays["r2"].relayed)


def test_a_relay_lives_and_its_endpoints_with_it() -> None:
    """K-511, K-514, K-515, K-550 to K-553: created with transport, updated, expired; sources are full lists."""
    table, media = shared_table()
    relay = table.conferences[MEETING].relays["r2"]
    assert ("create", "r2", True) in media.told
    assert (relay.mesh_id, relay.unique_port) == ("0", True)
    assert [source.ssrc for source in relay.relayed["bo"].sources.sources] == [7]
    ask(table, "<relay id='r2'><endpoints><endpoint id='bo'><sources/></endpoint></endpoints></relay>")
    assert not relay.relayed["bo"].sources
    # an unknown one is passed over, with a positive answer
    ask(table, "<relay id='r2'><endpoints><endpoint id='cy'><sources/></endpoint></endpoints></relay>")
    assert relayed(table) == ["bo"]
    ask(
        table,
        "<relay id='r2'><endpoints><endpoint id='bo' expire='true'/>"
        "<endpoint id='cy' create='true'/></endpoints></relay>",
    )
    assert relayed(table) == ["cy"]
    answer = ask(table, "<relay id='r2' expire='true'/>")
    assert (answer[0].tag, answer[0].get("expire")) == ("{jitsi:colibri2}relay", "true")
    assert ("close", "r2") in media.told
    assert not table.conferences[MEETING].relays


def test_a_conference_ends_with_its_last_endpoint_and_relay() -> None:
    """K-351 to K-353: a relayed endpoint keeps it, a relay alone does not for long; both go with it."""
    table, media = shared_table()
    ask(table, "<endpoint id='ada' expire='true'/>")
    assert table.expire_idle(1000.0) == []
    ask(table, "<relay id='r2'><endpoints><endpoint id='bo' expire='true'/></endpoints></relay>")
    assert MEETING in table.conferences
    assert table.expire_idle(1000.0) == ["conference %s: empty" % MEETING]
    assert ("close", "r2") in media.told
    table, media = shared_table()
    ask(table, "<endpoint id='ada' expire='true'/>")
    ask(table, "<relay id='r2' expire='true'/>")
    assert not table.conferences


def test_an_endpoint_is_local_or_relayed() -> None:
    """K-341: relayed replaces local, local over relayed is refused."""
    table, media = shared_table()
    with pytest.raises(Refused) as refused:
        ask(table, creating("bo"))
    assert refused.value.condition == "internal-server-error"
    ask(table, "<relay id='r2'><endpoints><endpoint id='ada' create='true'/></endpoints></relay>")
    assert "ada" not in table.conferences[MEETING].endpoints
    assert ("close", "ada") in media.told


def join_relay(meeting: Meeting, mesh: str, *behind: Tuple[str, SourceSet]) -> Tuple[Peer, Ear]:
    """A relay with these endpoints behind it, which knows the payload types that endpoints know."""
    model, _ = meeting.join("model of " + mesh, SourceSet())
    meeting.room.remove(model, 0.0)
    relay = Relay(RelayRequest("relay of " + mesh, True, mesh_id=mesh), 0.0)
    relay.payload_types, relay.extensions = model.endpoint.payload_types, model.endpoint.extensions
    relay.kinds = model.endpoint.kinds
    for name, sources in behind:
        relay.relayed[name] = Endpoint(EndpointRequest(name, True), 0.0)
        relay.relayed[name].sources = sources
    ear = Ear()
    peer = Peer(relay, ear)
    peer.connected = True
    meeting.room.add(peer)
    meeting.room.set_sources(peer, 0.0)
    return peer, ear


def test_packets_never_return_into_their_mesh() -> None:
    """B-726: local to all relays; from a relay to local endpoints and to the relays of other meshes only."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    first, first_ear = join_relay(meeting, "0", ("bo", camera(200, "bo")))
    second, second_ear = join_relay(meeting, "1", ("cy", camera(300, "cy")))
    third, third_ear = join_relay(meeting, "0")
    ears = (ada_ear, first_ear, second_ear, third_ear)

    def heard_by() -> List[int]:
        return [number for number, ear in enumerate(ears) if ear.take()]

    meeting.room.on_rtp(ada, make_packet(ssrc=101), 1.0)
    assert heard_by() == [1, 2, 3]
    meeting.room.on_rtp(first, make_packet(ssrc=201), 1.0)
    assert heard_by() == [0, 2]
    meeting.room.on_rtp(second, make_packet(ssrc=301), 1.0)
    assert heard_by() == [0, 1, 3]
    # not announced as coming from there
    meeting.room.on_rtp(third, make_packet(ssrc=201), 1.0)
    assert heard_by() == []


def test_feedback_crosses_a_relay() -> None:
    """K-1150, K-1152: a keyframe request goes to the relay that the source comes from, a NACK is answered over it."""
    meeting = Meeting()
    ada, ada_ear = meeting.join("ada", camera(100, "ada"))
    relay, relay_ear = join_relay(meeting, "0", ("bo", SourceSet([Source(201, "video", "bo-v0")])))
    relay_ear.requests()
    ada_ear.requests()
    meeting.room.on_rtcp(ada, rtcp.write_pli(1, 201), 5.0)
    assert relay_ear.requests() == [201]
    meeting.room.on_rtcp(relay, rtcp.write_pli(1, 101), 5.0)
    assert ada_ear.requests() == [101]
    meeting.room.on_rtp(ada, make_packet(ssrc=101, sequence=9), 6.0)
    assert [packet.ssrc for packet in relay_ear.take()] == [101]
    meeting.room.on_rtcp(relay, rtcp.write_nack(1, 101, [9]), 6.0)
    assert [packet.ssrc for packet in relay_ear.take()] == [111]
    for sequence in (1, 4):
        meeting.room.on_rtp(relay, make_packet(ssrc=201, sequence=sequence), 7.0)
    meeting.room.ten_times_a_second(7.2)
    nacks = [part for data in relay_ear.rtcp for part in rtcp.split_compound(data) if part.kind == rtcp.RTPFB]
    assert rtcp.read_nack(nacks[0]) == (201, [2, 3])
