"""The demo's timeline, its page server's table and its npm archives: the parts that need no server and no browser."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path

import pytest

from focus.demo import npm, pages, timeline
from focus.demo.timeline import Entry

NAMES = {"1a2b3c4d": "Ada"}


def log_line(ms: int, text: str) -> str:
    clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(ms // 1000))
    where = "[3] [room=demo@conference.meet.example] module.function#1"
    return "Jicofo %s.%03d INFO: %s: %s\n" % (clock, ms % 1000, where, text)


def test_the_focus_log_becomes_entries(tmp_path: Path) -> None:
    log = tmp_path / "focus.log"
    log.write_text(
        log_line(1700000000123, "Joined the room, meeting id 7a7f")
        + log_line(1700000000456, "Sending session-initiate to: 1a2b3c4d")
        + log_line(1700000000500, "Member joined: 1a2b3c4d")
        + log_line(1700000000600, "Joined the room, meeting id 8b").replace("demo@", "other@")
        + "a line of a stack trace: Joined the room demo\n"
    )
    assert list(timeline.of_focus(log, "demo@", NAMES)) == [
        Entry(1700000000123.0, "focus", "is in the room"),
        Entry(1700000000456.0, "focus", "sends the offer to Ada"),
    ]


def test_the_bridge_log_becomes_entries(tmp_path: Path) -> None:
    log = tmp_path / "bridge.log"
    events = [
        {"t": 5, "event": "bridge_started", "channel": "ws://127.0.0.1:1"},
        {"t": 7, "event": "endpoint_created", "room": "demo", "endpoint": "1a2b3c4d"},
        {"t": 8, "event": "endpoint_created", "room": "other", "endpoint": "5e6f7a8b"},
        {"t": 9, "event": "dtls_connected", "room": "demo", "endpoint": "unknown"},
    ]
    log.write_text("WARNING: not JSON\n[]\n" + "".join(json.dumps(event) + "\n" for event in events))
    assert list(timeline.of_bridge(log, "demo", NAMES)) == [
        Entry(7.0, "bridge", "allocated an endpoint for Ada"),
        Entry(9.0, "bridge", "DTLS with unknown"),
    ]
    assert list(timeline.of_bridge(tmp_path / "none.log", "demo", NAMES)) == []


def test_pages_become_entries_and_what_is_missing_is_named() -> None:
    wire = [
        {"ms": 10.0, "direction": "out", "what": "iq set conference"},
        {"ms": 12.0, "direction": "in", "what": "iq result conference"},
        {"ms": 13.0, "direction": "out", "what": "presence"},
        {"ms": 20.0, "direction": "in", "what": "session-initiate"},
        {"ms": 30.0, "direction": "out", "what": "session-accept"},
    ]
    events = [{"ms": 15.0, "what": "joined"}, {"ms": 40.0, "what": "ICE connected"}, {"ms": 41.0, "what": "muted"}]
    entries = timeline.firsts(timeline.of_page("Ada", wire, events))
    assert [entry.ms for entry in entries] == [10.0, 12.0, 15.0, 20.0, 30.0, 40.0]
    assert timeline.missing(entries, ["Ada"]) == ["Ada: first frame of the other decoded"]
    assert timeline.written(entries)[0] == "      0 ms  Ada  asks for the conference"
    assert timeline.written(entries)[-1] == "     30 ms  Ada  ICE connected"
    assert timeline.written([]) == []


def test_of_what_happened_twice_the_first_is_kept() -> None:
    entries = [Entry(3.0, "Ada", "x"), Entry(1.0, "Ada", "x"), Entry(2.0, "Bo", "x")]
    assert timeline.firsts(entries) == [Entry(1.0, "Ada", "x"), Entry(2.0, "Bo", "x")]


def test_the_page_server_knows_its_files_only(tmp_path: Path) -> None:
    files = pages.table(tmp_path, tmp_path / "settings.json")
    assert files["/"] == files["/index.html"]
    assert {"/call.js", "/compat.js", "/screen.js", "/wire.js", "/style.css", "/settings.json"} < set(files)
    assert all(file.exists() for path, file in files.items() if not path.startswith(("/lib/", "/settings")))
    html = files["/"].read_text(encoding="utf-8")
    for path in files:
        if path.endswith(".js"):
            assert 'src="%s"' % path[1:] in html


def archive(folder: Path, **files: bytes) -> Path:
    made = folder / "package.tgz"
    with tarfile.open(str(made), "w:gz") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo("package/" + name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return made


def test_an_archive_that_was_not_tried_is_refused(tmp_path: Path) -> None:
    made = archive(tmp_path, one=b"1")
    package = npm.Package("thing@1.0", "00", {"package/one": "one"})
    with pytest.raises(npm.NpmFailed, match="thing@1.0 is not the archive that was tried: its SHA-512 is [0-9a-f]{128}"
                       ):
        npm.unpack(package, made, tmp_path)
    assert not (tmp_path / "one").exists()


def test_an_archive_gives_its_named_files(tmp_path: Path) -> None:
    made = archive(tmp_path, one=b"1", two=b"2")
    with pytest.raises(npm.NpmFailed) as failed:
        npm.unpack(npm.Package("thing@1.0", "00", {}), made, tmp_path)
    package = npm.Package("thing@1.0", str(failed.value).rsplit(" ", 1)[1], {"package/two": "zwei"})
    npm.unpack(package, made, tmp_path)
    assert (tmp_path / "zwei").read_bytes() == b"2"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["package.tgz", "zwei"]
