"""A run against the scripted server: batches of hostile stanzas, and after each the question whether all is well."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any, List, Optional, Tuple
from typing import Counter as CounterOf

from tests.hostile import damage
from tests.hostile.cast import Speaker
from tests.hostile.damage import Seen
from tests.hostile.liars import Liars
from tests.hostile.scene import Scene
from tests.hostile.server import NOTICES_AN_END
from tests.hostile.templates import Pool
from tests.hostile.verdict import LogReader, Memory, Result

BATCH = 2000
CHUNK = 40
WINDOW = 400
"""Stanzas under way at most."""
MUTATED, BEYOND = 0.12, 0.015
"""Shares of the stanzas that are damaged, and that exceed bounds."""
SPOIL_FIRST, SPOIL_EVERY = (2500, 11000), 40000
"""After which stanzas the stream is broken, at first and then: a focus that must connect again and again takes its
time."""
LIARS_EVERY = 4
"""Batches between two with a bridge that lies."""
ANSWERED_WITHIN = 15.0
"""Seconds in which the last answers of a batch must come (5 s are the longest that the focus lets a client wait)."""
HEAP = 300
REPLAYS_POISON = False
"""Whether the run ends with a server that replays what can't be parsed. DEFECT: the focus then tries to resume that
stream for ever, since a failure within the negotiation isn't counted; to be True when that is mended."""


class Run:
    """One run.

    count: stanzas. seed: decides the templates and what is made of them. minutes: it ends then at the latest.
    """

    def __init__(self, count: int, seed: int, minutes: float, pool: Pool, folder: Path, batch: int = BATCH,
                 checked: bool = False) -> None:
        self.count = count
        self.pool = pool
        self.batch = batch
        self.rng = random.Random(seed)
        self.scene = Scene(self.rng, folder, checked)
        self.cast = self.scene.cast
        self.log = LogReader(self.scene.focus.log_file)
        self.memory = Memory()
        self.kinds: CounterOf[str] = Counter()
        self.complaints: List[str] = []
        self.fresh: List[float] = []
        self.sent = self.discarded = self.broken = self.hung = self.reconnects = 0
        self._deadline = time.monotonic() + minutes * 60
        self._spoil_at = sorted([*SPOIL_FIRST, *range(SPOIL_EVERY, count, SPOIL_EVERY)])
        self._heap: List[bytes] = []
        self._last = b"<message/>"

    def play(self) -> Result:
        """All batches."""
        began = time.monotonic()
        pid, ended, cpu = 0, False, 0.0
        with self.scene as scene:
            pid = scene.focus.pid
            try:
                scene.people()
                self._note()
                liars = Liars(scene, self.pool)
                number = 0
                while self.sent < self.count and time.monotonic() < self._deadline and not self.complaints:
                    number += 1
                    self._batch(min(self.batch, self.count - self.sent), liars if number % LIARS_EVERY == 2 else None)
                seconds = time.monotonic() - began
                self.kinds.update(liars.kinds)
                cpu, self.reconnects = scene.focus.cpu_seconds(), scene.server.cuts
                if not self.complaints:
                    scene.everybody_leaves()
                    if REPLAYS_POISON:
                        self._poison()
                ended = True
            except AssertionError as error:
                seconds = time.monotonic() - began
                self.complaints.append("%s" % error)
            self.log.look()
            if not scene.focus.running or scene.focus.pid != pid:
                self.complaints.append("the focus has ended")
            elif ended and scene.focus.stop() != 0:
                self.complaints.append("the focus has not ended in order")
        return self._result(seconds, cpu)

    def _result(self, seconds: float, cpu: float) -> Result:
        answers, scene = self.scene.server.answers, self.scene
        if self.sent >= self.count and len(self.memory.samples) >= 8:
            self.complaints += self.memory.complaints()
        figures = {
            "stanzas": self.sent, "kinds": dict(self.kinds.most_common()), "requests": answers.requests,
            "answers": dict(answers.conditions.most_common()), "slowest answer s": round(answers.slowest, 2),
            "reconnects": self.reconnects, "broken streams": self.broken, "cut by the server": self.hung,
            "seconds": round(seconds, 1), "stanzas/s": round(self.sent / seconds), "cpu s": round(cpu, 1),
            "rss MB at quarters": self.memory.quarters, "last quarter MB": round(self.memory.growth, 2),
            "names MB": round(scene.server.names.name_bytes / 1048576, 2),
            "fresh calls": len(self.fresh), "slowest fresh call s": round(max(self.fresh, default=0), 2),
            "slowest answer to a victim s": round(max(scene.latencies, default=0), 2),
            "expected errors in the log": dict(self.log.expected), "log MB": round(self.log.bytes / 1048576, 1),
            "templates": len(self.pool)}
        return Result("scripted", figures, self.complaints + self.log.complaints)

    # A batch

    def _batch(self, size: int, liars: Optional[Liars]) -> None:
        scene, end = self.scene, self.sent + size
        scene.refresh()
        if liars is not None:
            liars.begin()
        scene.victim_adds(self.sent)
        added_for, removed = self.sent, False
        while self.sent < end:
            self._chunk(min(CHUNK, end - self.sent))
            if liars is not None:
                liars.move()
            if self.sent % (10 * CHUNK) == 0:
                scene.refresh()
            if not removed and self.sent > end - size // 2 and not scene.victims_wait:
                scene.victim_removes(added_for)
                removed = True
            if self._spoil_at and self.sent >= self._spoil_at[0]:
                del self._spoil_at[0]
                self._spoil()
        if not removed:
            scene.wait(lambda: not scene.victims_wait, "a victim gets its answer")
            scene.victim_removes(added_for)
        if liars is not None:
            liars.end()
        scene.silence()
        self._check()

    def _check(self) -> None:
        scene, server = self.scene, self.scene.server
        answers = server.answers
        scene.wait(lambda: not server.unread and not scene.victims_wait, lambda: "all is read: %d left" % server.unread)
        scene.wait(lambda: not answers.unanswered() or server.unread, lambda: "no answer to %d requests: %r" % (
            len(answers.unanswered()), answers.unanswered()[:10]), ANSWERED_WITHIN)
        scene.wait(scene.victims_know_each_other, lambda: "victims: %s" % scene.trouble_of_victims(), 5)
        self.fresh.append(scene.fresh_call())
        self.log.look()
        self._note()
        self.complaints += answers.complaints
        self.complaints += ["the bridge got: %s" % text for text in scene.bridge.violations[:5]]
        self.complaints += ["a session has ended: %s" % why for why in server.ended_sessions()]
        self.complaints += self.log.complaints

    def _note(self) -> None:
        scene = self.scene
        self.memory.note(self.sent, scene.focus.rss_mb(), scene.server.names.name_bytes)

    # Stanzas

    def _chunk(self, size: int) -> None:
        raws: List[bytes] = []
        what: List[Optional[Seen]] = []
        while len(raws) < size:
            made = self._one()
            if made is None:
                self.discarded += 1
                continue
            raws.append(made[0])
            what.append(made[1])
        server = self.scene.server
        with self.scene.world.together():
            server.inject(raws, what)
        self.sent += size
        self.scene.loop.step(0.0)
        self.scene.wait(lambda: server.unread < WINDOW, lambda: "it reads on: %d are unread" % server.unread, 60)

    def _one(self) -> Optional[Tuple[bytes, Optional[Seen]]]:
        """A stanza to be sent, and what it is; None for something that is no stanza."""
        rng = self.rng
        fill = self.cast.begin()
        if rng.random() < BEYOND:
            made = damage.beyond(rng, self._sender(self.cast.speaker), self.cast.value_of("id.new"))
            self.kinds["beyond: " + made.name] += 1
            self.scene.note(made.seen)
            return made.raw, made.seen
        kind, template = self.pool.draw(rng)
        raw = template.fill(fill)
        if rng.random() < MUTATED:
            other, self._last = self._last, raw
            raw = damage.mutate(rng, raw, other)
            kind = "damaged"
        try:
            what = damage.look(raw)
        except ValueError:
            if len(self._heap) < HEAP:
                self._heap.append(raw)
            return None
        if what is None or (kind == "damaged" and self._is_forgery(what)):
            return None
        self.kinds[kind] += 1
        self.scene.note(what)
        return raw, what

    @staticmethod
    def _sender(speaker: Speaker) -> str:
        return speaker.jid if len(speaker.jid) < 1000 else "outsider@elsewhere.example"

    def _is_forgery(self, what: Seen) -> bool:
        """Whether a damaged stanza happens to come from one whom nobody can be: a victim, its room, its bridge."""
        room = self.scene.victims[0].room
        protected = {room, "%s/focus" % room, self.scene.bridge.jid, *(v.occupant for v in self.scene.victims)}
        leaves = what.kind == "presence" and what.sender.startswith(room) and what.type
        return what.sender in protected or bool(leaves)

    # Broken streams

    def _spoil(self) -> None:
        """End the stream by what can't be parsed; the focus must come back and go on."""
        scene, server = self.scene, self.scene.server
        scene.wait(lambda: not server.unread, "all is read before the stream breaks")
        old, cuts = server.connection, server.cuts
        self._chunk(1)
        server.spoil(damage.ill_formed(self.rng, self._heap))
        self._chunk(5)
        self.broken += 1
        until = time.monotonic() + NOTICES_AN_END
        scene.wait(lambda: server.cuts > cuts or time.monotonic() > until, "the stream has ended")
        if server.cuts == cuts:
            self.hung += 1
            server.cut()
        scene.wait(lambda: server.connection is not None and server.connection is not old and not server.unread,
                   "the focus is back", 40)

    def _poison(self) -> None:
        """A server that sends again and again what can't be parsed: that stream is given up, and the next one works."""
        scene, server = self.scene, self.scene.server
        sessions = len(server.sessions)
        server.session.number(damage.ILL_FORMED[3] + damage.CLOSERS)
        server.spoil(damage.ILL_FORMED[3] + damage.CLOSERS)
        self.broken += 1
        scene.wait(lambda: len(server.sessions) > sessions and server.connection is not None, "a new session", 60)
        server.answers.forget()
        scene.wait(lambda: scene.world.rooms.get(scene.world.brewery) is not None
                   and "focus" in scene.world.rooms[scene.world.brewery].occupants and not server.unread, "greeted", 30)
        self.fresh.append(scene.fresh_call())


def run(count: int, seed: int, minutes: float = 25.0, pool: Any = None, checked: bool = False,
        batch: int = BATCH) -> Result:
    """Play a run in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="hostile-") as folder:
        return Run(count, seed, minutes, pool or Pool(seed, pool_size(count)), Path(folder), batch, checked).play()


def pool_size(count: int) -> int:
    """How many templates a run of so many stanzas is worth."""
    return max(500, min(5000, count // 40))
