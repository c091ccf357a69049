"""A run of hostile stanzas against the real focus process: `python -m tests.hostile.run --count 1000000 --seed 1`.

The server around the focus is the scripted one, which writes whatever it is given: that is faster than any real server
would let an attacker be, and it lets through what a real one would not. Attackers sit in a room, are invited and answer
with more of the same. After each batch a call of two honest participants in a room of its own has to work, and no line
of the log may be a traceback. At the end the memory that the last quarter has added is compared with the names that
the XML library keeps for ever, which the focus counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import signal
import sys
import tempfile
import time
from pathlib import Path
from random import Random
from typing import Any, Dict, Iterator, List, Optional
from xml.parsers import expat

from focus.xmpp.arrivals import Arrived, Refused
from focus.xmpp.errors import NotWellFormed
from focus.xmpp.names import NameLedger
from focus.xmpp.parser import StreamParser
from tests.hostile.grammar import FOCUS, Grammar, Targets, mutated
from tests.support import media
from tests.support.bridge import Bridge
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.loop import Loop
from tests.support.quick_world import QuickAddress, QuickSeat, QuickServer, QuickWorld
from tests.support.smacks_session import ServerSession
from tests.support.wire import Stanza, escape

WINDOW = 400
"""Stanzas on their way at once."""
MUTATED, GIANT, REJOIN = 8, 60, 500
"""One stanza in so many is mutated, is a giant, is followed by an attacker's coming back."""
BREAK_AT, BREAK_EVERY = 5000, 50000
"""Stanzas until the stream is broken by bytes that no server passes on, and from then to the next time: a focus that
loses its connection again and again takes its time to come back."""
MAX_GROWTH = 5.0
"""MB that the last quarter may add to the memory beyond the counted names."""
TRACEBACK = re.compile(r"^\s*Traceback|^\w*Error: |File \".*\", line \d+", re.MULTILINE)
_ID = re.compile(rb"\sid=['\"]([^'\"]*)['\"]")
_SID = re.compile(rb"\ssid=['\"]([^'\"]*)['\"]")
HEADER = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
LAST = b"<presence id='last'/>"


class Failed(AssertionError):
    """The focus did what it mustn't; the text says how to repeat it."""


class Attacker:
    """An occupant of the room under attack: it listens to what the focus asks of it, and never answers by itself."""

    def __init__(self, loop: Loop, world: QuickWorld, room: str, number: int, targets: Targets) -> None:
        self.occupant = "%s/evil%d" % (room, number)
        self._targets = targets
        self._room = room
        self._stream = QuickSeat(world, "evil%d@%s/e" % (number, world.domain), deaf=True).open(loop, self._heard)

    def ask(self, focus: str) -> None:
        """Request the conference."""
        self._stream.send("<iq type='set' id='c' to='%s'><conference xmlns='%s' room='%s'/></iq>"
                          % (focus, FOCUS, self._room))

    def join(self) -> None:
        """Enter the room, once more if need be."""
        for kind in (" type='unavailable'", ""):
            self._stream.send("<presence%s to='%s'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
                              % (kind, escape(self.occupant)))

    def _heard(self, stanza: Stanza) -> None:
        for pattern, known in ((_ID, self._targets.ids), (_SID, self._targets.sids)):
            found = pattern.search(stanza.raw)
            if found is not None:
                self._targets.learn(known, found.group(1).decode())


class Siege:
    """The focus, its server, a bridge and the attackers. Use as a context manager.

    seed: of everything that is drawn.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sent = 0
        self.delivered = 0
        """Those of them that were stanzas, and so were delivered."""
        self.broken = 0
        """Times the stream was broken by what was sent."""
        self._random = Random(seed)
        self._numbers = itertools.count(1)
        self._read = 0
        self._next_break = BREAK_AT

    def __enter__(self) -> Siege:
        self.loop = Loop()
        self.world = world = QuickWorld()
        self.server = QuickServer(self.loop, world)
        self.server.queue_limit = 100 * WINDOW
        self.bridge = Bridge(self.loop, QuickSeat(world, "jvb@%s/b" % world.user_domain, deaf=False), world.brewery)
        watched = Path(__file__).with_name("watched.py")
        self._folder = tempfile.TemporaryDirectory(prefix="hostile-")
        self._notes = Path(self._folder.name) / "notes"
        self.focus = FocusProcess(QuickAddress(self.server), component=False, checked=False, program=watched,
                                  environment={"HOSTILE_NOTES": str(self._notes)})
        self.focus.start()
        self._wait(lambda: "focus" in self.bridge.occupants, "the focus in the brewery")
        self.room = "attacked@" + world.muc
        senders = ["%s/evil%d" % (self.room, number) for number in range(3)]
        senders += [self.room + "/nobody", "evil0@%s/e" % world.domain, "evil1@%s/e" % world.domain, world.domain,
                    "other@%s/someone" % world.muc, "x@elsewhere.example/y", world.brewery + "/evil"]
        self.targets = Targets(senders, [self.focus.jid], [self.room, "other@" + world.muc, "@", "new@" + world.muc,
                                                           "a" * 2000, "focus@" + world.user_domain, "r@nowhere"])
        self.grammar = Grammar(self._random, self.targets)
        self.attackers = [Attacker(self.loop, world, self.room, number, self.targets) for number in range(3)]
        self.call()
        self.attackers[0].ask(self.focus.jid)
        for attacker in self.attackers:
            attacker.join()
        return self

    def __exit__(self, *exception: object) -> None:
        self.focus.stop()
        self.loop.close()
        self.focus.discard()
        self._folder.cleanup()

    # Attack

    def attack(self, count: int) -> None:
        """Send so many stanzas, and see that an honest call works after them."""
        begin = self.sent
        try:
            while self.sent < begin + count:
                self._wait(self._has_room, "acknowledgements")
                with self.world.together():
                    for _ in range(min(50, begin + count - self.sent)):
                        self._send(self._next())
                self.server.flush()
                self.loop.step()
            self.call()
            self._check_log()
        except AssertionError as error:
            raise Failed("seed %d, after stanza %d (batch from %d): %s\n--- log\n%s" % (
                self.seed, self.sent, begin, error, self.focus.log()[-3000:])) from None

    def _has_room(self) -> bool:
        session = self._session
        return (self.server.connection is not None and session.managed and not session.ended
                and session.sent - session.acknowledged < WINDOW)

    @property
    def _session(self) -> ServerSession:
        """The focus's own; a second one may stand in its rooms while it comes back."""
        return next(one for one in reversed(self.server.sessions) if one.jid == self.focus.jid)

    def _next(self) -> bytes:
        random = self._random
        self.sent += 1
        if random.randrange(REJOIN) == 0:
            self.attackers[random.randrange(3)].join()
        if random.randrange(GIANT) == 0:
            return self.grammar.giant().encode()
        data = self.grammar.stanza().encode()
        return mutated(random, data) if random.randrange(MUTATED) == 0 else data

    def _send(self, data: bytes) -> None:
        """As a stanza if it is one. The rest ends the stream, and no server passes it on: only some of it is sent."""
        if is_stanza(data):
            self.delivered += 1
            self.server.deliver(self._session, data)
        elif self.sent >= self._next_break and self.server.connection is not None:
            self._next_break += BREAK_EVERY
            self.server.connection.write_raw(data)
            self.server.flush()
            self.server.cut()
            self.broken += 1

    # Proof

    def call(self) -> None:
        """Two honest participants meet in a room of their own and know of each other."""
        number = next(self._numbers)
        room = "call%d@%s" % (number, self.world.muc)
        clients: List[Client] = []
        for name in ("a%d" % number, "b%d" % number):
            endpoint = "%s0000" % name
            sources = media.audio_source(endpoint, 1000 * len(clients) + 11)
            clients.append(Client(self.loop, QuickSeat(self.world, "%s@%s/c" % (name, self.world.domain), deaf=False),
                                  endpoint=endpoint, sources=sources, record=False, track=False))
        for client in clients:
            client.enter(room, self.focus.jid)
        for client in clients:
            client.wait_session(20)
            client.wait_sources_of([other for other in clients if other is not client], 20)
        for client in clients:
            client.leave()
            client.close()

    def _check_log(self) -> None:
        with open(self.focus.log_file, encoding="utf-8", errors="replace") as log:
            log.seek(self._read)
            new = log.read()
            self._read = log.tell()
        found = TRACEBACK.search(new)
        if found is not None:
            at = found.start()
            raise AssertionError("a traceback in the log: ...%s" % new[max(0, at - 300):at + 2500])

    def memory(self) -> Dict[str, float]:
        """MB that the focus has now: resident, and counted for names."""
        notes = self._notes
        before = notes.stat().st_size if notes.exists() else 0
        os.kill(self.focus.pid, signal.SIGWINCH)
        self._wait(lambda: notes.exists() and notes.stat().st_size > before, "the focus's note of its memory")
        noted: Dict[str, float] = json.loads(notes.read_text(encoding="ascii").splitlines()[-1])
        return noted

    def _wait(self, condition: Any, what: str) -> None:
        def alive_and() -> Any:
            if not self.focus.running:
                raise AssertionError("the focus has ended")
            return condition()

        self.loop.wait(alive_and, 60, what)


def is_stanza(data: bytes) -> bool:
    """Whether the bytes are one stanza and nothing else for the focus's own parser, so that both sides count alike.

    A server passes on nothing that isn't well-formed, but for prefixes it doesn't know; nor is that counted here:
    what the focus skips of it depends on the pieces in which it comes.
    """
    try:
        expat.ParserCreate("utf-8").Parse(b"<stream>" + data + b"</stream>", True)
    except expat.ExpatError:
        return False
    parser = StreamParser(None, ledger=NameLedger())
    try:
        items = [item for part in (HEADER, data, LAST) for item in parser.feed(part)]
    except NotWellFormed:
        return False
    return (len(items) == 2 and all(isinstance(item, (Arrived, Refused)) for item in items)
            and isinstance(items[1], Arrived) and items[1].element.get("id") == "last")


def batches(count: int, size: int) -> Iterator[int]:
    """Sizes of the batches."""
    for begin in range(0, count, size):
        yield min(size, count - begin)


def besiege(count: int, seed: int, size: int, seconds: float) -> Dict[str, Any]:
    """A whole run; returns its figures. Raises Failed, also if it isn't done after so many seconds."""
    begin = time.monotonic()
    quarters: List[Dict[str, float]] = []
    with Siege(seed) as siege:
        for number, batch in enumerate(batches(count, size)):
            if time.monotonic() - begin > seconds:
                break
            siege.attack(batch)
            if siege.sent * 4 >= count * (len(quarters) + 1):
                quarters.append(siege.memory())
            if number % 10 == 9:
                print("%d stanzas, %.0f s" % (siege.sent, time.monotonic() - begin), file=sys.stderr, flush=True)
        growth = sum(sign * (noted["memory"] - noted["names"]) for sign, noted in zip((1, -1), quarters[:-3:-1]))
        figures = {"seed": seed, "stanzas": siege.sent, "delivered": siege.delivered, "streams_broken": siege.broken,
                   "seconds": round(time.monotonic() - begin, 1),
                   "stanzas_per_s": round(siege.sent / (time.monotonic() - begin)), "quarters_mb": quarters,
                   "last_quarter_adds_mb": round(growth, 2)}
        if siege.sent < count:
            raise Failed("only %d stanzas in %.0f s: %s" % (siege.sent, seconds, figures))
        if growth > MAX_GROWTH:
            raise Failed("the last quarter adds %.1f MB: %s" % (growth, figures))
        return figures


def main(arguments: Optional[List[str]] = None) -> int:
    """The command; 0 if the focus has held out."""
    parser = argparse.ArgumentParser(description="Hostile stanzas against the focus.")
    parser.add_argument("--count", type=int, default=1000000, help="stanzas")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--batch", type=int, default=2000, help="stanzas between two honest calls")
    parser.add_argument("--seconds", type=float, default=3000.0, help="after which no further batch is begun")
    given = parser.parse_args(arguments)
    try:
        print(json.dumps(besiege(given.count, given.seed, given.batch, given.seconds)))
    except Failed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
