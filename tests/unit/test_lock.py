"""One writer: the lock on a journal, what its file says, and the doubt whether a stream will be resumed."""
from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from focus.doubt import LONG, Outage, PaceMeter, doubt
from focus.journal.base import JournalFailed
from focus.journal.lock import Holder, Lock, read_holder

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "journal.db")


@pytest.fixture
def locks(path):
    """Several takers."""
    made = [Lock(path) for _ in range(3)]
    yield made
    for lock in made:
        try:
            lock.close()
        except OSError:
            pass  # a test has closed it


# --- taking it ------------------------------------------------------------------------------------------------------

def test_only_one_has_it(locks):
    first, second, third = locks
    assert first.try_take() and first.held and first.still_ours()
    assert not second.try_take() and not second.held and not second.still_ours()
    assert first.try_take(), "it has it already"
    first.release()
    assert not first.held and second.try_take() and not third.try_take() and not first.try_take()


def test_closing_lets_go(locks):
    assert locks[0].try_take()
    locks[0].close()
    assert not locks[0].held and locks[1].try_take()


def test_a_dead_process_has_nothing(path, locks):
    """kill -9, as the kernel sees it."""
    code = ("import sys, time; from focus.journal.lock import Lock; lock = Lock(sys.argv[1]); lock.try_take(); "
            "lock.sign('1.0 in /x'); lock.mark(77); print('taken', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code, path], cwd=str(ROOT), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"taken\n"
        assert not locks[0].try_take()
        assert read_holder(path + ".lock") == Holder(process.pid, "1.0 in /x")
        process.kill()
    assert read_holder(path + ".lock") is None
    assert locks[0].try_take() and locks[0].marked == 77


def test_waiting(locks):
    assert locks[0].try_take()
    thread = threading.Thread(target=locks[1].wait)
    thread.start()
    thread.join(0.1)
    assert thread.is_alive() and not locks[1].held
    locks[0].release()
    thread.join(10)
    assert not thread.is_alive() and locks[1].still_ours()
    locks[1].wait()  # has it already


# --- somebody removes the file --------------------------------------------------------------------------------------

def test_the_file_is_gone(path, locks):
    """Whoever has it notices; those who come later agree on the new file."""
    first, waiting, _ = locks
    assert first.try_take()
    os.unlink(first.path)
    assert first.held and not first.still_ours()
    assert not waiting.try_take(), "it came earlier, and the first one lives"
    second, third = Lock(path), Lock(path)
    assert second.try_take() and second.still_ours() and not third.try_take()
    first.release()
    assert not waiting.try_take() and not first.still_ours()


def test_the_file_is_another_one(path, locks):
    assert locks[0].try_take()
    os.unlink(locks[0].path)
    Path(locks[0].path).touch()
    assert not locks[0].still_ours() and Lock(path).try_take()


def test_the_file_goes_while_somebody_waits(path, locks):
    """Who gets a lock that nobody else will look at takes the one that counts."""
    first, second, third = locks
    assert first.try_take()
    thread = threading.Thread(target=second.wait)
    thread.start()
    os.unlink(first.path)
    first.release()
    thread.join(10)
    assert not thread.is_alive() and second.still_ours() and not third.try_take()


def test_a_folder_that_is_gone(path):
    os.mkdir(path)
    lock = Lock(path + "/journal.db")
    assert lock.try_take()
    os.unlink(lock.path)
    os.rmdir(path)
    assert not lock.still_ours()
    lock.close()
    with pytest.raises(JournalFailed, match="No such file or directory"):
        Lock(path + "/journal.db")


# --- what it says ---------------------------------------------------------------------------------------------------

def test_signed(path, locks):
    lock = locks[0]
    assert read_holder(lock.path) is None
    lock.try_take()
    lock.sign("2.0 in /opt/ümlaut")
    assert read_holder(lock.path) == Holder(os.getpid(), "2.0 in /opt/?mlaut")
    lock.sign("3")
    assert read_holder(lock.path) == Holder(os.getpid(), "3")
    lock.sign("x" * 5000)
    holder = read_holder(lock.path)
    assert holder is not None and holder.pid == os.getpid() and set(holder.version) == {"x"}
    lock.release()
    assert read_holder(lock.path) is None


def test_marked(path, locks):
    """The mark outlives its process, the signature and the next taker."""
    first, second, _ = locks
    first.try_take()
    assert first.marked == 0
    first.mark(3)
    assert first.marked == 0, "there is no room for it before it is signed"
    first.sign("1")
    for number in (1, 255, 256, 2 ** 40):
        first.mark(number)
        assert first.marked == second.marked == number
    first.sign("12")
    assert second.marked == 2 ** 40
    first.release()
    second.try_take()
    second.sign("x" * 5000)
    assert second.marked == 2 ** 40
    second.mark(4)
    second.close()
    assert Lock(path).marked == 4


def test_marked_in_another_file(path, locks):
    """Somebody removed the file while this process had let go of it, as when it hands over; it takes it back."""
    lock = locks[0]
    lock.try_take()
    lock.sign("1")
    lock.mark(3)
    lock.release()
    os.unlink(lock.path)
    lock.wait()
    lock.sign("1")
    lock.mark(4)
    assert Lock(path).marked == 4


def test_its_mode(locks):
    assert os.stat(locks[0].path).st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", [b"", b"\n", b"hello", b"-", b"12x 1.0", b"\xff\xfe\x00", b"\0" * 1008, b" 1",
                                     b"999999999999999999999999 1.0\n", b"4194999 1.0\n"])
def test_nobody(path, content):
    """Garbage, and processes that don't live."""
    Path(path).write_bytes(content)
    assert read_holder(path) is None


def test_no_file(path):
    assert read_holder(path) is None
    os.mkdir(path)
    assert read_holder(path) is None


@pytest.mark.parametrize("content", [b"0 1.0\n", b"-1 1.0\n"])
def test_no_process_at_all(path, content):
    Path(path).write_bytes(content)
    assert read_holder(path) is None


def test_somebody_elses_process(path):
    """It may not be signalled, but it lives."""
    Path(path).write_bytes(b"1 1.0\n")
    assert read_holder(path) == Holder(1, "1.0")


# --- doubt ----------------------------------------------------------------------------------------------------------

CALM = Outage(seconds=1.0, rate=10.0, unconfirmed=5, kept_for=600, queue=500)


@pytest.mark.parametrize("changes, why", [
    ({}, ""),
    ({"rebooted": True}, "this host was started anew"),
    ({"damaged": True}, "the journal has lost its end"),
    ({"seconds": LONG}, ""),
    ({"seconds": LONG + 1}, "11 s without a connection"),
    ({"kept_for": 15, "seconds": 7.5}, ""),
    ({"kept_for": 15, "seconds": 8.0}, "8 s without a connection, and the server keeps a stream for 15 s"),
    ({"kept_for": None, "seconds": 8.0}, ""),
    ({"kept_for": None, "seconds": 80.0, "rate": 0.0}, "80 s without a connection"),
    ({"kept_for": 0, "seconds": 0.1}, "0 s without a connection, and the server keeps a stream for 0 s"),
    ({"rate": 245.0}, ""),
    ({"rate": 246.0}, "about 251 stanzas wait, and the server keeps 500"),
    ({"unconfirmed": 240}, ""),
    ({"unconfirmed": 241}, "about 251 stanzas wait, and the server keeps 500"),
    ({"unconfirmed": 30, "queue": 60}, "about 40 stanzas wait, and the server keeps 60"),
    ({"rate": 0.0, "seconds": 9.9, "unconfirmed": 0}, ""),
])
def test_doubt(changes, why):
    assert doubt(CALM._replace(**changes)) == why


def test_pace():
    """Stanzas a second within the last minute; a beginning isn't taken for a rate."""
    meter = PaceMeter()
    assert meter.note(100, 1000.0) == 0.0 and meter.next_at == 1010.0
    assert meter.note(150, 1001.0) == 5.0, "never over less than 10 s"
    assert meter.note(700, 1010.0) == 60.0
    for second in range(1020, 1100, 10):
        rate = meter.note(700, float(second))
    assert rate == 0.0


def test_nothing_here_takes_long(locks):
    """The mark is set in every tick, in the middle of it."""
    lock: Any = locks[0]
    lock.try_take()
    lock.sign("1")
    begun = time.process_time()
    for number in range(10000):
        lock.mark(number)
    assert time.process_time() - begun < 0.5
