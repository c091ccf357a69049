"""The command ``jicofo``: run, stop, upgrade, check, config."""
from __future__ import annotations

import os
import sys
from typing import Callable, Dict, List, Optional, Sequence

from focus import __version__
from focus.config import Config, ConfigError, load

USAGE = """\
usage: jicofo [run] [--config FILE] [--OPTION=VALUE ...]
       jicofo stop [--end-calls] [--config FILE] [--OPTION=VALUE ...]
       jicofo upgrade [--config FILE] [--OPTION=VALUE ...]
       jicofo check [--config FILE] [--OPTION=VALUE ...]
       jicofo config [--explain [--config FILE] [--OPTION=VALUE ...]]

run      hold conferences until a signal ends it (also without the word)
stop     end the process that serves, so that another can go on with its calls; with --end-calls end these first
upgrade  let this version take over from the one that serves, which stays until that has proved to work
check    read the configuration and print the value of every option and where it came from
config   print an annotated ini with every option; with --explain the names that the given options lead to

--domain=DOMAIN          main XMPP domain (default: the host)
--host=HOST              where the XMPP server is (default: the domain, or localhost)
--port=PORT              its port for components (default: 5347)
--subdomain=NAME         the component is NAME.DOMAIN (default: focus)
--secret=SECRET          secret of the component, better given as JICOFO_SECRET; without one no component is opened
--user_domain=DOMAIN     domain of the focus's account (default: auth.DOMAIN)
--user_name=NAME         the account (default: focus)
--user_password=SECRET   its password, better given as JICOFO_AUTH_PASSWORD; without one the login is anonymous
--config FILE            the ini file to read

Every other option is listed by `jicofo config`, with its flag and its variable. A flag wins over a variable, that over
the ini. Exit status: 0 ended on request, 1 a fault or a command that failed, 2 the configuration is wrong, 3 another
process serves with the same journal, 5 ended by `jicofo stop --end-calls`.
"""

FAILED = 1
WRONG_CONFIGURATION = 2


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs a command and returns its exit status."""
    rest = list(sys.argv[1:] if arguments is None else arguments)
    if any(argument in ("--help", "-h") for argument in rest):
        return _print(USAGE)
    if rest[:1] == ["--version"]:
        return _print("jicofo %s\n" % __version__)
    name = "run"
    if rest and not rest[0].startswith("-") and "=" not in rest[0]:
        name = rest.pop(0)
    command = COMMANDS.get(name)
    if command is None:
        return _refuse("unknown command %s; give one of %s" % (ascii(name), ", ".join(COMMANDS)))
    try:
        return command(rest)
    except ConfigError as error:
        return _refuse(str(error))


def run(arguments: List[str]) -> int:
    """Holds conferences until a signal ends it."""
    config = load(arguments, os.environ)
    from focus import log

    try:
        log.configure(config.log_level, config.log_file)
    except OSError as error:
        raise ConfigError("log_file: %s (%s): %s; give a path that can be written" % (
            config.log_file, config.source_of("log_file"), error.strerror or error)) from None
    logger = log.context()
    for warning in config.warnings:
        logger.warning("%s", warning)
    from focus import service  # brings gevent, which the other commands don't need
    from focus.journal.base import JournalFailed

    try:
        return service.run(config)
    except JournalFailed as error:
        raise ConfigError("journal_file: %s (%s); give the focus's user a folder it can write to, or say none" % (
            error, config.source_of("journal_file"))) from None


def stop(arguments: List[str]) -> int:
    """Ends the process that serves."""
    from focus import handover

    config = load([argument for argument in arguments if argument != "--end-calls"], os.environ)
    try:
        return _print(handover.stop(config, "--end-calls" in arguments) + "\n")
    except handover.CommandFailed as error:
        return _refuse(str(error), FAILED)


def upgrade(arguments: List[str]) -> int:
    """Lets this version take over from the one that serves."""
    from focus import handover

    config = load(arguments, os.environ)
    try:
        return _print(handover.upgrade(config, lambda text: print("jicofo: %s" % text, flush=True)) + "\n")
    except handover.CommandFailed as error:
        return _refuse(str(error), FAILED)


def check(arguments: List[str]) -> int:
    """Prints the configuration in force, secrets masked."""
    from focus.config import pages

    config = load(arguments, os.environ)
    _warn(config)
    return _print(pages.effective(config))


def config(arguments: List[str]) -> int:
    """Prints the annotated ini, or the names that follow from the given options."""
    from focus.config import pages

    if "--explain" not in arguments:
        if arguments:
            raise ConfigError("config: %s is of use with --explain only; give that too, or nothing"
                              % ascii(arguments[0]))
        return _print(pages.ini())
    given = load([argument for argument in arguments if argument != "--explain"], os.environ)
    _warn(given)
    return _print(pages.explained(given))


COMMANDS: Dict[str, Callable[[List[str]], int]] = {
    "run": run, "stop": stop, "upgrade": upgrade, "check": check, "config": config}


def _warn(given: Config) -> None:
    for warning in given.warnings:
        print("jicofo: warning: %s" % warning, file=sys.stderr)


def _refuse(text: str, status: int = WRONG_CONFIGURATION) -> int:
    print("jicofo: %s" % text, file=sys.stderr)
    return status


def _print(text: str) -> int:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
