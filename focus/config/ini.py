"""Reads an ini file and remembers the line each value stands on, for the error messages.

Sections in brackets, ``key = value`` or ``key: value``, whole-line comments that begin with ``#`` or ``;``. There are
no comments behind a value and no continuation lines: a password may hold any character.
"""
from __future__ import annotations

import re
from typing import Dict, List, NamedTuple, Tuple

_LARGEST = 1 << 20
_SECTION = re.compile(r"\[([^\]]+)\]")
_SETTING = re.compile(r"([^=:\s]+)\s*[=:]\s*(.*)")


class IniError(ValueError):
    """The file can't be read or isn't an ini; the text names file, line and reason."""


class Setting(NamedTuple):
    """One value of the file and where it stands."""

    value: str
    line: int


def read_ini(path: str) -> Tuple[Dict[Tuple[str, str], Setting], List[str]]:
    """(section, key) -> setting, both in lower case, and the warnings. Raises IniError."""
    try:
        with open(path, "rb") as file:
            raw = file.read(_LARGEST + 1)
    except OSError as error:
        raise IniError("%s: %s; --config names the ini file to read" % (path, error.strerror or error)) from None
    if len(raw) > _LARGEST:
        raise IniError("%s: larger than 1 MiB; that is no ini file of ours" % path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise IniError("%s:%d: not UTF-8 text; save the file as UTF-8" % (path, line)) from None
    return _parse(path, text)


def _parse(path: str, text: str) -> Tuple[Dict[Tuple[str, str], Setting], List[str]]:
    settings: Dict[Tuple[str, str], Setting] = {}
    warnings: List[str] = []
    section = ""
    for number, line in enumerate(text.split("\n"), 1):
        line = line.strip()
        if not line or line[0] in "#;":
            continue
        header = _SECTION.fullmatch(line)
        if header:
            section = header.group(1).strip().lower()
            continue
        match = _SETTING.fullmatch(line)
        if not match:
            # The line itself isn't shown: it may be the second half of a password.
            raise IniError("%s:%d: neither a [section] nor key = value nor a comment" % (path, number))
        if not section:
            raise IniError("%s:%d: a value before the first [section]" % (path, number))
        key = (section, match.group(1).lower().replace("-", "_"))
        if key in settings:
            warnings.append("%s:%d: [%s] %s is set again; the value of line %d is not used" % (
                path, number, key[0], key[1], settings[key].line))
        settings[key] = Setting(match.group(2), number)
    return settings, warnings
