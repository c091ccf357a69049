"""Sources as values: the algebra and the stripping of simulcast (J-421, J-731, J-741, J-742)."""
from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus.values.sources import EMPTY_SOURCES, Source, SourceSet, SsrcGroup, default_name


def video(*ssrcs: int) -> tuple:
    return tuple(Source(ssrc, "video", "a-v0", "m v") for ssrc in ssrcs)


def audio(*ssrcs: int) -> tuple:
    return tuple(Source(ssrc, "audio", "a-a0", "m a") for ssrc in ssrcs)


def sim(*ssrcs: int) -> SsrcGroup:
    return SsrcGroup("SIM", "video", ssrcs)


def fid(*ssrcs: int) -> SsrcGroup:
    return SsrcGroup("FID", "video", ssrcs)


def fec(*ssrcs: int) -> SsrcGroup:
    return SsrcGroup("FEC-FR", "video", ssrcs)


CAMERA = SourceSet(video(1, 2, 3, 4, 5, 6), (sim(1, 2, 3), fid(1, 4), fid(2, 5), fid(3, 6)))

STRIPPED = [
    ("J-741 example", CAMERA, SourceSet(video(1, 4), (fid(1, 4),))),
    ("nothing to strip", SourceSet(video(1, 2), (fid(1, 2),)), SourceSet(video(1, 2), (fid(1, 2),))),
    ("empty", EMPTY_SOURCES, EMPTY_SOURCES),
    ("one layer only", SourceSet(video(1), (sim(1),)), SourceSet(video(1))),
    ("groups in another order", SourceSet(video(6, 5, 4, 3, 2, 1), (fid(3, 6), fid(2, 5), fid(1, 4), sim(1, 2, 3))),
     SourceSet(video(1, 4), (fid(1, 4),))),
    ("two cameras", SourceSet(video(1, 2, 7, 8), (sim(1, 2), sim(7, 8))), SourceSet(video(1, 7))),
    ("audio stays", SourceSet(audio(9) + video(1, 2), (sim(1, 2),)), SourceSet(audio(9) + video(1))),
    ("FEC of a dropped layer", SourceSet(video(1, 2, 8, 9), (sim(1, 2), fec(1, 8), fec(2, 9))),
     SourceSet(video(1, 8), (fec(1, 8),))),
    ("overlapping layers", SourceSet(video(1, 2, 3), (sim(1, 2), sim(2, 3))), SourceSet(video(1))),
]


@pytest.mark.parametrize("full, expected", [row[1:] for row in STRIPPED], ids=[row[0] for row in STRIPPED])
def test_strip_simulcast(full, expected):
    assert full.strip_simulcast() == expected
    assert full.strip_simulcast().strip_simulcast() == expected


def test_a_higher_layer_alone_is_no_change():
    """J-742: stripped sets are compared, so a further layer changes nothing for the receivers."""
    two = SourceSet(video(1, 2, 4, 5), (sim(1, 2), fid(1, 4), fid(2, 5)))
    assert not CAMERA.strip_simulcast() - two.strip_simulcast()
    assert not two.strip_simulcast() - CAMERA.strip_simulcast()


def test_filter_by_feature():
    """J-731."""
    both = SourceSet(audio(9) + video(1, 4), (fid(1, 4),))
    assert both.only(audio=True, video=True) is both
    assert both.only(audio=True, video=False) == SourceSet(audio(9))
    assert both.only(audio=False, video=True) == SourceSet(video(1, 4), (fid(1, 4),))
    assert both.only(audio=False, video=False) is EMPTY_SOURCES
    assert SourceSet(audio(9)).only(audio=False, video=True) is EMPTY_SOURCES


def test_equality_ignores_order_and_sees_every_field():
    assert SourceSet(video(1, 2)) == SourceSet(video(2, 1))
    assert hash(SourceSet(video(1, 2))) == hash(SourceSet(video(2, 1)))
    assert SourceSet(video(1)) != SourceSet((Source(1, "video", "a-v0", "m v", "camera"),))
    assert SourceSet(video(1, 2), (fid(1, 2),)) != SourceSet(video(1, 2), (fid(2, 1),))
    assert SourceSet(video(1)) != "SourceSet"


def test_does_not_change():
    with pytest.raises(AttributeError):
        CAMERA.sources = ()
    with pytest.raises(AttributeError):
        del CAMERA.sources
    assert pickle.loads(pickle.dumps(CAMERA)) == CAMERA
    assert copy.deepcopy(CAMERA) == CAMERA
    assert "SourceSet" in repr(CAMERA) and len(CAMERA) == 6 and CAMERA.ssrcs() == (1, 2, 3, 4, 5, 6)


def test_default_names():
    assert default_name("abcd1234", "audio") == "abcd1234-a0"
    assert default_name("abcd1234", "video") == "abcd1234-v0"


ssrc = st.integers(1, 8)
sources = st.builds(Source, ssrc, st.sampled_from(["audio", "video"]), st.sampled_from([None, "a-v0", "a-v1"]),
                    st.sampled_from([None, "m"]), st.none())
groups = st.builds(SsrcGroup, st.sampled_from(["SIM", "FID", "FEC-FR"]), st.just("video"),
                   st.lists(ssrc, max_size=3).map(tuple))
source_sets = st.builds(SourceSet, st.lists(sources, unique=True, max_size=6),
                        st.lists(groups, unique=True, max_size=4))


@given(source_sets, source_sets)
def test_algebra(a, b):
    assert (a + b) - b == a - b
    assert not a - a
    assert (a - b) + b == a + b == b + a
    assert a + EMPTY_SOURCES == a == a - EMPTY_SOURCES
    assert a.of("audio") + a.of("video") == a
    assert bool(a) == (a != EMPTY_SOURCES)


@given(source_sets)
def test_stripping_leaves_no_trace_of_dropped_layers(full):
    stripped = full.strip_simulcast()
    assert not any(group.semantics == "SIM" for group in stripped.groups)
    assert stripped.source_set <= full.source_set and stripped.group_set <= full.group_set
    dropped = {ssrc for group in full.groups if group.semantics == "SIM" for ssrc in group.ssrcs[1:]}
    assert dropped.isdisjoint(stripped.ssrcs())
    assert all(dropped.isdisjoint(group.ssrcs) for group in stripped.groups)
