"""What runs under supervisord in a chaos run is what is shipped, but for paths, user and secrets."""

from __future__ import annotations

import configparser
from pathlib import Path
from typing import Dict

import pytest

from tests.support.supervised import SHIPPED, NotAsShipped, derived

INI, LOGS = Path("/somewhere/jicofo.ini"), Path("/somewhere/log")
REPLACED = ("command", "user", "stdout_logfile", "environment")


def sections(text: str) -> Dict[str, Dict[str, str]]:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",))
    parser.read_string(text)
    return {name: dict(parser[name]) for name in parser.sections()}


def test_only_paths_user_and_secrets_are_replaced() -> None:
    shipped = SHIPPED.read_text(encoding="utf-8")
    ours = sections(derived(shipped, INI, LOGS, {"JICOFO_AUTH_PASSWORD": "secret"}))
    theirs = sections(shipped)
    assert list(ours) == list(theirs)
    for name, section in theirs.items():
        assert {key: value for key, value in ours[name].items() if key not in REPLACED} == {
            key: value for key, value in section.items() if key not in REPLACED}
        # of the command everything but the paths
        assert ours[name]["command"].split()[1:] == [
            word.replace("/etc/jitsi/jicofo/jicofo.ini", str(INI)) for word in section["command"].split()[1:]]
        assert Path(ours[name]["stdout_logfile"]).parent == LOGS
        assert Path(ours[name]["stdout_logfile"]).name == Path(section["stdout_logfile"]).name
        assert ours[name]["environment"].startswith('JICOFO_AUTH_PASSWORD="secret"')


def test_an_environment_that_is_shipped_stays() -> None:
    shipped = SHIPPED.read_text(encoding="utf-8").replace("user=jicofo", 'user=jicofo\nenvironment=A="b"')
    for section in sections(derived(shipped, INI, LOGS, {"C": "d"})).values():
        assert section["environment"] == 'C="d",A="b"'


def test_a_shipped_file_that_says_something_else_is_refused() -> None:
    with pytest.raises(NotAsShipped):
        derived(SHIPPED.read_text(encoding="utf-8").replace("/usr/bin/jicofo", "/opt/jicofo"), INI, LOGS, {})
