"""Bridges that lie: they answer the focus's real requests wrongly, late, twice, for others, or not at all.

While they stand in the brewery the honest one takes nothing new, so only rooms made for them are on them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Callable, List
from typing import Counter as CounterOf

from tests.hostile.cast import Asked
from tests.hostile.scene import Scene
from tests.hostile.templates import ANSWER, Pool
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.wire import Stanza

BRIDGES, ROOMS, PEOPLE = 4, 10, 2


class LyingBridge(Bridge):
    """lie: called with this bridge and a request; returns whether it has been answered by that."""

    def __init__(self, *arguments: Any, lie: Callable[["LyingBridge", Stanza], bool], **settings: Any) -> None:
        self._lie = lie
        super().__init__(*arguments, **settings)

    def _reply(self, stanza: Stanza, kind: str, payload: str) -> None:
        if not self._lie(self, stanza):
            super()._reply(stanza, kind, payload)

    def answer_late(self, stanza: Stanza, seconds: float) -> None:
        """Say what a bridge says after an end, but late."""
        self.loop.call_later(seconds, lambda: Bridge._reply(self, stanza, "result", ""))


class Liars:
    """The bridges that lie and the rooms on them."""

    def __init__(self, scene: Scene, pool: Pool) -> None:
        self.kinds: CounterOf[str] = Counter()
        self._scene = scene
        self._pool = pool
        self._times = self._came = 0
        self._bridges: List[LyingBridge] = []
        self._people: List[Client] = []

    def begin(self) -> None:
        """They come, and so do people."""
        scene = self._scene
        self._times += 1
        scene.bridge.publish(drain="true")
        for number in range(BRIDGES):
            self._bridges.append(scene.new_bridge("liar%d" % number, LyingBridge, lie=self._lie))
        scene.wait(lambda: not scene.server.unread, "the lying bridges are known")
        for number in range(ROOMS * PEOPLE):
            self._come("lied%d-%d@%s" % (self._times, number % ROOMS, scene.world.muc))

    def _come(self, room: str) -> None:
        self._came += 1
        client = self._scene.client("lied%d" % self._came)
        client.enter(room, self._scene.cast.focus_jid)
        self._people.append(client)

    def move(self) -> None:
        """Somebody goes and somebody comes now and then, so that there is something to ask for."""
        rng = self._scene.rng
        for _ in range(rng.choice((0, 1, 2))):
            client = self._people.pop(rng.randrange(len(self._people)))
            self._come("lied%d-%d@%s" % (self._times, rng.randrange(2 * ROOMS), self._scene.world.muc))
            client.close()

    def end(self) -> None:
        """All go, and the honest bridge takes over."""
        for client in self._people:
            client.close()
        self._people.clear()
        self._scene.bridge.publish(drain="false")
        bridges, self._bridges = self._bridges, []
        for bridge in bridges:
            bridge.close()
            if bridge.violations:
                raise AssertionError("a lying bridge got: %s" % bridge.violations[:5])

    def _lie(self, bridge: LyingBridge, stanza: Stanza) -> bool:
        chance = self._scene.rng.random()
        if chance < 0.6:
            self._say("honest", 0, bridge, stanza)
            return False
        if chance < 0.64:
            self._say("late", 0, bridge, stanza)
            bridge.answer_late(stanza, self._scene.rng.choice((0.2, 0.5, 1.0)))
        elif chance < 0.65:
            self._say("none", 0, bridge, stanza)
        elif chance < 0.75:
            self._say("and an honest one", 1, bridge, stanza)
            return False
        else:
            times = 2 if chance < 0.8 else 1
            self._say("twice" if times == 2 else "once", times, bridge, stanza)
        return True

    def _say(self, how: str, times: int, bridge: LyingBridge, stanza: Stanza) -> None:
        scene = self._scene
        self.kinds["lie: " + how] += 1
        cast = scene.cast
        for _ in range(times):
            fill = cast.begin()
            endpoints = [one.get("id", "") for one in stanza.element.iter("{jitsi:colibri2}endpoint")]
            cast.asked = Asked(stanza.get("id"), bridge.jid, endpoints[0] if endpoints else "x")
            raw = self._pool.draw(scene.rng, ANSWER)[1].fill(fill)
            scene.server.inject([raw], [None])
