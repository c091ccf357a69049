"""Each rule for changing sources, with the exact answer to its violation (jingle.md section 6).

Every row is asked for twice: by a source-add (or source-remove) in a running session, and by the accept of one that has
begun; then it costs the session (J-526). Nothing may change, and nobody hears of it. What is accepted, and what becomes
of the table, is in ``test_validation``.
"""
from __future__ import annotations

from typing import Any, Dict, List, Tuple

import pytest
from lxml import etree

from tests.support import media
from tests.support.harness import CLIENT_FEATURES, CLIENT_TRANSPORT, Scene, content
from tests.support.jingle_answers import (
    ANNA,
    BAD,
    BO,
    CARLA,
    LIMIT,
    OK,
    ask,
    shape,
    sid_of,
    snapshot,
    text_of_refusal,
    to_client,
    to_the_bridge,
)

SSMA = "urn:xmpp:jingle:apps:rtp:ssma:0"


def source(ssrc: Any, msid: str, name: str, more: str = "") -> str:
    return "<source xmlns='%s' %s%s%s>%s</source>" % (
        SSMA, "ssrc='%s'" % ssrc if ssrc != "" else "", " name='%s'" % name if name else "", more,
        "<parameter name='msid' value='%s'/>" % msid if msid else "")


def v(ssrc: Any, msid: str = "m1", name: str = "anna0001-v0") -> str:
    """A video source."""
    return source(ssrc, msid, name)


def a(ssrc: Any, msid: str = "ma", name: str = "anna0001-a0") -> str:
    """An audio source."""
    return source(ssrc, msid, name)


def group(semantics: str, *ssrcs: Any) -> str:
    return "<ssrc-group xmlns='%s' semantics='%s'>%s</ssrc-group>" % (
        SSMA, semantics, "".join("<source ssrc='%s'/>" % ssrc for ssrc in ssrcs))


def sim(*ssrcs: int) -> str:
    return group("SIM", *ssrcs)


def fid(*ssrcs: int) -> str:
    return group("FID", *ssrcs)


def video(*parts: str) -> str:
    return content("video", "".join(parts))


def audio(*parts: str) -> str:
    return content("audio", "".join(parts))


CAMERA = video(*(v(n) for n in (1, 2, 3, 4, 5, 6)), sim(1, 2, 3), fid(1, 4), fid(2, 5), fid(3, 6))
BOS = video(v(90, "m9", "bo000002-v0")) + audio(a(91, "m91", "bo000002-a0"))


def many(*ssrcs: int) -> str:
    """Sources without msid: as many as one likes."""
    return video(*(v(n, "") for n in ssrcs))


ADDING = [
    # rule, what she has, what she asks for besides, the words of the refusal
    ("J-611 missing", "", video(v("")), "ssrc is missing or not a decimal number"),
    ("J-611 not a number", "", video(v("0x10")), "ssrc is missing or not a decimal number"),
    ("J-611 zero", "", video(v(0)), "ssrc 0 is out of range"),
    ("J-611 negative beyond 32 bits", "", video(v(-(1 << 31) - 1)), "ssrc -2147483649 is out of range"),
    ("J-611 too big", "", video(v(1 << 32)), "ssrc 4294967296 is out of range"),
    ("J-626", "", video(source("", "m1", "anna0001-v0", " rid='1'")), "ssrc is missing or not a decimal number"),
    ("J-509 media", "", content("text", v(1)), "sources of a media type other than audio and video"),
    ("J-509 semantics", "", video(v(1), v(2), group("FEC-FR", 1, 2)), "semantics of an ssrc-group is none of SIM, FID"),
    ("J-612 own", video(v(1)), video(v(1)), "ssrc 1 is in use"),
    ("J-612 own, other media", video(v(1)), audio(a(1)), "ssrc 1 is in use"),
    ("J-612 another's", "", video(v(90)), "ssrc 90 is in use"),
    ("J-612 another's, other media", "", audio(a(90)), "ssrc 90 is in use"),
    ("J-625 twice, equal", "", video(v(1), v(1)), "ssrc 1 is in use"),
    ("J-625 twice, different", "", video(v(1)) + audio(a(1)), "ssrc 1 is in use"),
    ("J-625 twice, other msid", "", video(v(1), v(1, "m2")), "ssrc 1 is in use"),
    ("J-613", "", video(v(1, "m9")), "msid 'm9' is in use"),
    ("J-613 other media", "", audio(a(1, "m9")), "msid 'm9' is in use"),
    ("J-614", many(*range(1, 20)), many(30, 31), "more than 20 sources"),
    ("J-614 of both media", many(*range(1, 20)), many(30) + audio(a(31)), "more than 20 sources"),
    ("J-615 unknown", "", video(v(1), fid(1, 2)), "group names ssrc 2, which is no video source of yours"),
    ("J-615 another's", "", video(v(1), fid(1, 90)), "group names ssrc 90, which is no video source of yours"),
    ("J-615 other media", "", video(v(1), fid(1, 2)) + audio(a(2, "m1")),
     "group names ssrc 2, which is no video source of yours"),
    ("J-616", "", video(*(v(n) for n in range(1, 8)), *(fid(x, y) for x in range(1, 8) for y in range(1, 4))),
     "more than 20 groups"),
    ("J-617 one", "", video(v(1), fid(1)), "group FID 1 needs exactly 2 sources"),
    ("J-617 three", "", video(v(1), v(2), v(3), fid(1, 2, 3)), "group FID 1 2 3 needs exactly 2 sources"),
    ("J-618", "", video(v(1, ""), v(2), fid(1, 2)), "ssrc 1 is in a group and has no msid"),
    ("J-618 of a simulcast", "", video(v(1), v(2, ""), sim(1, 2)), "ssrc 2 is in a group and has no msid"),
    ("J-618 an old source", many(1), video(v(2), fid(2, 1)), "ssrc 1 is in a group and has no msid"),
    ("J-619", "", video(v(1), v(2, "m2"), fid(1, 2)), "group FID 1 2 has different msids"),
    ("J-620 single sources", "", video(v(1), v(2)), "msid 'm1' belongs to unrelated sources, ssrc 1 and ssrc 2"),
    ("J-620 an old one", video(v(1)), video(v(2)), "msid 'm1' belongs to unrelated sources, ssrc 1 and ssrc 2"),
    ("J-620 two pairs", "", video(v(1), v(2), v(3), v(4), fid(1, 2), fid(3, 4)),
     "msid 'm1' belongs to unrelated sources, ssrc 1 and ssrc 3"),
    ("J-620 a second camera", CAMERA, video(v(11), v(12), fid(11, 12)),
     "msid 'm1' belongs to unrelated sources, ssrc 1 and ssrc 11"),
    ("J-620 audio", "", audio(a(1), a(2)), "msid 'ma' belongs to unrelated sources, ssrc 1 and ssrc 2"),
    ("J-423", "", video(v(1, name="bo000002-v0")), "source name 'bo000002-v0' does not begin with 'anna0001-'"),
    ("J-423 a prefix only", "", video(v(1, name="anna00010-v0")),
     "source name 'anna00010-v0' does not begin with 'anna0001-'"),
    ("order: J-611, J-615", "", video(v(1), v(0), fid(1, 2)), "ssrc 0 is out of range"),
    ("order: J-612, J-614", many(*range(1, 21)), many(5), "ssrc 5 is in use"),
    ("order: J-613, J-614", many(*range(1, 21)), video(v(30, "m9")), "msid 'm9' is in use"),
    ("order: each source in turn", "", video(v(90), v(0)), "ssrc 90 is in use"),
    ("order: J-615, J-618", "", video(v(1, ""), v(2), fid(1, 2), fid(1, 3)),
     "group names ssrc 3, which is no video source of yours"),
    ("J-534", "", video(v(1), v(2, "m2")) + audio(a(91)), "ssrc 91 is in use"),
]

REMOVING = [
    ("J-641 unknown", CAMERA, video(v(77)), "ssrc 77 is not yours"),
    ("J-641 another's", CAMERA, video(v(90)), "ssrc 90 is not yours"),
    ("J-641, J-534 one of two", CAMERA, video(v(1), v(90)), "ssrc 90 is not yours"),
    ("J-641 from one who has none", "", video(v(1)), "ssrc 1 is not yours"),
    ("J-642 unknown group", CAMERA, video(fid(1, 5)), "no such group: FID 1 5"),
    ("J-642 semantics", CAMERA, video(sim(1, 4)), "no such group: SIM 1 4"),
    ("J-642 order", CAMERA, video(sim(2, 1, 3)), "no such group: SIM 2 1 3"),
    ("J-642 media", CAMERA, audio(fid(1, 4)), "no such group: FID 1 4"),
    ("J-644 a layer", CAMERA, video(v(2), v(5)), "msid 'm1' belongs to unrelated sources, ssrc 1 and ssrc 3"),
    ("J-644 groups only", CAMERA, video(sim(1, 2, 3)), "msid 'm1' belongs to unrelated sources, ssrc 1 and ssrc 2"),
]


def call(had: str, accept: bool = True) -> Scene:
    """Anna has these sources, since her accept or before it; bo has his."""
    scene = Scene().bring_in(ANNA, BO, accept=False)
    scene.mail(scene.jingle(BO, "session-accept", BOS))
    return scene.mail(scene.jingle(ANNA, "session-accept" if accept else "source-add", had)).settle()


def table(scene: Scene) -> Tuple[Dict[Any, Any], ...]:
    sources = scene.state.sources
    return dict(sources.rows), dict(sources._ssrc_owner), dict(sources._msid_owner)


ROWS = [("source-add", *row) for row in ADDING] + [("source-remove", *row) for row in REMOVING]


@pytest.mark.parametrize("action, had, asked, text", [(row[0], *row[2:]) for row in ROWS], ids=[row[1] for row in ROWS])
def test_refused(action: str, had: str, asked: str, text: str) -> None:
    """J-531, J-533, J-534: and nothing changes."""
    scene = call(had)
    before = snapshot(scene), table(scene)
    answer = ask(scene, sid_of(scene), action, asked)
    assert (shape(answer), text_of_refusal(answer)) == (BAD, text)
    assert (snapshot(scene), table(scene)) == before and not scene.sent


@pytest.mark.parametrize("had, asked, text", [row[1:] for row in ADDING], ids=[row[0] for row in ADDING])
def test_refused_accepts(had: str, asked: str, text: str) -> None:
    """J-526: nothing stored; what can be read at all ends the session."""
    scene = call(had, accept=False)
    others = snapshot(scene)[0][BO]
    answer = ask(scene, sid_of(scene), "session-accept", asked)
    assert (shape(answer), text_of_refusal(answer)) == (BAD, text)
    is_malformed = text.startswith(("ssrc is missing", "sources of a media", "semantics of"))  # before the session
    assert scene.state.participants[ANNA].phase == ("offered" if is_malformed else "ended")
    rows, ssrcs, msids = table(scene)
    if not is_malformed:
        assert set(rows) == {BO} and set(ssrcs) == {90, 91} and set(msids) == {"m9", "m91"}
        removals = to_client(scene, BO)
        assert [update.split()[0] for update in removals] == (["source-remove"] if had else [])
        assert to_the_bridge(scene) == ["anna0001 expire"]
    assert snapshot(scene)[0][BO][:2] == others[:2]


TOLD = [
    # rule, what anna has, action, what she asks for: what the bridge and bo are told of her sources
    ("J-622", "", "source-add", many(1, 2), [1, 2], "source-add anna:1,2"),
    ("J-621", "", "source-add", video(v(1, "m")) + audio(a(2, "m")), [1, 2], "source-add anna:1,2"),
    ("J-623 empty group", "", "source-add", video(v(1), sim()), [1], "source-add anna:1"),
    ("J-623 only empty groups", many(7), "source-add", video(sim()), [7], ""),
    ("J-623 known groups", CAMERA, "source-add", video(fid(1, 4)), [1, 2, 3, 4, 5, 6], ""),
    ("J-627", "", "source-add", many(1) + audio(a(2), a(3, "mb")), [1, 2, 3], "source-add anna:1,2,3"),
    ("J-741, J-744", "", "source-add", CAMERA, [1, 2, 3, 4, 5, 6], "source-add anna:1,4"),
    ("J-742", video(v(1), v(4), fid(1, 4)), "source-add", video(v(2), v(5), sim(1, 2), fid(2, 5)), [1, 2, 4, 5], ""),
    ("J-643", CAMERA, "source-remove", video(*(v(n) for n in range(1, 7))), [], "source-remove anna:1,4"),
    ("J-641, J-645", video(v(1)), "source-remove", audio(a(1, "other", "nonsense")), [], "source-remove anna:1"),
    ("J-535 the rest", many(1, 2, 3), "source-remove", many(2), [1, 3], "source-remove anna:2"),
    ("T-13", video(v(1), v(2), fid(1, 2)), "source-remove", video(v(2)), [1], "source-remove anna:2"),
]


@pytest.mark.parametrize("had, action, asked, bridge, others", [row[1:] for row in TOLD], ids=[row[0] for row in TOLD])
def test_accepted(had: str, action: str, asked: str, bridge: List[int], others: str) -> None:
    """J-535, J-741, J-744: the bridge gets the whole set unstripped, others the stripped difference."""
    scene = call(had)
    assert shape(ask(scene, sid_of(scene), action, asked)) == OK
    update = scene.one("conference-modify")
    (sources,) = update.iter("{jitsi:colibri2}sources")
    assert sorted({int(s.get("ssrc")) for s in sources.iter("{%s}source" % SSMA)}) == bridge
    assert to_client(scene, BO) == [others] * bool(others)
    assert not to_client(scene, ANNA), "never its own (J-720)"


def test_a_removal_names_what_is_stored() -> None:
    """J-645: with name and msid, whatever the request said."""
    scene = call(video(v(1, "m1", "anna0001-v3")))
    assert shape(ask(scene, sid_of(scene), "source-remove", audio(a(1, "other", "nonsense")))) == OK
    removal = scene.one("source-remove")
    text = removal.findtext(".//{http://jitsi.org/jitmeet}json-message")
    assert text == '{"sources":{"anna0001":[[{"s":1,"n":"anna0001-v3","m":"m1"}],[],[]]}}'


@pytest.mark.parametrize("json", [True, False], ids=["JSON", "XML"])
def test_hostile_names(json: bool) -> None:
    """J-407, T-15: what would break out of JSON or XML is what others are told, in the offer and later."""
    name, msid = "anna0001-\"]}<&'> \\u0000]]>", "m\"},{<!--&amp; \u20ac"
    scene = Scene(features=CLIENT_FEATURES._replace(json_sources=json)).bring_in(ANNA, BO)
    new = media.Sources(frozenset([media.MediaSource(41, "video", name, msid, True)]), frozenset())
    assert shape(ask(scene, sid_of(scene), "source-add", media.update_contents(new))) == OK
    update = scene.one("source-add")
    assert media.read_sources(etree.tostring(update), lambda: update) == {ANNA: new}
    scene.settle().join(CARLA)
    scene.mail(scene.allocated(scene.one("conference-modify")))
    offer = scene.one("session-initiate")
    assert new.sources <= media.read_sources(etree.tostring(offer), lambda: offer)[ANNA].sources


@pytest.mark.parametrize("switch, feature, json", [
    ("true", True, True), ("true", False, False), ("false", True, False)])
def test_the_form_is_the_same_in_offers_and_updates(switch: str, feature: bool, json: bool) -> None:
    """J-401, J-406, J-411: by the client's feature, if it is switched on; never both."""
    scene = Scene(features=CLIENT_FEATURES._replace(json_sources=feature), use_json_encoded_sources=switch)
    scene.bring_in(ANNA, BO).join(CARLA)
    scene.mail(scene.allocated(scene.one("conference-modify")))
    offer = scene.one("session-initiate")
    scene.settle()
    updates = []
    for action in ("source-add", "source-remove"):
        assert shape(ask(scene, sid_of(scene), action, video(v(41)))) == OK
        updates.append(scene.one(action))
        scene.mail(scene.answer(updates[-1]))
    for stanza in (offer, *updates):
        assert len(list(stanza.iter("{http://jitsi.org/jitmeet}json-message"))) == json
        assert (next(stanza.iter("{%s}source" % SSMA), None) is None) == json


def test_a_taken_msid_is_free_when_nobody_has_it() -> None:
    """J-646, J-613: across participants, also when its owner has left the room."""
    scene = call(video(v(1), v(2), fid(1, 2)))
    mine = video(v(50, "m1", "bo000002-v1"))
    assert shape(ask(scene, sid_of(scene), "source-remove", video(v(2)))) == OK
    assert text_of_refusal(ask(scene, sid_of(scene, BO), "source-add", mine, nick=BO)) == "msid 'm1' is in use"
    scene.leave(ANNA)
    assert shape(ask(scene, sid_of(scene, BO), "source-add", mine, nick=BO)) == OK


@pytest.mark.parametrize("check, answer", [("true", BAD), ("false", OK)])
def test_names_are_checked_if_that_is_switched_on(check: str, answer: Any) -> None:
    """J-423: the table takes the option when the conference begins (as in ``registry``)."""
    scene = Scene(check_source_names=check).bring_in(ANNA, BO)
    scene.state.sources.check_names = scene.config.check_source_names
    assert shape(ask(scene, sid_of(scene), "source-add", video(v(1, "m", "somebody")))) == answer


def test_limits_of_senders_count_what_is_sent() -> None:
    """J-651, M-1116: who says unmuted but has no accepted source counts for nothing, and the requester neither."""
    scene = Scene(max_audio_senders=1).bring_in(ANNA, BO, CARLA, accept=False)
    for nick in (ANNA, BO, CARLA):
        unmuted = "<SourceInfo>{&quot;%s-a0&quot;:{&quot;muted&quot;:false}}</SourceInfo>" % nick
        scene.mail(scene.presence(nick, extra=unmuted),
                   scene.jingle(nick, "session-accept", content("audio", "", CLIENT_TRANSPORT)))
    scene.settle()
    for nick, number, expected in ((ANNA, 1, OK), (ANNA, 2, OK), (BO, 3, LIMIT), (CARLA, 4, LIMIT)):
        request = audio(a(number, "m%d" % number, "%s-a%d" % (nick, number)))
        assert shape(ask(scene, sid_of(scene, nick), "source-add", request, nick=nick)) == expected, nick
    assert shape(ask(scene, sid_of(scene), "source-remove", audio(a(1), a(2)))) == OK
    request = audio(a(3, "m3", "bo000002-a3"))
    assert shape(ask(scene, sid_of(scene, BO), "source-add", request, nick=BO)) == OK
