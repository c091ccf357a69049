"""Servers for each version of Colibri, one browser for all browser tests; a room of its own for each test."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest

from focus.demo.browser import Browser
from focus.demo.meeting import Meeting
from focus.demo.stack import Stack

MeetingMaker = Callable[..., Meeting]


@pytest.fixture(scope="session", params=["2", "1"], ids=["colibri2", "colibri1"])
def stack(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """Once with a bridge of today and once with one of before 2022."""
    directory: Path = tmp_path_factory.mktemp("stack")
    options = {"bridge": ["--colibri=" + request.param]}
    with Stack(directory, log_level="FINE", bridge_options=options) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Let the fixtures know how the test went."""
    outcome: Any = yield
    if call.when == "call":
        item.stash[FAILED] = outcome.get_result().failed


FAILED = pytest.StashKey[bool]()


@pytest.fixture
def meeting_of(stack: Stack, browser: Browser, request: pytest.FixtureRequest) -> Iterator[MeetingMaker]:
    """Makes meetings: meeting_of("Ada", "Bo", height=360). A failed test prints every page's wire and every log."""
    room = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower()).strip("-")
    made: List[Meeting] = []

    def make(*names: str, **query: object) -> Meeting:
        meeting = Meeting(stack, browser, room, query=dict({"height": 360, "picture": "canvas"}, **query))
        made.append(meeting)
        meeting.join(names)
        return meeting

    yield make
    failed = request.node.stash.get(FAILED, True)
    for meeting in made:
        if failed:
            print(meeting.report())
        meeting.close()
    stack.supervisor.check()
