"""Features -> offer: each client generation gets exactly what it can read (jingle.md sections 2, 3 and 9).

The expectations stand in ``tests/support/generations.py``; here the offer is read with nothing of the focus's own
readers, and compared with them, with the bridge's description of the same endpoint and with captured offers.
"""
from __future__ import annotations

import json
from typing import Any, Dict, List, Set, Tuple
from xml.parsers import expat

import pytest
from lxml import etree

from tests.support.generation_answers import RESIDENT_2022, RESIDENT_2026, RESIDENT_GATEWAY
from tests.support.generation_room import Room, Visit, captured_pair
from tests.support.generations import (
    BY_NAME,
    EXTENSIONS,
    GENERATIONS,
    ICE,
    OFFER_ELEMENTS,
    RTP,
    SSMA,
    Generation,
    Media,
)
from tests.wire.compare import child_order, differences

JINGLE = "{urn:xmpp:jingle:1}"
COLIBRI = "{jitsi:colibri2}"
FEEDBACK = "{urn:xmpp:jingle:apps:rtp:rtcp-fb:0}"
HEADER_EXTENSIONS = "{urn:xmpp:jingle:apps:rtp:rtp-hdrext:0}"
#: All elements with a key of their own are known, so that nothing is overlooked.
PAYLOAD_ATTRIBUTES = {"id", "name", "clockrate", "channels"}

#: The bridge of the harness and its sources, with the msid that clients must get (J-363).
BRIDGES_SOURCES = ["audio jvb-a0 411312308 mixedmslabel mixedlabelaudio0",
                   "video jvb-v0 3929652146 mixedmslabel mixedlabelvideo0"]

every_generation = pytest.mark.parametrize("generation", GENERATIONS, ids=[g.name for g in GENERATIONS])


def visit(generation: Generation) -> Visit:
    """It comes as the fourth into a room that starts muted from the third video and the ninth audio on."""
    room = Room(properties={"startAudioMuted": "9", "startVideoMuted": "3"}, **generation.options)
    return room.come(generation, generation.answer.nick)


# --- reading --------------------------------------------------------------------------------------------------------

def media_of(parent: Any) -> Media:
    """A ``description`` or the bridge's ``media`` in the words of the table."""
    payloads = []
    for payload in parent.iter("{%s}payload-type" % RTP):
        assert set(payload.attrib) <= PAYLOAD_ATTRIBUTES
        line = "%s %s/%s" % (payload.get("id"), payload.get("name"), payload.get("clockrate"))
        line += "/" + payload.get("channels") if payload.get("channels") is not None else ""
        for parameter in payload.iter("{%s}parameter" % RTP):
            name = parameter.get("name")
            line += " %s%s" % ("" if name is None else name + "=", parameter.get("value"))
        feedback = [" ".join(filter(None, (one.get("type"), one.get("subtype")))) for one in payload.iter(
            FEEDBACK + "rtcp-fb")]
        payloads.append(line + (" [%s]" % ", ".join(feedback) if feedback else ""))
    extensions = []
    for extension in parent.iter(HEADER_EXTENSIONS + "rtp-hdrext"):
        number = int(extension.get("id"))
        assert extension.get("uri") == EXTENSIONS[number]
        extensions.append(number)
    assert len(parent.findall(HEADER_EXTENSIONS + "extmap-allow-mixed")) == 1  # J-330
    return Media(tuple(payloads), tuple(extensions))


def heard_in_json(jingle: Any) -> Dict[str, List[str]]:
    """Sources by owner, in the words of the table (J-402 to J-404)."""
    (message,) = jingle.findall("{http://jitsi.org/jitmeet}json-message")
    body = json.loads(message.text)
    assert list(body) == ["sources"]
    heard = {}
    for owner, columns in body["sources"].items():
        assert 3 <= len(columns) <= 4
        lines = []
        for media, column in (("audio", columns[2]), ("video", columns[0])):
            for source in column:
                assert set(source) <= {"s", "n", "m", "v"} and type(source["s"]) is int
                assert source.get("v") in (None, "d")
                lines.append("%s %s %d %s%s" % (media, source["n"], source["s"], source["m"],
                                                " desktop" if "v" in source else ""))
        for group in columns[1] + (columns[3] if len(columns) == 4 else []):
            lines.append(" ".join([{"f": "FID", "s": "SIM"}[group[0]]] + [str(ssrc) for ssrc in group[1:]]))
        heard[owner] = lines
    return heard


def heard_in_xml(jingle: Any) -> Dict[str, List[str]]:
    """The same of the XML form (J-411 to J-417)."""
    heard: Dict[str, List[str]] = {}
    groups: List[Tuple[str, str]] = []
    owners: Dict[str, str] = {}
    for description in jingle.iter("{%s}description" % RTP):
        for source in description.findall("{%s}source" % SSMA):
            info, parameter = source
            assert info.tag == "{http://jitsi.org/jitmeet}ssrc-info" and parameter.get("name") == "msid"
            owners[source.get("ssrc")] = owner = info.get("owner")
            kind = source.get("videoType")
            heard.setdefault(owner, []).append("%s %s %s %s%s" % (
                description.get("media"), source.get("name"), source.get("ssrc"), parameter.get("value"),
                "" if kind is None else " " + kind))
        for group in description.findall("{%s}ssrc-group" % SSMA):
            members = [member.get("ssrc") for member in group]
            groups.append((owners[members[0]], " ".join([group.get("semantics"), *members])))
    for owner, line in groups:
        heard[owner].append(line)
    return heard


def heard(jingle: Any, form: str) -> Dict[str, List[str]]:
    """What a client is told, which must stand in one form only."""
    in_xml = heard_in_xml(jingle)
    if form == "xml":
        assert jingle.find("{http://jitsi.org/jitmeet}json-message") is None
        return in_xml
    assert in_xml == {}
    return heard_in_json(jingle)


def readable(lines: Tuple[str, ...], generation: Generation) -> List[str]:
    """The part of what is told that this generation gets: its media (J-731), in its form."""
    kept = []
    for line in lines:
        media = "video" if line.startswith(("video", "FID", "SIM")) else "audio"
        if (generation.audio if media == "audio" else generation.video) is not None:
            # JSON has no word for a camera (J-403)
            kept.append(line[:-len(" camera")] if generation.form == "json" and line.endswith(" camera") else line)
    return kept


# --- the offer ------------------------------------------------------------------------------------------------------

@every_generation
def test_codecs_and_extensions(generation: Generation) -> None:
    """Sections 3.1 to 3.4: contents, BUNDLE, payload types, extensions, data channel."""
    offer = visit(generation).offer
    wanted = [("audio", generation.audio), ("video", generation.video)]
    names = [name for name, media in wanted if media is not None] + (["data"] if generation.data else [])
    contents = offer.findall(JINGLE + "content")
    assert [dict(content.attrib) for content in contents] == [
        {"creator": "initiator", "name": name, "senders": "both"} for name in names]  # J-301
    bundle = offer.find("{urn:xmpp:jingle:apps:grouping:0}group")
    assert bundle.get("semantics") == "BUNDLE" and [one.get("name") for one in bundle] == names  # J-302
    for content, (name, media) in zip(contents, [pair for pair in wanted if pair[1] is not None]):
        described = content.find("{%s}description" % RTP)
        assert media_of(described) == media
        assert dict(described.attrib) == dict({"media": name}, **({"maxptime": "60"} if name == "audio" else {}))
    for content in contents:
        assert len(content.findall("{%s}description/{%s}rtcp-mux" % (RTP, RTP))) == 1  # J-331
    if generation.data:
        described, carried = contents[-1]
        assert dict(described.attrib) == {"media": "application"} and child_order(described) == ["rtcp-mux"]
        assert dict(carried[-1].attrib) == {"number": "5000", "protocol": "webrtc-datachannel", "streams": "1024"}


@every_generation
def test_transport_and_frame(generation: Generation) -> None:
    """Sections 3.1 and 3.5."""
    offer = visit(generation).offer
    assert set(offer.attrib) == {"action", "sid", "initiator"}
    assert offer.get("initiator") == "focus@auth.meet.example/focus"  # J-103
    for carried in offer.iter("{%s}transport" % ICE):
        assert dict(carried.attrib) == {"ufrag": "bu", "pwd": "bp"}  # J-351
        fingerprint = carried.find("{urn:xmpp:jingle:apps:dtls:0}fingerprint")
        assert dict(fingerprint.attrib) == {"hash": "sha-256", "setup": "actpass", "required": "false",
                                            "cryptex": "false"}  # J-352, J-353
        assert fingerprint.text == "CC:DD"
        (candidate,) = carried.findall("{%s}candidate" % ICE)
        assert {"foundation", "component", "protocol", "priority", "ip", "port", "type"} <= set(candidate.attrib)
        (socket,) = carried.findall("{http://jitsi.org/protocol/colibri}web-socket")
        assert list(socket.attrib) == ["url"] and "/%s?" % generation.answer.nick in socket.get("url")
    muted = offer.find("{http://jitsi.org/jitmeet/start-muted}startmuted")
    assert dict(muted.attrib) == {"audio": "false", "video": "true"}  # J-305
    session = offer.find("{http://jitsi.org/protocol/focus}bridge-session")
    assert list(session.attrib) == ["id"]  # J-303, J-304: this bridge has no region


@every_generation
def test_sources(generation: Generation) -> None:
    """J-361 to J-363, J-401, J-731, J-741; J-422: those of early 2022 and of the gateway have names here."""
    offer = visit(generation).offer
    wanted = {"jvb": readable(tuple(BRIDGES_SOURCES), generation)}
    if generation.hears == "all":
        for answer in (RESIDENT_2026, RESIDENT_2022, RESIDENT_GATEWAY):
            lines = readable(answer.told, generation)
            if lines:
                wanted[answer.nick] = lines
    assert heard(offer, generation.form) == wanted


@every_generation
def test_elements(generation: Generation) -> None:
    """T-5: each element has its namespace, says it itself where clients look for it, and stands in its place."""
    visited = visit(generation)
    seen = elements(visited.text)
    assert sorted({path for path, _, _ in seen if path not in OFFER_ELEMENTS}) == []
    for path, namespace, declared in seen:
        assert (path, namespace, declared) == (path, *OFFER_ELEMENTS[path])
    in_order(visited.offer, "")


def elements(text: str) -> List[Tuple[str, str, bool]]:
    """(path below ``jingle``, namespace, whether it is an attribute of the element) of each; prefixes are refused."""
    found: List[Tuple[str, str, bool]] = []
    open_elements: List[Tuple[str, str]] = []

    def start(name: str, attributes: Dict[str, str]) -> None:
        assert ":" not in name and not any(key.startswith("xmlns:") for key in attributes), name
        namespace = attributes.get("xmlns", open_elements[-1][1] if open_elements else "")
        open_elements.append((name, namespace))
        path = [one for one, _ in open_elements]
        if "jingle" in path[:-1]:
            found.append(("/".join(path[path.index("jingle") + 1:]), namespace, "xmlns" in attributes))

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda name: open_elements.pop() and None
    parser.Parse(text, True)
    return found


def in_order(el: Any, path: str) -> None:
    """The children of each element stand in the order of the table, those of one name together."""
    below = [known[len(path):] for known in OFFER_ELEMENTS if known.startswith(path) and "/" not in known[len(path):]]
    present = child_order(el)
    assert present == [name for name in below if name in present], path
    for child in el:
        in_order(child, path + etree.QName(child).localname + "/")


# --- the bridge -----------------------------------------------------------------------------------------------------

@every_generation
def test_the_bridge_is_told_the_same(generation: Generation) -> None:
    """J-329, J-342, J-354, J-921, J-924, K-220, K-221, K-901, T-24: the offer is what the bridge knows."""
    visited = visit(generation)
    endpoint = visited.endpoint
    media = {one.get("type"): one for one in endpoint.findall(COLIBRI + "media")}
    wanted = {"audio": generation.audio, "video": generation.video}
    assert {name: media_of(one) for name, one in media.items()} == {
        name: one for name, one in wanted.items() if one is not None}
    for content in visited.offer.findall(JINGLE + "content"):
        if content.get("name") in media:
            described = [el for el in content[0] if el.tag not in (
                "{%s}rtcp-mux" % RTP, "{%s}source" % SSMA, "{%s}ssrc-group" % SSMA)]
            assert [etree.tostring(el, method="c14n") for el in media[content.get("name")]] == [
                etree.tostring(el, method="c14n") for el in described]
    assert tuple(one.get("name") for one in endpoint.findall(COLIBRI + "capability")) == generation.capabilities
    carried = endpoint.find(COLIBRI + "transport")
    assert dict(carried.attrib) == {"ice-controlling": "true"}
    assert [etree.QName(one).localname for one in carried] == (["sctp"] if generation.data else [])
    assert dict(endpoint.attrib) == dict(
        {"id": generation.answer.nick, "create": "true", "stats-id": "S-" + generation.answer.nick},
        **({"muc-role": "visitor"} if generation.role == "visitor" else {}))  # J-902
    assert child_order(endpoint) == ["media", "transport", "sources", "capability"]


# --- captured shapes ------------------------------------------------------------------------------------------------

AUDIO_CONTENT = "/jingle/content[@name='audio']"
VIDEO_CONTENT = "/jingle/content[@name='video']"
PAYLOAD = "/description/payload-type[@id='%d']"
H264 = VIDEO_CONTENT + PAYLOAD % 107
VIDEO_CODECS, VIDEO_RTX = (41, 100, 107, 101), (42, 96, 97, 99)

#: Of another call: no difference.
CALLS_OWN = {"/jingle/@sid", "/jingle/bridge-session/@id"}

#: Deliberate, in every offer: (difference, item that wants it). +: only ours has it, -: only theirs.
DELIBERATE = [
    ("-/jingle/traceparent", "J-306"),
    (H264 + "/parameter[@name='profile-level-id']/@value", "J-324"),
    ("+" + H264 + "/parameter[@name='level-asymmetry-allowed']", "J-324"),
    ("+" + H264 + "/parameter[@name='packetization-mode']", "J-324"),
]

#: What sets a generation apart from the captured ones: group of differences -> (item, differences).
APART: Dict[str, Tuple[str, List[str]]] = {
    "no TCC": ("3.2, 3.3", [
        "-" + AUDIO_CONTENT + PAYLOAD % 111 + "/rtcp-fb[@type='transport-cc']",
        "-" + AUDIO_CONTENT + "/description/rtp-hdrext[@id='5']",
        "-" + VIDEO_CONTENT + "/description/rtp-hdrext[@id='5']",
        *["-" + VIDEO_CONTENT + PAYLOAD % codec + "/rtcp-fb[@type='transport-cc']" for codec in VIDEO_CODECS]]),
    "REMB": ("J-321", [
        "+" + VIDEO_CONTENT + PAYLOAD % codec + "/rtcp-fb[@type='goog-remb']" for codec in VIDEO_CODECS]),
    "no RTX": ("J-322", ["-" + VIDEO_CONTENT + PAYLOAD % rtx for rtx in VIDEO_RTX]),
    "RED": ("J-313", ["+" + AUDIO_CONTENT + PAYLOAD % 112,
                      "-" + AUDIO_CONTENT + PAYLOAD % 111 + "/parameter[@name='useinbandfec']"]),
    "no video": ("J-302", ["-" + VIDEO_CONTENT, "-/jingle/group/content[@name='video']"]),
    "no audio": ("J-302", ["-" + AUDIO_CONTENT, "-/jingle/group/content[@name='audio']"]),
    "XML": ("J-401, J-411", ["-/jingle/json-message", "+" + AUDIO_CONTENT + "/description/source",
                             "+" + VIDEO_CONTENT + "/description/source"]),
}


def apart(generation: Generation) -> Set[str]:
    """The differences that its groups name; those below a content that isn't there are none."""
    found = {difference for difference, _ in DELIBERATE} | {
        difference for name in generation.differs for difference in APART[name][1]}
    gone = [content for name, content in (("no audio", AUDIO_CONTENT), ("no video", VIDEO_CONTENT))
            if name in generation.differs]
    kept = {difference for difference in found
            if not any(difference.lstrip("+-").startswith(content + "/") for content in gone)}
    if gone and generation.form == "json":  # the bridge's source of the other media
        kept |= {"/jingle/json-message/sources/*"}
    return kept


@every_generation
@pytest.mark.parametrize("call, nick", [("call-2026", "8fc54621"), ("call-2022", "d734450a")])
def test_shape_of_the_captured_offers(generation: Generation, call: str, nick: str) -> None:
    """Element by element like the captured offer for the same answer of the bridge, but for what the tables name.

    The calls were captured with data channels off in the focus, so nobody is offered one (J-342).
    """
    theirs, modified = captured_pair(call, nick, generation.answer.nick)
    room = Room(residents=False, sctp_enabled="false", **generation.options)
    ours = room.come(generation, generation.answer.nick, modified).offer
    found = {shown for shown in differences(ours, theirs) if shown not in CALLS_OWN}
    wanted = apart(generation)
    assert sorted(found - wanted) == [], "not in the tables"
    assert sorted(wanted - found) == [], "not needed any more"
    assert child_order(ours) == [name for name in child_order(theirs) if name != "traceparent" and (
        name != "json-message" or generation.form == "json")]


def test_the_table_has_no_gaps() -> None:
    """Every generation has a name of its own, every group of differences is somebody's, each form has a reader."""
    assert len(BY_NAME) == len(GENERATIONS)
    assert {name for generation in GENERATIONS for name in generation.differs} == set(APART)
    assert {(generation.form, generation.hears) for generation in GENERATIONS} == {
        ("json", "all"), ("json", "bridge"), ("xml", "all")}
