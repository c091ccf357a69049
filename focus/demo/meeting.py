"""A meeting of browsers: everyone joins, and each is checked to see and hear every other."""

from __future__ import annotations

import time
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from focus.demo import timeline
from focus.demo.browser import Browser, Flow, Tab, Waited
from focus.demo.stack import Stack

NAMES = ("Ada", "Bo", "Cleo", "Dan", "Eve", "Finn")


class Seen(NamedTuple):
    """That one participant saw and heard another, and how much of it."""

    who: str
    whom: str
    flow: Flow
    width: int
    height: int
    """Of the picture, in pixels."""


class Meeting:
    """Tabs in one room.

    seconds: how long each step may take; media needs most of it, on a slow machine.
    query: for the page (page/call.js).
    """

    def __init__(
        self,
        stack: Stack,
        browser: Browser,
        room: str,
        seconds: float = 45.0,
        query: Optional[Mapping[str, object]] = None,
    ) -> None:
        self.stack = stack
        self.browser = browser
        self.room = room
        self.tabs: Dict[str, Tab] = {}
        self.ids: Dict[str, str] = {}
        """Name -> participant id."""
        self._seconds = seconds
        self._query = dict(query or {})

    def join(self, names: Sequence[str], **query: object) -> None:
        """Open a tab for each name, one after the other without waiting, then wait until all are in the room.

        Raises PartFailed, Waited.
        """
        for name in names:
            url = self.stack.url(self.room, name=name, **dict(self._query, **query))
            self.tabs[name] = self.browser.open(name, url)
        for name in names:
            self.ids[name] = self.tabs[name].wait_joined(self._seconds)

    def leave(self, name: str) -> None:
        """Have someone leave; the tab stays open."""
        self.tabs[name].call("demo.leave()")
        del self.ids[name]

    def rejoin(self, name: str) -> str:
        """Have someone who left come back; return the new participant id. Raises Waited."""
        self.tabs[name].call("demo.join()")
        self.ids[name] = self.tabs[name].wait_joined(self._seconds)
        return self.ids[name]

    def pairs(self) -> List[Tuple[str, str]]:
        """Every (who, whom) of those in the room."""
        return [(who, whom) for who in self.ids for whom in self.ids if who != whom]

    def check(self) -> List[Seen]:
        """Wait until each one newly receives sound and pictures of each other one. Raises Waited."""
        return [self.check_pair(who, whom) for who, whom in self.pairs()]

    def wait_all(self) -> None:
        """As ``check``, but looking at all of them in turn again and again: for how long it takes. Raises Waited."""
        before = {name: tab.state() for name, tab in self.tabs.items()}
        left = self.pairs()
        deadline = time.monotonic() + self._seconds
        while left:
            if time.monotonic() > deadline:
                raise Waited("no sound or moving pictures: %s" % ", ".join("%s of %s" % pair for pair in left))
            now = {name: self.tabs[name].state() for name in {who for who, _ in left}}
            flows = {(who, whom): Flow.between(before[who], now[who], self.ids[whom]) for who, whom in left}
            left = [pair for pair in left if not (flows[pair].seen and flows[pair].heard)]

    def check_pair(self, who: str, whom: str) -> Seen:
        """Wait until pictures are decoded and sound arrives from one at the other. Raises Waited."""
        tab, sender = self.tabs[who], self.ids[whom]
        flow = tab.wait_flow(sender, "sound and moving pictures", lambda now: now.seen and now.heard, self._seconds)
        video = tab.state()["figures"].get(sender, {}).get("video", {})
        return Seen(who, whom, flow, video.get("width", 0), video.get("height", 0))

    def timeline(self) -> List[timeline.Entry]:
        """What happened until now, from the tabs and the logs of focus and bridge."""
        names = {identity: name for name, identity in self.ids.items()}
        entries: List[timeline.Entry] = []
        for name, tab in self.tabs.items():
            entries += timeline.of_page(name, tab.wire(), tab.events())
        logs = self.stack.logs()
        entries += timeline.of_focus(logs["focus"], self.room, names)
        entries += timeline.of_bridge(logs["bridge"], self.room, names)
        return timeline.firsts(entries)

    def report(self) -> str:
        """For a failure: every tab's events and wire, and the end of every log."""
        parts = [tab.report() for tab in self.tabs.values()]
        for name, log in sorted(self.stack.logs().items()):
            text = log.read_text(encoding="utf-8", errors="replace") if log.exists() else "(none)"
            parts.append("=== log of %s: %s\n%s" % (name, log, text[-15000:]))
        return "\n".join(parts)

    def close(self) -> None:
        """Leave with everyone and close the tabs."""
        for tab in self.tabs.values():
            tab.close()
        self.tabs = {}
        self.ids = {}
