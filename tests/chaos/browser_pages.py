"""The pages of a chaos run: the demo's page in real browsers, with an agent in it that acts and writes down."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

from focus.demo.browser import Browser, Tab
from tests.chaos.browser_analysis import Described, Did, Event, Recording, Sample, Seen, described, told
from tests.chaos.browser_stage import Servers

AGENT = Path(__file__).with_name("browser_agent.js").read_text(encoding="utf-8")
PICTURE = {"height": 180, "picture": "canvas", "join": 0, "patience": 45}
SIZE = {"width": 320, "height": 240}


class Page:
    """One participant, in or out of the room. Nothing here waits, except `wait_flow`."""

    def __init__(self, browser: Browser, servers: Servers, room: str, name: str, camera: bool) -> None:
        self.name = name
        self.camera = camera
        url = servers.url(room, name=name, **dict(PICTURE, **({} if camera else {"video": 0})))
        self.tab: Tab = browser.open(name, url, SIZE)
        self.tab.call(AGENT)
        self.phase = "starting"
        self.failure: Optional[str] = None
        self.id = ""
        self._actions: List[str] = []
        self._done: Dict[int, Did] = {}
        self._samples: List[Sample] = []
        self._events: List[Event] = []
        self._stanzas: List[Seen] = []

    def perform(self, action: str) -> None:
        """Begin a step, once those before it are done."""
        self._actions.append(action)
        self.tab.page.evaluate("([number, action]) => agent.perform(number, action)",
                               [len(self._actions) - 1, action])

    def take(self) -> None:
        """Fetch what the agent has written down since the last time."""
        taken: Dict[str, Any] = self.tab.page.evaluate("agent.take()")
        self.phase, self.failure, self.id = taken["phase"], taken["failure"], taken["id"] or ""
        self._samples += [Sample(one["ms"], _flows(one["flows"])) for one in taken["samples"]]
        self._stanzas += [Seen(one["ms"], one["direction"], one["what"], one["from"], one["sources"])
                          for one in taken["stanzas"]]
        self._events += [Event(one["ms"], one["what"], one.get("id") or "", one.get("kind") or "",
                               one.get("reason") or "") for one in taken["events"]]
        for one in taken["steps"]:
            self._done[one["number"]] = Did(self._actions[one["number"]], one["begin"], one["end"], one["error"])

    @property
    def idle(self) -> bool:
        """Whether every step was done, as far as was taken."""
        return len(self._done) == len(self._actions) and all(step.end is not None for step in self._done.values())

    def recording(self) -> Recording:
        """All that was taken."""
        return Recording(self.name, self.camera, self._samples, [self._done[number] for number in sorted(self._done)],
                         self._events, self._stanzas)

    def described(self) -> Optional[Described]:
        """The SSRCs in both descriptions, and those it was told of; None while there is no session."""
        self.take()
        found = self.tab.page.evaluate("agent.descriptions()")
        return Described(described(found["local"]), described(found["remote"]), told(self._stanzas)) if found else None

    def complaints(self) -> List[str]:
        """Errors that nothing in the page caught."""
        return [message for message in self.tab.messages if message.startswith("uncaught")]


def _flows(flows: Dict[str, Dict[str, List[int]]]) -> Any:
    return {one: {kind: (entry[0], entry[1]) for kind, entry in kinds.items()} for one, kinds in flows.items()}
