"""Versions of the focus, installed beside each other as their own setup.py says."""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import List, Optional

ROOT = Path(__file__).resolve().parents[2]
HAS_A_JOURNAL = "focus/journal/sqlite.py"


def previous_commit() -> Optional[str]:
    """The last commit before this one that can hand over; None where the history doesn't go back so far."""
    done = subprocess.run(["git", "rev-list", "--max-count=2", "HEAD", "--", "focus"], cwd=str(ROOT),
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for commit in done.stdout.split()[1:]:
        there = subprocess.run(["git", "cat-file", "-e", "%s:%s" % (commit, HAS_A_JOURNAL)], cwd=str(ROOT),
                               stderr=subprocess.DEVNULL)
        if there.returncode == 0:
            return commit
    return None


def source_of(commit: Optional[str], folder: Path) -> Path:
    """The files of a commit, or of the checkout as it is, in a folder of their own."""
    if commit is None:
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "focus", "setup.py",
                                 "README.md"], cwd=str(ROOT), stdout=subprocess.PIPE, check=True, text=True)
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
        return folder
    archive = subprocess.run(["git", "archive", commit, "focus", "setup.py", "README.md"], cwd=str(ROOT),
                             stdout=subprocess.PIPE, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(str(folder))
    return folder


def install(source: Path, target: Path) -> List[str]:
    """Install the package into a folder; returns the command that runs it.

    Its dependencies are those of this environment. ``build_py`` makes what ``pip install`` puts there, without an
    isolated build environment, which would have to be fetched.
    """
    done = subprocess.run([sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(target)],
                          cwd=str(source), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise AssertionError("the package can't be built:\n%s" % done.stdout)
    return [sys.executable, str(target / "focus" / "__main__.py")]
