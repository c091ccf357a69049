"""The model of ``test_model`` with several bridges for a conference: a tree of which each knows all of the others.

Participants come from the regions of the bridges, so every one has some; some only watch.
"""
from __future__ import annotations

import pytest

from tests.support.split_scene import check_links
from tests.unit.test_model import NICKS, World, _no_fault_in_a_turn  # noqa: F401 a fixture of this module too


class SplitWorld(World):
    """Bridges with relays; the choice is by region."""

    nicks = [*NICKS[:4], "v0000001", "v0000002"]
    relays = True
    options = {"octo_enabled": "true", "selection_strategy": "region-based", "visitors_enabled": "true"}

    def settle(self) -> None:
        super().settle()
        there = {jid: bridge.model.conferences["meeting-1"] for jid, bridge in self.bridges.items()
                 if bridge.model.conferences}
        assert set(there) == set(self.scene.state.bridges)
        check_links({jid[-4:]: conference for jid, conference in there.items()})


class VisitorWorld(SplitWorld):
    """Visitors' bridges hang on others."""

    options = dict(SplitWorld.options, topology_strategy="VisitorTopologyStrategy")


@pytest.mark.parametrize("kind", [SplitWorld, VisitorWorld], ids=["single mesh", "visitors"])
@pytest.mark.parametrize("stormy", [False, True], ids=["calm", "stormy"])
@pytest.mark.parametrize("seed", range(12))
def test_random_events(seed: int, stormy: bool, kind: type) -> None:
    """B-540, B-720 to B-725, B-740, B-741, K-341, T-23, T-30 to T-33, whatever happens in whatever order."""
    world = kind(seed, stormy)
    world.play()
