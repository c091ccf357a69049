"""The focus is ended again and again under a meeting of real browsers, and nobody in it notices (the third idea).

Each run is compared with a control run: the same script, nobody ends anything. CHAOS=all: a hundred kills, 20 SIGTERM,
5 upgrades; otherwise ten kills. CHAOS_SEED repeats a run.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.chaos.browsers import run

ALL = os.environ.get("CHAOS") == "all"
SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(100000))
RUNS = [("kill", 100), ("term", 20), ("upgrade", 5)] if ALL else [("kill", 10)]


@pytest.mark.parametrize("mode, count", RUNS)
def test_no_browser_notices(mode: str, count: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print("\nCHAOS_SEED=%d, logs: %s" % (SEED, tmp_path), flush=True)
        control = run(tmp_path / "control", "", count, SEED)
        print(control.text(), flush=True)
        outcome = run(tmp_path / mode, mode, count, SEED)
        print(outcome.text(), flush=True)
    assert control.complaints(None) == []
    assert outcome.complaints(control) == []
