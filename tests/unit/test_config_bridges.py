"""The options of the choice of bridges: how they are written, and what is refused (bridge.md 9.1)."""
from __future__ import annotations

import pytest

from focus.bridge.choice.strategies import STRATEGIES
from focus.bridge.topology import SINGLE_MESH, VISITOR
from focus.config import kinds
from tests.unit.test_config import DOMAIN, loaded, refused


@pytest.mark.parametrize("text, name", [
    ("single", "SingleBridgeSelectionStrategy"), ("Split", "SplitBridgeSelectionStrategy"),
    ("region_based", "RegionBasedBridgeSelectionStrategy"), ("intra-region", "IntraRegionBridgeSelectionStrategy"),
    ("visitor", "VisitorSelectionStrategy"), ("VisitorSelectionStrategy", "VisitorSelectionStrategy"),
    ("org.example.bridge.RegionBasedBridgeSelectionStrategy", "RegionBasedBridgeSelectionStrategy"),
])
def test_names_of_strategies(text, name):
    """B-525: short, and the reference's with and without a package."""
    assert kinds.STRATEGY.parse(text) == name and name in STRATEGIES
    assert kinds.STRATEGY.parse(kinds.STRATEGY.show(name)) == name


@pytest.mark.parametrize("text, name", [
    ("SingleMeshTopologyStrategy", "SingleMeshTopologyStrategy"), ("single-mesh", "SingleMeshTopologyStrategy"),
    ("singlemesh", "SingleMeshTopologyStrategy"), ("visitor", "VisitorTopologyStrategy"),
    ("org.example.bridge.VisitorTopologyStrategy", "VisitorTopologyStrategy"),
])
def test_names_of_topologies(text, name):
    """B-905"""
    assert loaded("--topology_strategy=" + text).topology_strategy == name
    assert name in (SINGLE_MESH, VISITOR)


def test_data_channels_between_bridges():
    """B-924: as those of the clients, unless it is said."""
    assert loaded().octo_sctp_datachannels
    assert not loaded("--sctp_enabled=false").octo_sctp_datachannels
    assert loaded("--sctp_enabled=false", "--octo_sctp_datachannels=true").octo_sctp_datachannels


@pytest.mark.parametrize("text, groups, shown", [
    ("[us-east us-west] [eu-central eu-west]", (("us-east", "us-west"), ("eu-central", "eu-west")),
     "[us-east us-west] [eu-central eu-west]"),
    ('[["us-east", "us-west"], ["eu"]]', (("us-east", "us-west"), ("eu",)), "[us-east us-west] [eu]"),
    ("[ a ],[b]", (("a",), ("b",)), "[a] [b]"), ("[]", (), ""), ("[[]]", (), ""), ("", (), ""),
])
def test_region_groups(text, groups, shown):
    """B-913"""
    assert kinds.REGION_GROUPS.parse(text) == groups and kinds.REGION_GROUPS.show(groups) == shown


@pytest.mark.parametrize("argument, complaint", [
    ("--selection_strategy=best", "is none of them; give one of single, split, region-based, intra-region or visitor"),
    ("--visitor_selection_strategy=visitor", "is none of them; give one of single, split, region-based or"),
    ("--region_groups=[a b] [b c]", "has the region b twice; give groups such as"),
    ("--region_groups=[a b] c", "has something outside of its groups"),
    ("--region_groups=[a [b]", "has something outside of its groups"),
    ("--region_groups=[%s]" % ("a" * 200), "is not the name of a region"),
    ("--local_region=eu west", "is not the name of a region"),
    ("--stress_threshold=0", "is too small; give a number from 0.001 to 100"),
    ("--stress_threshold=a lot", "is not a number such as 0.8"),
    ("--stress_threshold=.", "is not a number such as 0.8"),
    ("--participant_rampup_interval=0", "is too short"),
    ("--max_bridge_participants_interval=0", "is too short"),
])
def test_what_is_refused(argument, complaint):
    """B-525, B-930, B-932"""
    assert complaint in refused(DOMAIN, argument)


def test_load_is_moved_from_overloaded_bridges_only():
    """B-871, B-932"""
    enabled = "--load_redistribution_enabled=true"
    assert refused(DOMAIN, enabled, "--load_redistribution_stress_threshold=0.8") == (
        "[bridge] load_redistribution_stress_threshold: 0.8 (flag --load_redistribution_stress_threshold) is not above "
        "[bridge] stress_threshold, which is 0.8: endpoints would be moved to the bridge they come from; give a higher "
        "one")
    loaded("--load_redistribution_stress_threshold=0.8")
    loaded(enabled)


def test_the_visitor_strategy_needs_two_more():
    """B-524"""
    assert "[bridge] participant_selection_strategy: not set" in refused(DOMAIN, "--selection_strategy=visitor")
    assert "[bridge] visitor_selection_strategy: not set" in refused(
        DOMAIN, "--selection_strategy=visitor", "--participant_selection_strategy=single")
    assert not loaded("--selection_strategy=visitor", "--participant_selection_strategy=single",
                      "--visitor_selection_strategy=region-based").warnings


@pytest.mark.parametrize("arguments, complaint", [
    (["--selection_strategy=split"], "every conference stays on one bridge"),
    (["--visitor_selection_strategy=single"], "counts with selection_strategy = visitor only"),
])
def test_warnings(arguments, complaint):
    (warning,) = loaded(*arguments).warnings
    assert complaint in warning
