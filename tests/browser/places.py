"""What browser tests that start servers of their own have in common."""

from __future__ import annotations

import contextlib
import time
from typing import Any, Callable, Iterator

from focus.demo.browser import Browser
from focus.demo.meeting import Meeting
from focus.demo.stack import Stack


def wait(condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
    """Wait until it is true; asserts that it is in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "not seen: " + what
        time.sleep(0.02)


def log_of(stack: Stack, name: str) -> str:
    """What a part of the stack has written until now."""
    return stack.supervisor.log_of(name).read_text(encoding="utf-8", errors="replace")


@contextlib.contextmanager
def meeting_in(stack: Stack, browser: Browser, room: str, height: int = 360) -> Iterator[Meeting]:
    """A room on these servers; a failure prints every page's wire and every log."""
    meeting = Meeting(stack, browser, room, query={"height": height, "picture": "canvas"})
    try:
        yield meeting
    except BaseException:
        print(meeting.report())
        raise
    finally:
        meeting.close()
