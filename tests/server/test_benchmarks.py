"""The benchmarks still run: a small run of each ends by itself and counts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def run(name: str, *options: str) -> Dict[str, Any]:
    """The figures of one run."""
    done = subprocess.run([sys.executable, str(BENCHMARKS / name), "--timeout=30", *options], capture_output=True,
                          encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures: Dict[str, Any] = json.loads(done.stdout)
    assert figures["counts"] is True
    return figures


def test_join() -> None:
    figures = run("join.py", "--rooms=2", "--participants=3")
    assert figures["joins"] == 6 and figures["focus_cpu_ms_per_join"] > 0 and figures["told_in_xml"] == 0


def test_reinvite() -> None:
    figures = run("reinvite.py", "--participants=5")
    assert figures["focus_cpu_ms_per_participant"] > 0 and figures["bridge_requests_per_participant"] < 3


@pytest.mark.parametrize("server", ["prosody", "sink"])
def test_fanout(server: str, tmp_path: Path) -> None:
    profile = tmp_path / "profile"
    figures = run("fanout.py", "--server=" + server, "--participants=10", "--seconds=2", "--rate=20",
                  "--profile=%s" % profile)
    assert (figures["changes"], figures["changes_not_made"], figures["receivers"]) == (40, 0, 9)
    assert figures["focus_cpu_us_per_change_receiver"] > 0 and 0 < figures["updates_per_change"] <= 9
    assert figures["journal_commits_per_change"] > 0 and figures["bridge_requests_per_change"] == 1
    assert profile.stat().st_size


def test_selection() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARKS / "selection.py"), "--bridges=100", "--choices=300"],
                          capture_output=True, encoding="utf-8", timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({line["strategy"] for line in lines}) == len(lines) == 5
    assert all(line["counts"] is True and 0 < line["us_median"] <= line["us_max"] for line in lines)


def test_a_run_that_does_not_count_says_so() -> None:
    done = subprocess.run([sys.executable, str(BENCHMARKS / "fanout.py"), "--server=sink", "--participants=3",
                           "--timeout=0.01"], capture_output=True, timeout=120, check=False)
    figures = json.loads(done.stdout)
    assert done.returncode == 1 and figures["counts"] is False and figures["problem"].startswith("not within")
