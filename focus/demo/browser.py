"""A real Chromium with fake cameras and microphones, and the demo's page in its tabs."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import Page, Playwright, sync_playwright

from focus.demo import interrupts
from focus.demo.supervise import PartFailed

FLAGS = (
    "--no-sandbox",  # root has no other way
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
    # host candidates with addresses instead of mDNS names, which nothing here could look up
    "--disable-features=WebRtcHideLocalIpsWithMdns",
)
POLL = 100.0
"""Milliseconds between two looks at a condition."""
KEPT_MESSAGES = 200
QUIET = 0.001
"""Energy of sound that is not silence: a beep of the fake microphone has a hundred times as much."""

State = Dict[str, Any]


class Waited(Exception):
    """A condition did not come true in time. The text says which, in which tab, and what was so instead."""


class Flow(NamedTuple):
    """What arrived from one participant between two looks, as the browser counts it."""

    frames: int
    video_bytes: int
    audio_bytes: int
    energy: float
    """Of the decoded sound (RMS squared times seconds)."""

    @classmethod
    def between(cls, before: State, after: State, participant: str) -> Flow:
        """The difference of two states of a tab. A counter that began anew counts from nothing."""
        old, new = (state["figures"].get(participant, {}) for state in (before, after))

        def rise(kind: str, name: str) -> Any:
            now = new.get(kind, {})
            then = old.get(kind, {})
            return now.get(name, 0) - (then.get(name, 0) if then.get("ssrc") == now.get("ssrc") else 0)

        return cls(rise("video", "frames"), rise("video", "bytes"), rise("audio", "bytes"), rise("audio", "energy"))

    @property
    def seen(self) -> bool:
        """Pictures are decoded, not just one."""
        return self.frames >= 10 and self.video_bytes > 0

    @property
    def heard(self) -> bool:
        """Sound arrives, and it isn't silence."""
        return self.audio_bytes >= 1000 and self.energy >= QUIET


class Tab:
    """The demo's page in a profile of its own, joined to a room unless `join=0` stands in its URL."""

    def __init__(self, page: Page, name: str, url: str) -> None:
        self.page = page
        self.name = name
        self.messages: List[str] = []
        """What the page wrote to its console, and errors nothing caught."""
        page.on("console", lambda message: self._note("%s: %s" % (message.type, message.text)))
        page.on("pageerror", lambda error: self._note("uncaught: %s" % error))
        page.goto(url)

    def state(self) -> State:
        """What the page says of the meeting, with the browser's counters (`figures`)."""
        state: State = self.page.evaluate("demo.state()")
        return state

    def wire(self) -> List[Dict[str, Any]]:
        """Stanzas the page sent ('out') and received ('in'): {ms, direction, what, id, xml}; ms since the epoch."""
        wire: List[Dict[str, Any]] = self.page.evaluate("demo.wire")
        return wire

    def events(self) -> List[Dict[str, Any]]:
        """What happened in the page: {ms, what, and more}; ms since the epoch."""
        events: List[Dict[str, Any]] = self.page.evaluate("demo.events")
        return events

    def call(self, expression: str) -> Any:
        """Have the page do something, as `demo.leave()`; returns when it is done."""
        return self.page.evaluate(expression)

    def wait(self, what: str, condition: Callable[[State], bool], seconds: float = 20.0) -> State:
        """Wait until the condition holds for the page's state, and return that. Raises Waited, Interrupted."""
        deadline = time.monotonic() + seconds
        while True:
            interrupts.check()
            state = self.state()
            if condition(state):
                return state
            if state["phase"] == "failed":
                raise Waited("%s: the meeting failed (%s) while waiting until %s" % (self.name, state["failure"], what))
            if time.monotonic() > deadline:
                raise Waited("%s: not within %d s: %s; it is %s" % (self.name, seconds, what, json.dumps(state)))
            self.page.wait_for_timeout(POLL)

    def wait_joined(self, seconds: float = 30.0) -> str:
        """Wait until the page is in the room; return its participant id. Raises Waited."""
        return str(self.wait("it is in the room", lambda state: state["phase"] == "joined", seconds)["myId"])

    def wait_flow(self, participant: str, what: str, condition: Callable[[Flow], bool], seconds: float = 30.0) -> Flow:
        """Wait until what newly arrives from a participant fulfils the condition. Raises Waited."""
        before = self.state()
        state = self.wait(
            "%s from %s" % (what, participant), lambda now: condition(Flow.between(before, now, participant)), seconds
        )
        return Flow.between(before, state, participant)

    def screenshot(self, file: Path) -> None:
        """Save what the tab shows as PNG."""
        self.page.screenshot(path=str(file))

    def report(self) -> str:
        """For a failure: what happened in this tab, what went over the wire, what it complained of."""
        lines = ["=== tab %s: %s" % (self.name, self.page.url)]
        try:
            lines.append(json.dumps(self.state()))
            lines += ["  %s" % json.dumps(event) for event in self.events()]
            lines += ["  %.0f %s %s" % (e["ms"], e["direction"], e["xml"][:3000]) for e in self.wire()[-150:]]
        except PlaywrightError as error:
            lines.append("  (the page does not answer: %s)" % error)
        return "\n".join(lines + ["  console %s" % message for message in self.messages])

    def close(self) -> None:
        """Leave the meeting and close the tab."""
        try:
            if not self.page.is_closed() and self.state()["phase"] == "joined":
                self.call("demo.leave()")
            self.page.context.close()
        except PlaywrightError as error:
            self._note("closing: %s" % error)

    def _note(self, message: str) -> None:
        if len(self.messages) < KEPT_MESSAGES:
            self.messages.append(message[:2000])


class Browser:
    """One Chromium without a window. As a context manager it is closed at the end.

    flags: more for its command line; of two for the same thing the later one holds.
    """

    def __init__(self, timeout: float = 60.0, flags: Sequence[str] = ()) -> None:
        program = shutil.which("chromium")
        if program is None:
            raise PartFailed("chromium is not installed (apt-get install chromium)")
        self._playwright: Playwright = sync_playwright().start()
        try:
            self._browser = self._playwright.chromium.launch(
                executable_path=program, headless=True, args=[*FLAGS, *flags], timeout=timeout * 1000,
                handle_sigint=False, handle_sigterm=False, handle_sighup=False,
            )
        except PlaywrightError as error:
            self._playwright.stop()
            raise PartFailed("chromium did not start: %s" % str(error).splitlines()[0]) from error
        self.tabs: List[Tab] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def open(self, name: str, url: str, size: Optional[Dict[str, int]] = None) -> Tab:
        """A new tab with a profile of its own. Raises PartFailed if the page can't be loaded."""
        context = self._browser.new_context(viewport=size or {"width": 1100, "height": 760})  # type: ignore[arg-type]
        try:
            tab = Tab(context.new_page(), name, url)
        except PlaywrightError as error:
            raise PartFailed("the page of %s: %s" % (name, str(error).splitlines()[0])) from error
        self.tabs.append(tab)
        return tab

    def close(self) -> None:
        """Close every tab, leaving the meeting first, then the browser."""
        for tab in self.tabs:
            tab.close()
        self.tabs = []
        try:
            self._browser.close()
        except PlaywrightError:
            pass  # it was gone already
        self._playwright.stop()
