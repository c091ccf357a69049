"""The comparer is right: it sees every stanza that is lost, doubled or swapped, and nothing else.

The transcripts are those of a real run. What may differ between two right runs (ids, pace) is made by hand.
"""

from __future__ import annotations

import copy
import uuid

import pytest
from lxml import etree

from tests.chaos.compare import JINGLE, UPDATES, differences, lines
from tests.chaos.record import Asked, complaints
from tests.support.media import audio_source, update_contents, video_source


def is_update(stanza):
    found = stanza.find(JINGLE)
    return found is not None and found.get("action") in UPDATES


def positions(transcripts):
    return [(receiver, at) for receiver, stanzas in transcripts.items() for at in range(len(stanzas))]


def changed(transcripts, receiver, stanzas):
    return dict(transcripts, **{receiver: stanzas})


def test_a_run_equals_itself(unkilled):
    assert unkilled.complaints == []
    assert differences(unkilled.transcripts, copy.deepcopy(unkilled.transcripts)) == []
    assert len(positions(unkilled.transcripts)) > 50


def test_one_lost(unkilled):
    for receiver, at in positions(unkilled.transcripts):
        stanzas = list(unkilled.transcripts[receiver])
        del stanzas[at]
        found = differences(unkilled.transcripts, changed(unkilled.transcripts, receiver, stanzas))
        assert len(found) == 1 and found[0].startswith(receiver + ": from line"), (receiver, at)


def test_one_doubled(unkilled):
    for receiver, at in positions(unkilled.transcripts):
        stanzas = list(unkilled.transcripts[receiver])
        stanzas.insert(at, copy.deepcopy(stanzas[at]))
        assert differences(unkilled.transcripts, changed(unkilled.transcripts, receiver, stanzas)), (receiver, at)


def test_one_doubled_under_another_id(unkilled):
    for receiver, at in positions(unkilled.transcripts):
        stanzas = list(unkilled.transcripts[receiver])
        again = copy.deepcopy(stanzas[at])
        again.set("id", "one-more")
        stanzas.insert(at + 1, again)
        assert differences(unkilled.transcripts, changed(unkilled.transcripts, receiver, stanzas)), (receiver, at)


def test_two_swapped(unkilled):
    """Neighbouring updates may be swapped, as long as they are about different sources: their sum is the same."""
    swapped = 0
    for receiver, at in positions(unkilled.transcripts):
        stanzas = list(unkilled.transcripts[receiver])
        pair = stanzas[at:at + 2]
        if len(pair) < 2 or all(map(is_update, pair)):
            continue
        stanzas[at:at + 2] = reversed(pair)
        assert differences(unkilled.transcripts, changed(unkilled.transcripts, receiver, stanzas)), (receiver, at)
        swapped += 1
    assert swapped > 40


def test_two_receivers_swapped(unkilled):
    for receiver, at in positions(unkilled.transcripts):
        for other in unkilled.transcripts:
            if other != receiver:
                given = list(unkilled.transcripts[other]) + [unkilled.transcripts[receiver][at]]
                taken = list(unkilled.transcripts[receiver])
                del taken[at]
                seen = dict(unkilled.transcripts, **{receiver: taken, other: given})
                assert len(differences(unkilled.transcripts, seen)) == 2, (receiver, at, other)


def test_a_receiver_that_got_nothing_or_is_new(unkilled):
    without = dict(unkilled.transcripts)
    gone = without.pop("bbbbbbbb")
    assert len(differences(unkilled.transcripts, without)) == 1
    assert len(differences(without, unkilled.transcripts)) == 1
    assert differences({"x": []}, {}) == [] and len(gone) > 5


def renamed(stanzas):
    """The stanzas of another run: other ids of requests, other sessions, other UUIDs, and late."""
    out = []
    sids: dict[str, str] = {}
    for number, stanza in enumerate(copy.deepcopy(stanzas)):
        if stanza.get("type") in ("get", "set"):
            stanza.set("id", "other-%d" % number)
        found = stanza.find(JINGLE)
        if found is not None:
            found.set("sid", sids.setdefault(found.get("sid"), "sid%d" % len(sids)))
            session = found.find("{http://jitsi.org/protocol/focus}bridge-session")
            if session is not None:
                session.set("id", str(uuid.uuid5(uuid.NAMESPACE_OID, session.get("id"))))
        stanza.append(etree.fromstring("<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:00Z'/>"))
        out.append(stanza)
    return out


def test_what_is_random_or_late_is_no_difference(unkilled):
    seen = {receiver: renamed(stanzas) for receiver, stanzas in unkilled.transcripts.items()}
    assert differences(unkilled.transcripts, seen) == []


def test_a_session_id_that_changes_on_the_way_is_one(unkilled):
    stanzas = copy.deepcopy(unkilled.transcripts["aaaaaaaa"])
    last = [stanza for stanza in stanzas if is_update(stanza)][-1]
    last.find(JINGLE).set("sid", "another")
    assert differences(unkilled.transcripts, changed(unkilled.transcripts, "aaaaaaaa", stanzas))


@pytest.mark.parametrize("name, value", [("type", "other"), ("to", "somebody@else"), ("new", "1")])
def test_any_attribute_counts(unkilled, name, value):
    for receiver, at in positions(unkilled.transcripts):
        stanzas = copy.deepcopy(unkilled.transcripts[receiver])
        if not is_update(stanzas[at]):
            stanzas[at].set(name, value)
            assert differences(unkilled.transcripts, changed(unkilled.transcripts, receiver, stanzas)), (receiver, at)


# Updates of sources


OWNER = "<ssrc-info xmlns='http://jitsi.org/jitmeet' owner='%s'/>"
UPDATE = ("<iq xmlns='jabber:client' type='set' id='%s'><jingle xmlns='urn:xmpp:jingle:1' action='%s' sid='%s'>%s"
          "</jingle></iq>")


def update(action, owner_sources, sid="s", id="i"):
    """An update in XML as the focus writes it: each source says whose it is."""
    contents = "".join(
        update_contents(sources).replace("</source>", OWNER % owner + "</source>")
        for owner, sources in owner_sources.items())
    return etree.fromstring(UPDATE % (id, action, sid, contents))


A, B, C = audio_source("aaaaaaaa", 1), video_source("bbbbbbbb", 10), audio_source("cccccccc", 100)
PING = etree.fromstring("<iq xmlns='jabber:client' type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")


def add(sid="s", **sources):
    return update("source-add", sources, sid)


def remove(sid="s", **sources):
    return update("source-remove", sources, sid)


@pytest.mark.parametrize("one, other", [
    ([add(a=A), add(b=B)], [add(a=A, b=B)]),
    ([add(a=A), add(b=B)], [add(b=B), add(a=A)]),
    ([add(a=A), add(b=B), remove(a=A)], [add(b=B)]),
    ([remove(a=A), add(a=A)], []),
    ([remove(a=A), add(a=C)], [add(a=C), remove(a=A)]),
    ([add(a=A), PING, add(b=B)], [add(a=A), PING, add(b=B)]),
])
def test_neighbouring_updates_are_added_up(one, other):
    assert lines(one) == lines(other)


@pytest.mark.parametrize("one, other", [
    ([add(a=A), PING, add(b=B)], [add(a=A, b=B), PING]),
    ([add(a=A)], [add(b=A)]),
    ([add(a=A)], [remove(a=A)]),
    ([add(a=A)], []),
    ([add(a=A)], [add(a=A), add(a=A)]),
    ([remove(a=A)], [remove(a=A), remove(a=A)]),
    ([add(a=A), add(b=B)], [add(a=A), add("t", b=B)]),
    ([add(b=B)], [add(b=B.stripped())]),
])
def test_other_updates_are_not_the_same(one, other):
    assert lines(one) != lines(other)


# Requests and answers


def both():
    """One request in each direction, both answered."""
    requests = [Asked(True, "aaaaaaaa", "1"), Asked(False, "aaaaaaaa", "1")]
    return dict.fromkeys(requests, 1), dict.fromkeys(requests, 1)


def test_every_request_answered_once():
    assert complaints(*both()) == []


@pytest.mark.parametrize("by_focus, words", [(True, "request 1 of the focus to aaaaaaaa"),
                                             (False, "request 1 of aaaaaaaa to the focus")])
def test_requests_and_answers_that_do_not_match(by_focus, words):
    request = Asked(by_focus, "aaaaaaaa", "1")
    asked, answered = both()
    del answered[request]
    assert complaints(asked, answered) == [words + " has no answer"]
    answered[request] = 2
    assert complaints(asked, answered) == [words + " has 2 answers"]
    answered[request] = 1
    asked[request] = 2
    assert complaints(asked, answered) == [words + " was made 2 times"]
    del asked[request]
    assert complaints(asked, answered) == ["an answer to %s, which was never made" % words]
