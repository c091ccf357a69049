"""The log: one line a record, with the conference and participant it is about (operation.md section 8).

Modules write to ``logging.getLogger(__name__)``, or, where a conference or participant is known, to a
:class:`ContextLogger` that :func:`context` makes. The words for the levels are those operators look for: error is
``SEVERE``, debug ``FINE``, trace ``FINER`` (O-803).

Text in a message may come from anybody. So control characters are escaped, lines are bounded, and the lines of a stack
trace are indented: no line but the first of a record begins with ``Jicofo `` (O-801, T-27 there).
"""
from __future__ import annotations

import logging
import os
import re
import sys
import time
from types import FrameType
from typing import Any, Callable, Dict, Optional, Tuple

PROGRAM = "Jicofo"
TRACE = 5
"""The level of FINER; below ``logging.DEBUG``, which is FINE."""

LEVELS = {"SEVERE": logging.ERROR, "WARNING": logging.WARNING, "INFO": logging.INFO, "FINE": logging.DEBUG,
          "FINER": TRACE}
_WORDS = {number: word for word, number in LEVELS.items()}

LONGEST_MESSAGE = 8000
"""Characters of a message; what is beyond is left out, and how much."""
LONGEST_TRACE = 60
"""Lines of a stack trace, of which the last are kept."""

#: C0 and C1 controls, DEL, line and paragraph separators, and what turns the direction of writing.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_UNSAFE_IN_CONTEXT = re.compile(_UNSAFE.pattern[:-1] + " \\]]")


def escape(text: str) -> str:
    """The text with everything escaped that could end a line or hide what stands in it."""
    return _UNSAFE.sub(_escaped, text) if _UNSAFE.search(text) else text


def _escaped(match: Any) -> str:
    code = ord(match.group())
    return "\\x%02x" % code if code < 256 else "\\u%04x" % code


def _bounded(text: str) -> str:
    if len(text) <= LONGEST_MESSAGE:
        return text
    return "%s... (%d characters more)" % (text[:LONGEST_MESSAGE], len(text) - LONGEST_MESSAGE)


# --- records with a context ------------------------------------------------------------------------------------------

class ContextLogger:
    """Writes records that carry what they are about. Nothing is formatted while the level is off."""

    __slots__ = ("_fields", "_logger", "_text")

    def __init__(self, logger: logging.Logger, fields: Dict[str, str]) -> None:
        self._logger = logger
        self._fields = fields
        self._text: Optional[str] = None

    def bind(self, **fields: Optional[str]) -> ContextLogger:
        """A logger with further fields; a field that is None is left out."""
        merged = dict(self._fields)
        for name, value in fields.items():
            if value is None:
                merged.pop(name, None)
            else:
                merged[name] = value
        return ContextLogger(self._logger, merged)

    def enabled(self, level: int) -> bool:
        """Whether records of the level are written: to save the work of making their arguments."""
        return self._logger.isEnabledFor(level)

    def error(self, message: str, *args: object) -> None:
        """SEVERE: something is lost, or needs the operator."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._write(logging.ERROR, message, args)

    def warning(self, message: str, *args: object) -> None:
        """WARNING: something isn't as it should be, and the focus goes on."""
        if self._logger.isEnabledFor(logging.WARNING):
            self._write(logging.WARNING, message, args)

    def info(self, message: str, *args: object) -> None:
        """INFO: an event of a conference's life."""
        if self._logger.isEnabledFor(logging.INFO):
            self._write(logging.INFO, message, args)

    def debug(self, message: str, *args: object) -> None:
        """FINE: what helps to follow a single call."""
        if self._logger.isEnabledFor(logging.DEBUG):
            self._write(logging.DEBUG, message, args)

    def trace(self, message: str, *args: object) -> None:
        """FINER: every stanza."""
        if self._logger.isEnabledFor(TRACE):
            self._write(TRACE, message, args)

    def exception(self, message: str, *args: object) -> None:
        """SEVERE, with the stack of the exception that is being handled."""
        if self._logger.isEnabledFor(logging.ERROR):
            self._write(logging.ERROR, message, args, sys.exc_info())

    def _write(self, level: int, message: str, args: Tuple[object, ...], exc_info: Any = None) -> None:
        frame: FrameType = sys._getframe(1)
        frame = frame.f_back or frame  # there's no caller where a greenlet was started with info() itself
        code = frame.f_code
        record = logging.LogRecord(frame.f_globals.get("__name__", "?"), level, code.co_filename, frame.f_lineno,
                                   message, args, exc_info, code.co_name)
        if self._text is None:
            self._text = " ".join(
                "%s=%s" % (name, _UNSAFE_IN_CONTEXT.sub(_escaped, value)) for name, value in self._fields.items())
        record.context = self._text
        self._logger.handle(record)


def context(**fields: Optional[str]) -> ContextLogger:
    """A logger whose records carry the fields, by the names of O-805: room, meeting_id, participant, bridge, ..."""
    return ContextLogger(logging.getLogger("focus"), {}).bind(**fields)


# --- lines -----------------------------------------------------------------------------------------------------------

def _no_greenlet() -> int:
    return 0


def _greenlet_number() -> Callable[[], int]:
    """A function that gives the number of the running greenlet, 0 outside of one."""
    try:
        from greenlet import getcurrent
    except ImportError:
        return _no_greenlet
    return lambda: getattr(getcurrent(), "minimal_ident", -1) + 1


class LineFormatter(logging.Formatter):
    """Makes the lines of a record: ``Jicofo <time> <LEVEL>: [n] [key=value ...] module.function#line: message``."""

    def __init__(self) -> None:
        super().__init__()
        self._greenlet = _greenlet_number()
        self._second = -1
        self._second_text = ""

    def format(self, record: logging.LogRecord) -> str:
        """The record's lines, without a line end behind the last."""
        second = int(record.created)
        if second != self._second:
            self._second, self._second_text = second, time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        about = getattr(record, "context", "")
        name = record.name[len("focus."):] if record.name.startswith("focus.") else record.name
        line = "%s %s.%03d %s: [%d] %s%s.%s#%d: %s" % (
            PROGRAM, self._second_text, int(record.msecs), _word(record.levelno), self._greenlet(),
            "[%s] " % about if about else "", name, record.funcName, record.lineno,
            _bounded(escape(record.getMessage())))
        if record.exc_info and record.exc_info[0] is not None:
            line += self._trace(record)
        return line

    def _trace(self, record: logging.LogRecord) -> str:
        lines = self.formatException(record.exc_info).split("\n") if record.exc_info else []
        left_out = len(lines) - LONGEST_TRACE
        if left_out > 0:
            lines = ["(%d lines left out)" % left_out] + lines[-LONGEST_TRACE:]
        return "".join("\n    " + _bounded(escape(line)) for line in lines)


def _word(level: int) -> str:
    word = _WORDS.get(level)
    if word:
        return word
    return next((word for word, number in LEVELS.items() if level >= number), "FINER")


class LineHandler(logging.Handler):
    """Writes each record with one call, to standard error or to the end of a file.

    The file is open for appending, so that a rotation by ``copytruncate`` leaves no hole (O-240). Records that can't be
    written are lost and counted: a full disk must not end calls.
    """

    def __init__(self, path: Optional[str]) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())
        self._path = path
        self._descriptor = 2 if path is None else _open(path)
        self.lost = 0
        """Records that could not be written."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes the record. A record whose arguments don't fit its message is reported in its place."""
        try:
            text = self.format(record)
        except (TypeError, ValueError, KeyError) as error:
            text = "%s WARNING: [0] %s#%d: a record that can't be written: %s" % (
                PROGRAM, record.name, record.lineno, escape(str(error)))
        data = (text + "\n").encode("utf-8", "backslashreplace")
        try:
            while data:
                data = data[os.write(self._descriptor, data):]
        except OSError:
            self.lost += 1

    def reopen(self) -> None:
        """Opens the file again, after a rotation. Raises OSError, and goes on with the old one then."""
        if self._path is not None:
            old, self._descriptor = self._descriptor, _open(self._path)
            os.close(old)

    def close(self) -> None:
        """Closes the file."""
        if self._path is not None and self._descriptor > 2:
            os.close(self._descriptor)
            self._descriptor = 2
        super().close()


def _open(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)


# --- set up ----------------------------------------------------------------------------------------------------------

def configure(level: str = "INFO", path: Optional[str] = None) -> None:
    """Sends every record of the process from ``level`` on to ``path``, or to standard error. Raises OSError."""
    handler = LineHandler(path)
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    set_level(level)


def set_level(level: str) -> None:
    """Changes the level: a word of :data:`LEVELS`."""
    logging.getLogger().setLevel(LEVELS[level])
    # The library writes whole logins at its lower levels, and what we need of it our own modules say.
    logging.getLogger("sleekxmpp").setLevel(max(LEVELS[level], logging.WARNING))


def reopen() -> None:
    """Opens the log file again, if there is one. If that fails, the old one stays and says so."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, LineHandler):
            try:
                handler.reopen()
            except OSError as error:
                logging.getLogger(__name__).error("The log file can't be opened again, the old one is kept: %s", error)
