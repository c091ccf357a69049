"""The log of source changes and the differences read from it (jingle.md 7)."""
from __future__ import annotations

import random
from typing import Dict, Set, Tuple

from hypothesis import given
from hypothesis import strategies as st

from focus.conference.signalling import MAX_ENTRIES, SourceLog, difference, offered, seen
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup


def audio(*ssrcs):
    return SourceSet([Source(ssrc, "audio", "x-a0", "m%d" % ssrc, None) for ssrc in ssrcs], ())


def simulcast(first):
    ssrcs = [first + i for i in range(6)]
    return SourceSet([Source(s, "video", "x-v0", "m", "camera") for s in ssrcs],
                     [SsrcGroup("SIM", "video", tuple(ssrcs[:3]))] + [
                         SsrcGroup("FID", "video", (ssrcs[i], ssrcs[i + 3])) for i in range(3)])


def test_difference_over_several_changes():
    """J-712, J-715: what came and went in between is not told."""
    log = SourceLog()
    log.note("x", EMPTY_SOURCES, audio(1))
    mark = log.version
    log.note("x", audio(1), audio(1, 2))
    log.note("x", audio(1, 2), audio(2))
    log.note("y", EMPTY_SOURCES, audio(9))
    log.note("y", audio(9), EMPTY_SOURCES)
    news = difference(log.since(mark), "z", True, True, True)
    assert news.removed == {"x": audio(1)} and news.added == {"x": audio(2)}


def test_own_sources_are_left_out():
    """J-720"""
    log = SourceLog()
    log.note("x", EMPTY_SOURCES, audio(1))
    assert not difference(log.since(0), "x", True, True, True)


def test_higher_layers_alone_are_no_news():
    """J-742, J-741"""
    full = simulcast(10)
    first = full.strip_simulcast()
    assert first.ssrcs() == {10, 13} or set(first.ssrcs()) == {10, 13}
    log = SourceLog()
    log.note("x", first, full)
    assert not difference(log.since(0), "z", True, True, True)
    assert difference(log.since(0), "z", True, True, False)


def test_media_without_a_feature():
    """J-731"""
    log = SourceLog()
    log.note("x", EMPTY_SOURCES, audio(1) + simulcast(10))
    assert difference(log.since(0), "z", True, False, True).added == {"x": audio(1)}


def test_a_leaver_is_forgotten():
    """J-722"""
    log = SourceLog()
    log.note("x", EMPTY_SOURCES, audio(1))
    log.forget("x")
    assert not log.since(0)


def test_random_histories_agree_with_the_tables():
    """Replaying differences at random times gives every receiver exactly what there is, also after folding."""
    rng = random.Random(5)
    log = SourceLog()
    table: Dict[str, SourceSet] = {}
    receivers: Dict[str, Tuple[int, Dict[str, Set[int]]]] = {name: (0, {}) for name in "pqrs"}
    for step in range(3 * MAX_ENTRIES):
        owner = rng.choice("abcdefgh")
        before = table.get(owner, EMPTY_SOURCES)
        after = audio(*rng.sample(range(1, 6), rng.randrange(5)))
        table[owner] = after
        log.note(owner, before, after)
        if rng.random() < 0.01 and step > MAX_ENTRIES:
            name = rng.choice("pqr")  # s never listens until the end
            receivers[name] = _told(log, receivers[name])
        log.trim(version for version, _ in receivers.values())
    assert len(log.changes) <= MAX_ENTRIES + 8
    for name in receivers:
        version, known = _told(log, receivers[name])
        assert known == {owner: set(owned.ssrcs()) for owner, owned in table.items() if owned}


def _told(log, receiver):
    version, known = receiver
    news = difference(log.since(version), "", True, True, True)
    known = {owner: set(ssrcs) for owner, ssrcs in known.items()}
    for owner, gone in news.removed.items():
        assert known[owner] >= set(gone.ssrcs())
        known[owner] -= set(gone.ssrcs())
    for owner, fresh in news.added.items():
        assert not known.get(owner, set()) & set(fresh.ssrcs())
        known.setdefault(owner, set()).update(fresh.ssrcs())
    return log.version, {owner: ssrcs for owner, ssrcs in known.items() if ssrcs}


ssrc = st.integers(1, 7)
source_sets = st.builds(
    SourceSet,
    st.lists(st.builds(Source, ssrc, st.sampled_from(["audio", "video"]), st.sampled_from(["x-v0", "x-v1"]),
                       st.just("m"), st.sampled_from([None, "desktop"])), unique_by=lambda s: s.ssrc, max_size=6),
    st.lists(st.builds(SsrcGroup, st.sampled_from(["SIM", "FID"]), st.just("video"),
                       st.lists(ssrc, min_size=1, max_size=3, unique=True).map(tuple)), unique=True, max_size=3))


@given(st.lists(source_sets, min_size=1, max_size=4), st.booleans(), st.booleans(), st.booleans())
def test_a_difference_makes_the_old_the_new(history, audio_too, video_too, strip):
    """J-712, J-731, J-742: only what was told is removed, only what wasn't is added, and nothing lacks."""
    log = SourceLog()
    for before, after in zip([EMPTY_SOURCES, *history], history):
        log.note("x", before, after)
    told, true = (seen(sources, audio_too, video_too, strip) for sources in (history[0], history[-1]))
    news = difference(log.since(1 if history[0] else 0), "z", audio_too, video_too, strip)
    gone, fresh = (part.get("x", EMPTY_SOURCES) for part in (news.removed, news.added))
    assert gone - told == EMPTY_SOURCES and told - fresh == told
    assert (told - gone) + fresh == true
    assert "x" not in news.removed or gone, "an owner without anything"
    assert "x" not in news.added or fresh


def test_offer():
    """J-361"""
    table = {"x": audio(1), "y": simulcast(10), "me": audio(5)}
    assert set(offered(table.items(), "me", True, True, True)) == {"x", "y"}
    assert set(offered(table.items(), "me", True, False, True)) == {"x"}
