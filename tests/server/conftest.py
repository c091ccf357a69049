"""One Prosody for all server tests that don't break it, and one focus process a module."""

from __future__ import annotations

from typing import Any, Generator, Iterator

import aioice.ice
import pytest

from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.stage import Stage, full_prosody, wait_usable


@pytest.fixture(scope="session")
def server() -> Iterator[Prosody]:
    """The shared server. Nobody stops, restarts or reconfigures it."""
    with full_prosody() as prosody:
        yield prosody


@pytest.fixture(scope="module")
def focus(server: Prosody, request: pytest.FixtureRequest) -> Iterator[FocusProcess]:
    """The module's focus, with the flags in its FOCUS_OPTIONS."""
    with FocusProcess(server, options=getattr(request.module, "FOCUS_OPTIONS", ())) as process:
        wait_usable(process)
        yield process
        assert process.stop() == 0, process.log()[-3000:]


@pytest.fixture
def stage(server: Prosody, focus: FocusProcess) -> Iterator[Stage]:
    """The peers of one test; see `Stage` for what is checked at its end."""
    with Stage(server, focus) as one:
        yield one
        if one.passed:
            one.check()


@pytest.fixture
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """WebRTC clients gather 127.0.0.1 and nothing else, wherever the test runs."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Generator[None, Any, None]:
    """A failed test shows what its focus has logged; the stage learns whether its test has passed."""
    outcome = yield
    report = outcome.get_result()
    stage = getattr(item, "funcargs", {}).get("stage")
    if not isinstance(stage, Stage):
        return
    if report.when == "call":
        stage.passed = report.passed
    if report.failed and stage.focus.log_file.exists():
        report.sections.append(("log of the focus", stage.log()[-6000:]))
