"""Who is there to be lied to and who lies: what the slots of a template mean at this moment."""

from __future__ import annotations

import random
from collections import deque
from typing import Callable, Deque, Dict, List, NamedTuple, Protocol, Tuple

from tests.support.client import FEATURES_2022, FEATURES_2026, Client, caps_version

GHOSTS = tuple("%08x" % (7 * number) for number in range(6)) + ("", "jvb", "-", "a-b", "\u00e4", "n" * 70, "' \"<&>")
"""Nicknames of which nobody is in the room."""
EVIL_BRIDGES = ("evil0", "evil1", "evil2")
KNOWN_ROOMS = 40
"""Rooms that are asked for again and again and that nobody enters."""
NEW_ROOM_SHARE = 0.03
"""Of the requests for a room nobody has heard of, so many get one; for the others one that is known will do."""


class Place(Protocol):
    """A server, as far as addresses go."""

    domain: str
    user_domain: str
    muc: str
    brewery: str


class Speaker(NamedTuple):
    """Who sends a stanza: its address as the focus sees it, and what it knows of itself."""

    jid: str
    endpoint: str
    room: str
    client: Client | None


class Asked(NamedTuple):
    """A request of the focus."""

    id: str
    to: str
    endpoint: str = ""


class Cast:
    """Fills slots.

    victims: in a room whose call must go on. inside: attackers in that room. attackers: in rooms of their own, of
    which anything may be said, also by the room itself.
    """

    def __init__(self, rng: random.Random, world: Place, focus_jid: str) -> None:
        self.rng = rng
        self.world = world
        self.focus_jid = focus_jid
        self.victims: List[Client] = []
        self.inside: List[Client] = []
        self.attackers: List[Client] = []
        self.flying: Deque[Asked] = deque([Asked("none", "")], maxlen=60)
        """Requests of the focus that may still be open."""
        self.discoveries: Deque[Asked] = deque([Asked("none", "")], maxlen=30)
        self.asked = Asked("none", "")
        """The request that is being answered."""
        self.speaker = Speaker("", "", "", None)
        self.caps = [caps_version(FEATURES_2022), caps_version(FEATURES_2026)]
        self._ids: Deque[str] = deque(["x"], maxlen=50)
        self._numbers = 0
        self._own: Dict[str, Deque[Tuple[str, str]]] = {}
        self._new: Tuple[str, str] = ("1", "x")
        self._slots: Dict[str, Callable[[], str]] = self._table()

    # A stanza

    def begin(self) -> Callable[[str], str]:
        """Choose who speaks; returns what fills the slots of one template."""
        self.speaker = self._choose_speaker()
        return self.value_of

    def value_of(self, name: str) -> str:
        """What a slot means now."""
        return self._slots[name]()

    def _choose_speaker(self) -> Speaker:
        chance = self.rng.random()
        if chance < 0.45:
            return self.of(self.rng.choice(self.inside))
        if chance < 0.75:
            return self.of(self.rng.choice(self.attackers))
        if chance < 0.9:
            return Speaker(self._outsider(), "outsider", "", None)
        return Speaker(self._disguise(), "outsider", "", None)

    @staticmethod
    def of(client: Client) -> Speaker:
        return Speaker(client.occupant, client.endpoint, client.room, client)

    def _disguise(self) -> str:
        """An address that looks like a victim's and isn't the one its requests come from, or is like the server's."""
        victim, rng = self.rng.choice(self.victims), self.rng
        return rng.choice((
            victim.jid, victim.room, victim.occupant.upper(), victim.occupant + " ", victim.occupant + "/",
            "%s/%s\u200b" % (victim.room, victim.endpoint), "%s/focus" % victim.room,
            "%s/%s" % (rng.choice(self.attackers).room, victim.endpoint), "%s@%s/%s" % (
                victim.room.partition("@")[0], self.world.domain, victim.endpoint),
            "", self.world.domain, self.world.user_domain, self.world.muc, "focus." + self.world.domain,
            "focus.%s/%s" % (self.world.domain, victim.jid), self.focus_jid, self.world.brewery))

    def _outsider(self) -> str:
        return self.rng.choice(("", "outsider%d@%s/r" % (self.rng.randrange(40), self.world.domain),
                                "outsider%d@elsewhere.example/r" % self.rng.randrange(40), "x" * 1100 + "@a/b",
                                "@/", "a@b@c/d", "'\"<&>@x/\u20ac", "outsider@%s" % self.world.domain))

    # The slots

    def _table(self) -> Dict[str, Callable[[], str]]:
        slots = {
            "from": lambda: self.speaker.jid, "from.liar": self._liar, "from.brewery": self._evil_bridge,
            "from.member": self._member, "from.attacked": self._attacked, "from.ghost": self._ghost,
            "from.outsider": self._outsider,
            "from.anyone": self._anyone, "from.discovered": lambda: self._discovery.to,
            "id.new": self._new_id, "id.reused": lambda: self.rng.choice(self._ids),
            "id.flying": lambda: self.rng.choice(self.flying).id, "id.disco": self._disco_id,
            "jid.self": lambda: self.focus_jid, "jid.own": lambda: self.speaker.jid,
            "jid.victim": lambda: self._victim().occupant, "jid.focus": lambda: self._victim().focus,
            "jid.outsider": self._outsider, "jid.real": self._real_jid,
            "asked.id": lambda: self.asked.id, "asked.by": lambda: self.asked.to,
            "asked.endpoint": lambda: self.asked.endpoint or "x", "caps.known": lambda: self.rng.choice(self.caps),
        }
        slots.update(self._rooms())
        slots.update(self._media())
        self._discovery = Asked("none", "")
        return slots

    def _rooms(self) -> Dict[str, Callable[[], str]]:
        muc, domain = self.world.muc, self.world.domain
        return {
            "room.victim": lambda: self.victims[0].room, "room.attack": lambda: self.rng.choice(self.attackers).room,
            "room.known": self._known_room, "room.new": self._new_room,
            "room.upper": lambda: self.rng.choice(self.attackers).room.title(),
            "room.tenant": lambda: "tenant%d@conference.acme.%s" % (self.rng.randrange(10), domain),
            "room.lobby": lambda: "a@lobby." + domain, "room.brewery": lambda: self.world.brewery,
            "room.foreign": lambda: self.rng.choice(("a@elsewhere.example", "a@" + domain, "a@sub." + muc)),
        }

    def _media(self) -> Dict[str, Callable[[], str]]:
        return {
            "ssrc.new": self._new_ssrc, "ssrc.own": lambda: self._own_source()[0],
            "ssrc.victim": lambda: str(self.rng.choice(sorted(self._victim().sources.sources)).ssrc),
            "msid.new": lambda: self._new[1], "msid.own": lambda: self._own_source()[1],
            "msid.victim": lambda: self.rng.choice(sorted(self._victim().sources.sources)).msid or "x",
            "name.own": lambda: "%s-%s%d" % (self.speaker.endpoint, self.rng.choice("av"), self.rng.randrange(9)),
            "name.victim": lambda: "%s-v0" % self._victim().endpoint, "name.stranger": lambda: "stranger-a0",
            "endpoint.own": lambda: self.speaker.endpoint, "endpoint.victim": lambda: self._victim().endpoint,
            "sid.own": lambda: self._sid(self.speaker.client), "sid.victim": lambda: self._sid(self._victim()),
            "sid.stale": self._stale_sid, "sid.stranger": lambda: self._sid(self.rng.choice(self.attackers)),
            "bridge.own": lambda: self._bridge_session(self.speaker.client),
            "bridge.victim": lambda: self._bridge_session(self._victim()),
        }

    def _victim(self) -> Client:
        return self.rng.choice(self.victims)

    @staticmethod
    def _sid(client: Client | None) -> str:
        return client.session.sid if client is not None and client.session is not None else "none"

    @staticmethod
    def _bridge_session(client: Client | None) -> str:
        return client.session.bridge_session if client is not None and client.session is not None else "none"

    def _stale_sid(self) -> str:
        client = self.speaker.client
        return self.rng.choice(client.sessions).sid if client is not None and client.sessions else "none"

    def _new_id(self) -> str:
        self._numbers += 1
        self._ids.append("h%d" % self._numbers)
        return self._ids[-1]

    def _disco_id(self) -> str:
        self._discovery = self.discoveries.popleft() if len(self.discoveries) > 1 else self.discoveries[0]
        return self._discovery.id

    def _new_ssrc(self) -> str:
        self._new = (str(self.rng.randrange(1, 2 ** 32)), "m%x" % self.rng.getrandbits(48))
        self._own.setdefault(self.speaker.endpoint, deque(maxlen=8)).append(self._new)
        return self._new[0]

    def _own_source(self) -> Tuple[str, str]:
        """One that it has signalled before, and that is then perhaps gone."""
        known = self._own.get(self.speaker.endpoint)
        if not known:
            return self._new
        found = self.rng.choice(known)
        known.remove(found)
        return found

    def _known_room(self) -> str:
        return "known%d@%s" % (self.rng.randrange(KNOWN_ROOMS), self.world.muc)

    def _new_room(self) -> str:
        if self.rng.random() > NEW_ROOM_SHARE:
            return self._known_room()
        return "new%x@%s" % (self.rng.getrandbits(40), self.world.muc)

    # Senders other than the speaker

    def _liar(self) -> str:
        """Anybody but those whom the victims' call needs: the honest bridge, their room, and the server."""
        return self.rng.choice((self.speaker.jid, self._outsider() or "elsewhere.example", "%s/%s" % (
            self.world.brewery, self.rng.choice(EVIL_BRIDGES)), self.rng.choice(self.attackers).room))

    def _evil_bridge(self) -> str:
        return "%s/%s" % (self.world.brewery, self.rng.choice(EVIL_BRIDGES))

    def _member(self) -> str:
        self.speaker = self.of(self.rng.choice(self.inside))
        return self.speaker.jid

    def _attacked(self) -> str:
        client = self.rng.choice(self.attackers)
        self.speaker = self.of(client)
        chance = self.rng.random()
        if chance < 0.5:
            return client.occupant
        if chance < 0.6:
            return client.room
        if chance < 0.7:
            return client.focus
        return self._ghost()

    def _ghost(self) -> str:
        return "%s/%s" % (self.rng.choice(self.attackers).room, self.rng.choice(GHOSTS))

    def _anyone(self) -> str:
        return self.rng.choice((self.speaker.jid, self._victim().room, self._attacked(), self._outsider(),
                                self._disguise(), "metadata." + self.world.domain))

    def _real_jid(self) -> str:
        return self.speaker.client.jid if self.speaker.client is not None else self._outsider()
