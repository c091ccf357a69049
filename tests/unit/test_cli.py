"""The command from outside: output, exit statuses, one line on standard error."""
from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

from focus import __version__, cli
from focus.config import pages

ROOT = pathlib.Path(__file__).resolve().parents[2]


def started(*arguments, command=(sys.executable, "-m", "focus"), cwd=ROOT, **environment):
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return subprocess.run([*command, *arguments], cwd=str(cwd), env={**kept, **environment}, timeout=60,
                          capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), ("check", "--help"), ("--port=x", "--help")])
def test_help(arguments):
    done = started(*arguments)
    assert (done.returncode, done.stdout, done.stderr) == (0, cli.USAGE, "")


def test_the_help_names_the_legacy_flags_and_every_command():
    for word in ("--domain", "--host", "--port", "--subdomain", "--secret", "--user_domain", "--user_name",
                 "--user_password", "--config", *cli.COMMANDS):
        assert word in cli.USAGE


def test_version():
    done = started("--version")
    assert (done.returncode, done.stdout) == (0, "jicofo %s\n" % __version__)


@pytest.mark.parametrize("arguments, environment, complaint", [
    (("--domain=meet.example", "--port=x"), {}, "component_port: 'x' (flag --port) is not a whole number"),
    (("run", "--domain=meet.example", "--port", "0"), {}, "component_port: '0' (flag --port) is too small"),
    (("check",), {"JICOFO_DOMAIN": "a b"}, "domain: 'a b' (variable JICOFO_DOMAIN) is not a domain"),
    (("check", "--domain=meet.example"), {"JICOFO_SECRET": "changeme"}, "component_secret: the value (variable"),
    ((), {}, "domain: not set; give the main XMPP domain"),
    (("--config=/nowhere/jicofo.ini",), {}, "/nowhere/jicofo.ini: No such file or directory"),
    (("config", "--domain=meet.example"), {}, "config: '--domain=meet.example' is of use with --explain only"),
    (("chekc",), {}, "unknown command 'chekc'; give one of run, stop, upgrade, check, config"),
    (("run", "--domain=meet.example", "--log_file=/nowhere/x"), {}, "log_file: /nowhere/x (flag --log_file): No such"),
])
def test_what_is_wrong_ends_with_2_and_one_line(arguments, environment, complaint):
    done = started(*arguments, **environment)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("jicofo: " + complaint)
    assert done.stderr.count("\n") == 1 and done.stderr.endswith("\n")


def test_check_prints_values_and_sources_and_masks_secrets():
    done = started("check", "--domain=meet.example", "--port", "5348", "--nothing=1", JICOFO_SECRET="hunter2")
    assert done.returncode == 0
    assert "hunter2" not in done.stdout + done.stderr
    lines = {line.split(" = ")[0]: line for line in done.stdout.split("\n") if " = " in line}
    assert lines["xmpp_domain"].split("#") == ["xmpp_domain = meet.example".ljust(61), " flag --domain"]
    assert "secret = ********" in done.stdout and "# variable JICOFO_SECRET" in done.stdout
    assert "# flag --port" in done.stdout
    assert done.stderr == "jicofo: warning: skipped the unknown argument --nothing\n"


def test_config_prints_the_ini():
    done = started("config")
    assert (done.returncode, done.stdout, done.stderr) == (0, pages.ini(), "")


def test_config_explains_the_names():
    done = started("config", "--explain", "--domain=meet.example")
    assert done.returncode == 0
    assert "jvbbrewery@internal.auth.meet.example" in done.stdout


def test_output_into_a_closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run([sys.executable, "-m", "focus", "config"], cwd=str(ROOT), stdout=writer,
                              stderr=subprocess.PIPE, timeout=60)
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("page", ["ini", "page"])
def test_the_generator(page):
    done = started(page, command=(sys.executable, "-m", "focus.config"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == getattr(pages, page)()


def test_the_generator_knows_no_other_page():
    assert started(command=(sys.executable, "-m", "focus.config")).returncode == 2


def test_the_script_runs_from_anywhere_and_through_a_link(tmp_path):
    link = tmp_path / "jicofo"
    link.symlink_to(ROOT / "bin" / "jicofo")
    # A module of that name in the working directory must not get in the way.
    (tmp_path / "focus.py").write_text("raise SystemExit(99)\n")
    (tmp_path / "logging.py").write_text("raise SystemExit(98)\n")
    done = started("--version", command=(str(link),), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "jicofo %s\n" % __version__)


def test_the_command_starts_without_the_service():
    code = ("import sys, focus.cli; focus.cli.main(['--version']); "
            "sys.exit(bool({'gevent', 'lxml', 'sleekxmpp', 'asyncio', 'logging'} & set(sys.modules)))")
    assert started(command=(sys.executable, "-c", code)).returncode == 0
