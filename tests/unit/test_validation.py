"""The table of sources after changes (jingle.md section 6); what is refused, and how, is in ``test_source_rules``."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus.conference.validation import SourceRefused, SourceTable
from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup

ME, OTHER = "aaaa1111", "bbbb2222"


def v(ssrc, msid="m1", name="aaaa1111-v0", kind=None):
    return Source(ssrc, "video", name, msid, kind)


def a(ssrc, msid="ma", name="aaaa1111-a0"):
    return Source(ssrc, "audio", name, msid)


def sim(*ssrcs):
    return SsrcGroup("SIM", "video", ssrcs)


def fid(*ssrcs):
    return SsrcGroup("FID", "video", ssrcs)


def s(*parts):
    return SourceSet([p for p in parts if isinstance(p, Source)], [p for p in parts if isinstance(p, SsrcGroup)])


CAMERA = s(*(v(n) for n in (1, 2, 3, 4, 5, 6)), sim(1, 2, 3), fid(1, 4), fid(2, 5), fid(3, 6))
THEIRS = s(v(90, "m9", "bbbb2222-v0"), a(91, "m91", "bbbb2222-a0"))


def table(**mine):
    return SourceTable({OTHER: THEIRS, **({ME: mine.pop("mine")} if "mine" in mine else {})}, **mine)


def state(t):
    return dict(t.rows), dict(t._ssrc_owner), dict(t._msid_owner)


ACCEPTED = [
    ("a camera with simulcast", EMPTY_SOURCES, CAMERA, CAMERA),
    ("J-622 ungrouped without msid", EMPTY_SOURCES, s(v(1, None), v(2, None)), s(v(1, None), v(2, None))),
    ("J-621 audio and video share an msid", EMPTY_SOURCES, s(v(1, "m"), a(2, "m")), s(v(1, "m"), a(2, "m"))),
    ("J-623 empty group", EMPTY_SOURCES, s(v(1), fid()), s(v(1))),
    ("J-623 group twice", EMPTY_SOURCES, s(v(1), v(2), fid(1, 2), fid(1, 2)), s(v(1), v(2), fid(1, 2))),
    ("J-623 known group", CAMERA, s(v(11, "m2"), fid(1, 4)), s(v(11, "m2"))),
    ("J-623 nothing but known groups", CAMERA, s(fid(1, 4)), EMPTY_SOURCES),
    ("nothing", EMPTY_SOURCES, EMPTY_SOURCES, EMPTY_SOURCES),
    ("a group of old and new", s(v(1)), s(v(2), fid(1, 2)), s(v(2), fid(1, 2))),
    ("20 sources", s(*(v(n, None) for n in range(1, 20))), s(v(20, None)), s(v(20, None))),
    ("largest ssrc", EMPTY_SOURCES, s(v((1 << 32) - 1)), s(v((1 << 32) - 1))),
    ("J-422 default names", EMPTY_SOURCES, s(v(1, name=None), a(2, name="")),
     s(v(1, name="aaaa1111-v0"), a(2, name="aaaa1111-a0"))),
    ("a second video source", CAMERA, s(v(11, "m2", "aaaa1111-v1", "desktop"), v(12, "m2", "aaaa1111-v1", "desktop"),
                                       fid(11, 12)), None),
]


@pytest.mark.parametrize("had, asked, expected", [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_accepted_additions(had, asked, expected):
    t = table(mine=had)
    assert t.add(ME, asked) == (asked if expected is None else expected)
    assert t.get(ME) == had + (asked if expected is None else expected)
    assert state(t) == state(SourceTable(t.rows))


def test_limits_and_names_are_configurable():
    t = SourceTable(max_ssrcs=2, max_groups=0, check_names=False)
    t.add(ME, s(v(1, "x", "anything"), v(2, "y")))
    with pytest.raises(SourceRefused, match="more than 2 sources"):
        t.add(ME, s(v(3, "z")))
    with pytest.raises(SourceRefused, match="more than 0 groups"):
        t.add(ME, s(fid(1, 2)))
    assert SourceTable(max_ssrcs=7).max_groups == 7


PAIR = s(v(1), v(2), fid(1, 2))
REMOVED = [
    ("everything", CAMERA, CAMERA, CAMERA),
    ("J-643 groups go with their sources", CAMERA, s(*CAMERA.sources), CAMERA),
    ("J-641, J-645 other attributes are ignored", s(v(1, "m1", "aaaa1111-v0", "camera")),
     s(a(1, "zz", "nonsense")), s(v(1, "m1", "aaaa1111-v0", "camera"))),
    ("retransmission only", PAIR, s(v(2)), s(v(2), fid(1, 2))),
    ("same one twice", PAIR, s(v(2), v(2)), s(v(2), fid(1, 2))),
    ("nothing", PAIR, EMPTY_SOURCES, EMPTY_SOURCES),
]


@pytest.mark.parametrize("had, asked, gone", [row[1:] for row in REMOVED], ids=[row[0] for row in REMOVED])
def test_removals(had, asked, gone):
    t = table(mine=had)
    assert t.remove(ME, asked) == gone
    assert t.get(ME) == had - gone
    assert state(t) == state(SourceTable(t.rows))


def test_msids_are_free_again():
    """J-646: when no source has it any more, not before."""
    t = table(mine=PAIR)
    t.remove(ME, s(v(2)))
    with pytest.raises(SourceRefused, match="msid 'm1' is in use"):
        t.add(OTHER, s(v(50, "m1", None)))
    t.remove(ME, s(v(1)))
    assert t.add(OTHER, s(v(50, "m1", None)))


def test_drop_and_lookups():
    t = table(mine=CAMERA)
    assert (t.owner_of(3), t.owner_of(90), t.owner_of(1234), len(t)) == (ME, OTHER, None, 2)
    assert t.drop(ME) == CAMERA
    assert not t.drop(ME) and not t.get(ME)
    assert dict(t.items()) == {OTHER: THEIRS}
    assert t.add(ME, CAMERA) == CAMERA


def test_equality_is_of_the_sources():
    assert table(mine=CAMERA) == SourceTable({ME: CAMERA, OTHER: THEIRS})
    assert table() != SourceTable() and SourceTable() != {}


ssrcs = st.integers(0, 9)
some_sources = st.lists(st.builds(Source, ssrcs, st.sampled_from(["audio", "video"]),
                                  st.sampled_from([None, "x-v0", "y-v0"]), st.sampled_from([None, "m", "n"])),
                        max_size=5)
some_groups = st.lists(st.builds(SsrcGroup, st.sampled_from(["SIM", "FID"]), st.just("video"),
                                 st.lists(ssrcs, max_size=3).map(tuple)), max_size=3)
changes = st.lists(st.tuples(st.sampled_from(["add", "remove", "drop"]), st.sampled_from("xy"),
                             st.builds(SourceSet, some_sources, some_groups)), max_size=8)


@given(changes)
def test_any_changes(sequence):
    """Whatever is asked: accepted with the indexes right, or refused with nothing changed."""
    t = SourceTable(max_ssrcs=6)
    for verb, owner, asked in sequence:
        before = state(t)
        if verb == "drop":
            t.drop(owner)
        else:
            try:
                change = getattr(t, verb)(owner, asked)
            except SourceRefused:
                assert state(t) == before
            else:
                old = before[0].get(owner, EMPTY_SOURCES)
                assert t.get(owner) == (old + change if verb == "add" else old - change)
        assert state(t) == state(SourceTable(t.rows))
        assert all(owned for owned in t.rows.values())
