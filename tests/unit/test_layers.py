"""Which part may know which other: imports flow one way (DESIGN, "The house" and the second idea)."""
from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
FOCUS = ROOT / "focus"

#: What has to be importable, and so usable in tables of cases, without any library.
PURE = sorted(
    ["focus.values." + path.stem for path in (FOCUS / "values").glob("*.py") if path.stem != "__init__"]
    + ["focus.conference.offer", "focus.conference.validation", "focus.config"]
    + ["focus.bridge.choice." + name for name in ("rules", "selection", "strategies", "stress", "ranking", "moving",
                                                  "redistribution", "pins", "asked_for")] + ["focus.bridge.topology"])

LIBRARIES = {"gevent", "greenlet", "lxml", "sleekxmpp", "dns"}


def modules():
    for path in sorted(FOCUS.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path):
    """Every module that the file imports, also inside of functions, except for type checking."""
    found = set()
    pending = [ast.parse(path.read_text(encoding="utf-8"), str(path))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            pending += node.orelse
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, "%s: a relative import" % path
            found |= {node.module} | {"%s.%s" % (node.module, alias.name) for alias in node.names}
        else:
            pending += ast.iter_child_nodes(node)
    return found


def within(name, *packages):
    return any(name == package or name.startswith(package + ".") for package in packages)


@pytest.mark.parametrize("name", PURE)
def test_pure_modules_need_no_library(name):
    code = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in %r:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import %s
""" % (LIBRARIES, name)
    done = subprocess.run([sys.executable, "-c", code], cwd=str(ROOT), stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("parts, forbidden, reason", [
    (("focus.values",), ("focus.stanzas", "focus.xmpp", "focus.conference", "focus.bridge", "gevent", "lxml"),
     "values know nothing but values"),
    (("focus.stanzas",), ("focus.xmpp", "focus.conference", "focus.bridge", "gevent", "sleekxmpp"),
     "the door translates and does nothing else"),
    (("focus.conference", "focus.bridge"), ("focus.xmpp", "sleekxmpp", "socket", "ssl"),
     "conferences and bridges can't reach the stream: output leaves through the tick"),
    (("focus.xmpp",), ("focus.conference", "focus.bridge", "focus.service"), "the wire doesn't know what it carries"),
    (("focus.config",), ("focus.xmpp", "focus.stanzas", "focus.bridge", "gevent", "lxml"), "configuration is a value"),
])
def test_who_may_not_know_whom(parts, forbidden, reason):
    found = ["%s imports %s" % (name, other) for name, path in modules() if within(name, *parts)
             for other in imported(path) if within(other, *forbidden)]
    assert found == [], reason


def test_xml_is_touched_at_the_door_and_on_the_wire_only():
    found = ["%s imports %s" % (name, other) for name, path in modules()
             if not within(name, "focus.stanzas", "focus.xmpp", "focus.demo")
             for other in imported(path) if within(other, "lxml", "xml")]
    assert found == []


def test_the_focus_does_not_need_the_demo():
    found = [name for name, path in modules() if not within(name, "focus.demo")
             for other in imported(path) if within(other, "focus.demo", "asyncio", "aiortc", "websockets")]
    assert found == []


def test_files_stay_readable():
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").split("\n"))
            for folder in (FOCUS, ROOT / "tests") for path in folder.rglob("*.py")}
    assert {path: lines for path, lines in long.items() if lines > 600} == {}
