"""The log's lines: shape, context, what outsiders write into them (operation.md section 8)."""
from __future__ import annotations

import logging
import os
import re

import pytest

from focus import log

#: What log collectors parse lines with (O-801).
LINE = re.compile(r"^(\w+) (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (\w+): \[(\d+)\]( \[(.+)\])? (.+?)(#\d+)?: (.*)$")


@pytest.fixture(autouse=True)
def logging_put_back():
    """What the tests configure is taken back."""
    root = logging.getLogger()
    before = root.level, list(root.handlers), logging.getLogger("sleekxmpp").level
    root.handlers = []
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers = before[1]
    root.setLevel(before[0])
    logging.getLogger("sleekxmpp").setLevel(before[2])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "jicofo.log"
    log.configure("INFO", str(path))
    return path


def lines(file):
    return file.read_text(encoding="utf-8").split("\n")[:-1]


def only_line(file):
    (line,) = lines(file)
    match = LINE.match(line)
    assert match, line
    return match


def test_a_line(file):
    log.context(room="standup@conference.meet.example", participant="ab12cd34").info("Member joined: %s", "ab12cd34")
    match = only_line(file)
    assert match.group(1) == "Jicofo"
    assert match.group(3) == "INFO"
    assert match.group(4) == "0"
    assert match.group(6) == "room=standup@conference.meet.example participant=ab12cd34"
    assert match.group(7) == __name__ + ".test_a_line"
    assert match.group(9) == "Member joined: ab12cd34"


def test_a_line_of_a_plain_logger(file):
    logging.getLogger("focus.xmpp.stream").warning("lost")
    match = only_line(file)
    assert (match.group(3), match.group(5), match.group(9)) == ("WARNING", None, "lost")
    assert match.group(7) == "xmpp.stream.test_a_line_of_a_plain_logger"
    assert match.group(8)


@pytest.mark.parametrize("write, word", [("error", "SEVERE"), ("warning", "WARNING"), ("info", "INFO"),
                                         ("debug", "FINE"), ("trace", "FINER")])
def test_words_for_levels(file, write, word):
    log.set_level("FINER")
    getattr(log.context(), write)("x")
    assert only_line(file).group(3) == word


def test_levels_between_ours(file):
    logging.getLogger().log(logging.CRITICAL, "x")
    assert only_line(file).group(3) == "SEVERE"


def test_context_is_added_and_taken_away(file):
    about = log.context(room="r@c", participant=None).bind(participant="p1")
    about.info("one")
    about.bind(room=None, bridge="jvb1").info("two")
    log.context().info("three")
    assert [LINE.match(line).group(6) for line in lines(file)] == [  # type: ignore[union-attr]
        "room=r@c participant=p1", "participant=p1 bridge=jvb1", None]


def test_greenlets_have_numbers(file):
    import gevent

    gevent.spawn(log.context().info, "x").join()
    assert int(only_line(file).group(4)) > 0


class NeverShown:
    def __str__(self):
        raise AssertionError("formatted although the level is off")


def test_nothing_is_formatted_while_the_level_is_off(file):
    about = log.context(room="r@c")
    about.debug("%s", NeverShown())
    about.trace("%s", NeverShown())
    assert not about.enabled(logging.DEBUG) and about.enabled(logging.INFO)
    assert lines(file) == []


@pytest.mark.parametrize("text, shown", [
    ("a\nJicofo 2026-01-01", "a\\x0aJicofo 2026-01-01"), ("a\r\x1b[2Jb\x00\x7f", "a\\x0d\\x1b[2Jb\\x00\\x7f"),
    ("\u2028\x85\u202e", "\\u2028\\x85\\u202e"), ("\ud800", "\\ud800"), ("caf\xe9 \u20ac", "caf\xe9 \u20ac"),
])
def test_messages_are_escaped(file, text, shown):
    log.context().info("from outside: %s", text)
    assert only_line(file).group(9) == "from outside: " + shown


def test_context_is_escaped(file):
    log.context(participant="a] [room=x y\n").info("x")
    assert only_line(file).group(6) == "participant=a\\x5d\\x20[room=x\\x20y\\x0a"


def test_lines_are_bounded(file):
    log.context().info("%s", "x" * 100000)
    line = only_line(file).group(0)
    assert len(line) < log.LONGEST_MESSAGE + 200
    assert line.endswith("... (92000 characters more)")


def test_a_stack_is_indented_escaped_and_bounded(file):
    def deep(depth):
        if depth:
            deep(depth - 1)
        raise ValueError("one\nJicofo two\x1b")
    try:
        deep(300)
    except ValueError:
        log.context().exception("failed")
    first, *rest = lines(file)
    assert first.endswith("failed")
    assert all(line.startswith("    ") for line in rest)
    assert rest[-2:] == ["    ValueError: one", "    Jicofo two\\x1b"]
    assert len(rest) <= log.LONGEST_TRACE + 1


def test_a_record_that_does_not_fit_its_message(file):
    root = logging.getLogger()
    root.handlers = [handler for handler in root.handlers if isinstance(handler, log.LineHandler)]  # not pytest's own
    log.context().info("%d %s", "x")
    log.context().info("after")
    first, second = lines(file)
    assert "a record that can't be written" in first and second.endswith("after")


def test_the_file_is_appended_to_and_opened_again(file):
    log.context().info("one")
    rotated = file.with_name("jicofo.log.1")
    os.rename(str(file), str(rotated))
    log.context().info("two")
    log.reopen()
    log.context().info("three")
    assert [line[-5:] for line in lines(rotated)] == [": one", ": two"]
    assert [line[-7:] for line in lines(file)] == [": three"]
    os.truncate(str(file), 0)
    log.context().info("four")
    assert file.read_bytes().startswith(b"Jicofo ")


def test_the_old_file_is_kept_if_the_new_one_cannot_be_opened(file):
    moved = file.parent.with_name("moved")
    file.parent.rename(moved)
    log.reopen()
    assert ["SEVERE" in line for line in lines(moved / file.name)] == [True]


def test_what_cannot_be_written_is_counted(tmp_path):
    log.configure("INFO", "/dev/full")
    log.context().info("x")
    (handler,) = logging.getLogger().handlers
    assert isinstance(handler, log.LineHandler) and handler.lost == 1


def test_standard_error_is_the_default(capfd):
    log.configure("INFO")
    log.context().info("x")
    out, err = capfd.readouterr()
    assert out == "" and LINE.match(err)


def test_a_path_that_cannot_be_opened(tmp_path):
    with pytest.raises(OSError):
        log.configure("INFO", str(tmp_path / "none" / "jicofo.log"))


def test_the_library_keeps_logins_out_of_the_log(file):
    log.set_level("FINER")
    logging.getLogger("sleekxmpp.xmlstream").debug("SEND: <auth>secret</auth>")
    assert lines(file) == []
