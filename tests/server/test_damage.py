"""A journal that is damaged, lost, full, or somebody else's (DESIGN, "Poison", "Coming back, refused", "One writer").

What clients see in each case:

======================================== =============================================================
one conference can't be read             its clients get a new session; other calls notice nothing
the end of the journal is lost           at most an available presence of the focus; known sessions stay
it can't be read at all, or is gone      the focus leaves, so web clients reload; it serves them again
the disk is full                         nothing, unless the process dies meanwhile
======================================== =============================================================
"""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import zlib
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Tuple

import msgspec
import pytest

from focus.journal.base import SCHEMA
from focus.journal.record import Record
from focus.journal.sqlite import files_of
from tests.support import hasty_journal, media
from tests.support.client import Client
from tests.support.focus_process import FocusProcess
from tests.support.prosody import Prosody
from tests.support.small_disk import SmallDisk
from tests.support.stage import Stage, full_prosody, log_lines, unavailable_focus, wait_usable


@pytest.fixture(scope="module")
def server() -> Iterator[Prosody]:
    """A server of this module's own, with the module that mends resumption."""
    with full_prosody(mended=True) as prosody:
        yield prosody


@pytest.fixture
def disk() -> Iterator[SmallDisk]:
    """A disk of 1 MB, for the tests that ask for it before the stage."""
    with SmallDisk() as one:
        yield one


@pytest.fixture
def unchecked() -> None:
    """For tests that ask for it nobody compares the journal with memory, which would get in their way."""


@pytest.fixture
def focus(server: Prosody, request: pytest.FixtureRequest) -> Iterator[FocusProcess]:
    """A focus for each test, since it dies in it."""
    settings: Dict[str, Any] = {}
    if "disk" in request.fixturenames:
        settings["journal"] = request.getfixturevalue("disk").folder / "journal.db"
    if "disk" in request.fixturenames or "unchecked" in request.fixturenames:
        settings["program"] = Path(hasty_journal.__file__)
    with FocusProcess(server, **settings) as process:
        wait_usable(process)
        yield process


Call = Tuple[str, List[Client]]


def in_call(stage: Stage, count: int = 2) -> Call:
    if not stage.bridges:
        stage.bridge()
    room = stage.room()
    clients = [stage.client() for _ in range(count)]
    stage.call(room, *clients)
    return room, clients


def path_of(stage: Stage) -> str:
    return str(stage.focus.journal)


def restart_in_call(stage: Stage) -> Call:
    """A call that one process has outlived, so that the file itself has it, with changes that are in its -wal only."""
    room, clients = in_call(stage)
    stage.focus.kill()
    stage.focus.start()
    stage.wait_log("resumed=true, 1 conferences")
    size = os.path.getsize(path_of(stage))
    stage.wait(lambda: os.path.getsize(path_of(stage)) >= size > 0 and folded(path_of(stage)), "the file has it")
    return room, clients


def folded(path: str) -> bool:
    """Whether the file without its -wal knows a conference."""
    copy = path + ".copy"
    shutil.copyfile(path, copy)
    try:
        database = sqlite3.connect(copy)
        count = database.execute("SELECT count(*) FROM entity WHERE kind = 'conference'").fetchone()[0]
        database.close()
        return bool(count)
    except sqlite3.Error:
        return False
    finally:
        for name in files_of(copy):
            if os.path.exists(name):
                os.unlink(name)


def change_much(stage: Stage, clients: List[Client]) -> None:
    """Sources come and go: each is several commits."""
    for number in range(6):
        extra = media.audio_source(clients[0].endpoint, 4000 + number, index=1)
        assert clients[0].add_sources(extra).get("type") == "result"
        assert clients[0].remove_sources(extra).get("type") == "result"


def newcomer(stage: Stage, call: Call) -> None:
    """Somebody joins and learns of all, and they of it."""
    room, clients = call
    guest = stage.client()
    stage.enter(room, guest)
    stage.wait_call(guest, *clients)
    guest.leave()


def unnoticed(stage: Stage, call: Call) -> None:
    """The call goes on, and nobody in it has noticed anything."""
    newcomer(stage, call)
    for client in call[1]:
        assert len(client.sessions) == 1 and not unavailable_focus(client), client.summary()


def calls_work(stage: Stage) -> None:
    """A new call of new people."""
    call = in_call(stage)
    for client in call[1]:
        assert len(client.sessions) == 1


def forgive(stage: Stage, clients: List[Client]) -> None:
    """What was told to sessions that the focus has forgotten; what it has forgotten on bridges they expire."""
    for client in clients:
        client.violations.clear()
    for bridge in stage.bridges:
        bridge.close()
    stage.bridges.clear()


# --- one conference -------------------------------------------------------------------------------------------------

def spoil(path: str, kind: str, key: str) -> None:
    """Make a row unreadable, in the rows that were folded and in every record; check sums are right."""
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Record).decode
    database = sqlite3.connect(path, isolation_level=None)
    spoilt = database.execute("UPDATE entity SET value = x'c1' WHERE kind = ? AND key = ?", (kind, key)).rowcount
    for number, data in database.execute("SELECT number, data FROM record").fetchall():
        record = decode(data)
        rows = [row._replace(value=b"\xc1") if (row.kind, row.key) == (kind, key) else row for row in record.rows]
        spoilt += rows != record.rows
        record.rows = rows
        data = encode(record)
        database.execute("UPDATE record SET data = ?, sum = ? WHERE number = ?", (data, zlib.crc32(data), number))
    database.close()
    assert spoilt


def test_one_conference_that_cannot_be_read(stage: Stage) -> None:
    """It begins anew, alone: its people are invited again; another call never notices."""
    (room, clients), other = in_call(stage), in_call(stage)
    stage.focus.kill()
    spoil(path_of(stage), "conference", room)
    stage.focus.start()
    stage.wait_log("The conference %s can't be read from the journal" % room)
    stage.wait_log("resumed=true, 1 conferences")
    unnoticed(stage, other)
    for client in clients:
        stage.wait(lambda one=client: len(one.sessions) > 1, "a new session", client.summary)
        assert not unavailable_focus(client), client.summary()
    newcomer(stage, (room, clients))
    assert len(log_lines(stage.log(), "SEVERE")) == 1
    forgive(stage, clients)


# --- the end is lost ------------------------------------------------------------------------------------------------

def without_wal(path: str) -> None:
    os.unlink(path + "-wal")


def wal_cut_a_little(path: str) -> None:
    os.truncate(path + "-wal", int(os.path.getsize(path + "-wal") * 0.9))


def wal_cut_in_half(path: str) -> None:
    os.truncate(path + "-wal", int(os.path.getsize(path + "-wal") * 0.5))


def a_record_damaged(path: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("UPDATE record SET sum = sum + 1 WHERE number = (SELECT max(number) - 5 FROM record)")
    database.close()


@pytest.mark.parametrize("damage", [without_wal, wal_cut_a_little, wal_cut_in_half, a_record_damaged])
def test_its_end_is_lost(stage: Stage, damage: Callable[[str], None]) -> None:
    """The journal says less than has left: a second session stands in before the server can refuse."""
    room, clients = restart_in_call(stage)
    change_much(stage, clients)
    stage.focus.kill()
    damage(path_of(stage))
    goes_on(stage, (room, clients))


def test_an_older_copy(unchecked: None, stage: Stage) -> None:
    """Somebody has restored a backup that was made during the call."""
    room, clients = restart_in_call(stage)
    source, copy = sqlite3.connect(path_of(stage)), sqlite3.connect(path_of(stage) + ".backup")
    source.backup(copy)
    for database in (source, copy):
        database.close()
    change_much(stage, clients)
    stage.focus.kill()
    for name in files_of(path_of(stage)):
        if os.path.exists(name):
            os.unlink(name)
    os.replace(path_of(stage) + ".backup", path_of(stage))
    goes_on(stage, (room, clients))


REPEATED = ("told twice", "removal of unknown sources")
"""What clients say of an update that is sent again because the journal has lost that it was sent."""


def goes_on(stage: Stage, call: Call) -> None:
    """After the next start: told, in doubt, and nobody was seen leaving."""
    begin = len(stage.log())
    stage.focus.start()
    stage.wait(lambda: "Serving again" in stage.log()[begin:], "serving", stage.log)
    log = stage.log()[begin:]
    assert "The journal is damaged" in log
    assert "(the journal has lost its end): a second session stands in 1 of 1 rooms" in log
    room, clients = call
    guest = stage.client()
    stage.enter(room, guest)
    guest.wait_session(20)
    for client in clients:  # a change of sources that is lost can't be made good, so what they know may be old
        stage.wait(lambda one=client: guest.endpoint in one.others, "the newcomer's sources", client.summary)
        stage.wait(lambda one=client: one.endpoint in guest.others, "the sources of all", guest.summary)
    guest.leave()
    for client in (guest, *clients):
        assert not unavailable_focus(client) and len(client.sessions) == 1, client.summary()
        client.violations = [text for text in client.violations if not text.startswith(REPEATED)]


# --- nothing can be read --------------------------------------------------------------------------------------------

def half(path: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)  # the -wal may still hold all that is cut off
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    os.truncate(path, os.path.getsize(path) // 2 // 4096 * 4096)


def nothing(path: str) -> None:
    os.truncate(path, 0)


def noise(path: str) -> None:
    Path(path).write_bytes(random.Random(3).getrandbits(8 * 50000).to_bytes(50000, "big"))


def newer(path: str) -> None:
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA user_version = %d" % (SCHEMA + 1))
    database.execute("UPDATE note SET value = '%d' WHERE key = 'readable from'" % (SCHEMA + 1))
    database.close()


def foreign(path: str) -> None:
    for name in files_of(path):
        if os.path.exists(name):
            os.unlink(name)
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("CREATE TABLE songs (name)")
    database.close()


@pytest.mark.parametrize("damage, why", [
    (half, "is "), (nothing, ""), (noise, "is "), (newer, "was written by a later version"),
    (foreign, "is a database of another program")],
    ids=["cut in half", "empty", "random bytes", "of a later version", "another program's"])
def test_it_cannot_be_read(stage: Stage, damage: Callable[[str], None], why: str) -> None:
    """It is set aside and told; the focus begins without it, and serves those who come again and those who come new."""
    room, clients = restart_in_call(stage)
    stage.focus.kill()
    damage(path_of(stage))
    begin = len(stage.log())
    stage.focus.start()
    stage.wait(lambda: "Registered (resumed=false) client" in stage.log()[begin:], "a fresh login", stage.log)
    severe = "\n".join(log_lines(stage.log()[begin:], "SEVERE"))
    if why:
        assert "The journal can't be read" in severe and why in severe, severe
        assert os.path.exists(path_of(stage) + ".unreadable")
    else:
        assert "The journal is damaged" in severe, severe
    calls_work(stage)
    for client in clients:
        client.leave()
    stage.call(room, *[stage.client(), stage.client()])
    survives(stage)
    forgive(stage, clients)


def survives(stage: Stage) -> None:
    """A call that begins now outlives its process."""
    call = in_call(stage)
    begin = len(stage.log())
    stage.focus.kill()
    stage.focus.start()
    stage.wait(lambda: "Serving again" in stage.log()[begin:], "serving", stage.log)
    assert "Registered (resumed=true) client" in stage.log()[begin:]
    unnoticed(stage, call)


def test_deleted_while_it_runs(unchecked: None, stage: Stage) -> None:
    """Nobody notices until the process dies; then it is as if there had never been a journal, and new calls work."""
    room, clients = in_call(stage)
    for name in files_of(path_of(stage)):
        os.unlink(name)
    newcomer(stage, (room, clients))
    begin = len(stage.log())
    stage.focus.kill()
    stage.focus.start()
    stage.wait(lambda: "Registered (resumed=" in stage.log()[begin:], "a login", stage.log)
    calls_work(stage)
    survives(stage)
    forgive(stage, clients)


# --- the disk is full -----------------------------------------------------------------------------------------------

def test_a_full_disk(disk: SmallDisk, stage: Stage) -> None:
    """It is told once, the calls go on; when there is room again there is a journal again, and a kill is survived."""
    call = in_call(stage)

    def told() -> int:
        disk.fill(stage.focus.pid)  # also what the removed journal leaves
        if "The journal failed" not in stage.log():
            change_much(stage, call[1])
        return stage.log().count("The journal failed")

    stage.wait(told, "a full disk", stage.log)
    unnoticed(stage, call)
    severe = log_lines(stage.log(), "SEVERE")
    assert len(severe) <= 1 + stage.log().count("There is a journal again")
    assert "none of them would outlive this process" in severe[0] and "Is the disk full?" in severe[0]
    again = stage.log().count("There is a journal again")
    disk.empty(stage.focus.pid)

    def there_again() -> bool:
        change_much(stage, call[1])  # it is tried when there is something to write
        return stage.log().count("There is a journal again") > again

    stage.wait(there_again, "a journal", stage.log)
    begin = len(stage.log())
    stage.focus.kill()
    stage.focus.start()
    stage.wait(lambda: "Serving again" in stage.log()[begin:], "serving", stage.log)
    assert "Registered (resumed=true) client" in stage.log()[begin:]
    unnoticed(stage, call)
