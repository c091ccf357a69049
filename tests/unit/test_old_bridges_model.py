"""The random events of test_model with bridges that speak Colibri 1: known beforehand, or found out by refusal."""
from __future__ import annotations

import random
from typing import Any, Set, Tuple

import pytest

from tests.support.bridge1 import OldBridgeModel
from tests.support.bridge_model import Refusal
from tests.unit.test_model import BRIDGES, Bridge, Client, Sent, World, _no_fault_in_a_turn  # noqa: F401


class OldBridge(Bridge):
    """One that knows channels only."""

    def __init__(self, jid: str, sctp: bool, early: bool) -> None:
        super().__init__(jid, sctp, False)
        self.model: Any = OldBridgeModel(sctp=sctp, early=early)
        self.asked_in_vain = 0

    def receive(self, sent: Sent) -> Sent:
        return sent

    def is_expiry(self, sent: Sent) -> bool:
        parts = list(sent.element[0].iter("{*}channel", "{*}sctpconnection"))
        return bool(parts) and all(part.get("expire") == "0" for part in parts)

    def execute(self, sent: Sent) -> str:
        if sent.element[0].tag.endswith("}conference-modify"):
            self.asked_in_vain += 1
            raise Refusal("service-unavailable")
        self.model._inspect(sent.element[0])
        return str(self.model.execute(sent.element[0]))

    def has(self, nick: str) -> Tuple[Set[int], str]:
        found = [c for c in self.model.conferences.values() if nick in c.endpoints
                 and any(channel.endpoint == nick and channel.id not in self.model.orphans
                         for channels in c.contents.values() for channel in channels.values())]
        conference = found[-1]
        ssrcs: Set[int] = set()
        for channels in conference.contents.values():
            for channel in channels.values():
                if channel.endpoint == nick:
                    ssrcs.update(channel.ssrcs)
        return ssrcs, conference.transports[nick][-1].ufrag

    def forget(self, rng: random.Random) -> None:
        for identifier, conference in list(self.model.conferences.items()):
            if conference.endpoints and rng.random() < 0.5:
                nick = rng.choice(sorted(conference.endpoints))
                self.model.forget_channel(rng.choice(("audio", "video")), nick)
            else:
                del self.model.conferences[identifier]


class OldWorld(World):
    """All bridges are old if ``pure``, otherwise those the dice say; half of the time nobody tells which."""

    def __init__(self, seed: int, stormy: bool, pure: bool) -> None:
        self.dice = random.Random(seed)
        self.told = self.dice.random() < 0.5
        self.old = {jid for jid in BRIDGES if pure or self.dice.random() < 0.5}
        super().__init__(seed, stormy)
        if self.told:
            self.scene.bridges.dialects._colibri1 = frozenset(self.old)

    def new_bridge(self, jid: str, sctp: bool) -> Any:
        return OldBridge(jid, sctp, self.dice.random() < 0.5) if jid in self.old else super().new_bridge(jid, sctp)

    def new_sources(self, client: Client) -> Tuple[str, str]:
        """Of what it was offered: for other media there is no channel."""
        while True:
            media, xml = super().new_sources(client)
            if getattr(client.features, media):
                return media, xml

    def is_expected(self, refusal: Refusal) -> bool:
        return not self.told and refusal.condition == "service-unavailable"

    def check(self) -> None:
        super().check()
        for jid in self.old:
            # twice if the call was over before the first answer, so that its end was asked for as well
            assert self.bridges[jid].asked_in_vain <= (0 if self.told else 2 + 2 * self.stormy), "asked again in vain"
            assert self.stormy or self.bridges[jid].model.violations == []
        for session in self.scene.state.bridges.values():
            if session.dialect == 1:
                assert session.phase != "ready" or session.conference
                for row in session.endpoints.values():
                    assert not row.created or session.channels[row.id].known
            else:
                assert not session.channels

    def finish(self) -> None:
        if self.stormy:  # an answer that was lost leaves channels that nobody knows; the bridge drops them (K-732)
            for jid in self.old:
                self.bridges[jid].model.leaks = list
        super().finish()


@pytest.mark.parametrize("pure", [True, False], ids=["old", "mixed"])
@pytest.mark.parametrize("stormy", [False, True], ids=["calm", "stormy"])
@pytest.mark.parametrize("seed", range(12))
def test_random_events(seed: int, stormy: bool, pure: bool) -> None:
    """K-702, K-722, K-730, K-731, K-830, K-833"""
    world = OldWorld(seed, stormy, pure)
    world.play()
