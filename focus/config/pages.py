"""What is made from the table of options: the annotated ini, the reference page, and the printed configuration.

``python -m focus.config ini`` and ``python -m focus.config page`` print the first two; ``conf/jicofo.ini`` and
``docs/configuring.md`` are their output, which a test compares.
"""
from __future__ import annotations

import textwrap
from typing import Iterator, List, Tuple

from focus.config.options import OPTIONS, SECTIONS, Option
from focus.config.value import Config

_WIDTH = 100


def ini() -> str:
    """The annotated ini: every option with its meaning, commented out at its default."""
    lines = _comment(
        "Configuration of the conference focus. Made from the table of options (python -m focus.config ini).")
    lines += ["#"] + _comment(
        "Every option stands here, commented out, with its default. A flag wins over a variable of the environment, "
        "that over this file, and this file over the default. A comment begins with # or ; and has a line of its own; "
        "a value goes to the end of its line and has no quotes around it. Durations: 15 (seconds), 15 s, 500 ms, "
        "1 minute, 2 h.")
    for section in SECTIONS:
        lines += ["", ""] + _comment(SECTIONS[section]) + ["[%s]" % section]
        for option in OPTIONS:
            if option.section == section:
                lines += [""] + _annotated(option)
    return "\n".join(lines) + "\n"


def _annotated(option: Option) -> List[str]:
    facts = [option.kind.label]
    if option.derived:
        facts.append("default: " + option.derived)
    elif option.default is None:
        facts.append("not set by default")
    facts.append("variable " + option.variable)
    facts.append("flag --" + option.flag)
    return (_comment(option.meaning) + _comment("(%s)" % "; ".join(facts))
            + [("#%s = %s" % (option.key, option.default or "")).rstrip()])


def _comment(text: str) -> List[str]:
    return ["# " + line for line in textwrap.wrap(text, _WIDTH - 2, break_on_hyphens=False)]


_PAGE = """\
# Configuring

This page is made from the table of options (`python -m focus.config page`).

**Where values come from.** A flag wins over a variable of the environment, that over the ini file which `--config`
names, and the file over the default. The file is read at the start; changes need a restart. `jicofo check` prints
every value in force and where it came from, with secrets masked, and ends with 2 if something is wrong;
`jicofo config` prints an ini with every option at its default, the same as
[conf/jicofo.ini](../conf/jicofo.ini); `jicofo config --explain --domain=meet.example` prints the names that
follow from the domain: account, rooms, bridges' room, component.

**How values are written.** Durations: `15` (seconds), `15 s`, `500 ms`, `1 minute`, `2 h`. Switches: `true` or
`false`, also yes/no, on/off, 1/0. In the ini a value goes to the end of its line, without quotes, and a comment has
a line of its own. Flags: `--name=value` or `--name value`. An empty value counts as not set. Unknown flags, unknown
keys of the ini and variables that look like a slip of the pen give a warning with the nearest known name; a value
that can't be right ends the start with exit status 2 and one line that names the option, where the value came from
and what would be right.

**Secrets.** Put them into variables (`JICOFO_AUTH_PASSWORD`, `JICOFO_SECRET`) or into an ini of mode 640; a flag shows
them to everyone who lists the processes. Passwords from public examples are refused.

**From older installations.** The eight options of the old command line (`--domain --host --port --subdomain --secret
--user_domain --user_name --user_password`) work as they did, `--port` being the component's port. The column
*reference* has the setting's path in the `jicofo.conf` of the reference implementation and, in brackets, its name in
older property files. Neither kind of file is read; the column is there to find the new name, and an old key in the
ini is answered with it."""


def page() -> str:
    """The page about configuration with the table of all options, as Markdown."""
    lines = [_PAGE]
    for section, about in SECTIONS.items():
        lines += ["", "## [%s]" % section, "", about, "",
                  "| key | type | default | meaning | variable | flag | reference |", "|---|---|---|---|---|---|---|"]
        lines += [_page_row(option) for option in OPTIONS if option.section == section]
    return "\n".join(lines) + "\n"


def _page_row(option: Option) -> str:
    default = option.derived or ("not set" if option.default is None else "`%s`" % option.default
                                 if option.default else "none")
    old = "`%s`" % option.reference if option.reference else ""
    if option.legacy:
        old += (" " if old else "") + "(`%s`)" % option.legacy.split(" ")[0]
    cells = ["`%s`" % option.key, option.kind.label, default.replace("<", "&lt;"), option.meaning.replace("<", "&lt;"),
             "`%s`" % option.variable, " ".join("`--%s`" % flag for flag in option.flags), old]
    return "| %s |" % " | ".join(cells)


def effective(config: Config) -> str:
    """Every option with its value in force and where that came from; secrets are masked."""
    lines: List[str] = []
    for section in SECTIONS:
        rows = [("%s = %s" % (option.key, config.shown(option.name)) if config.shown(option.name)
                 else option.key + " =", config.source_of(option.name))
                for option in OPTIONS if option.section == section]
        lines += ["[%s]" % section]
        lines += ["%-60s # %s" % row for row in rows] + [""]
    return "\n".join(lines)


def explained(config: Config) -> str:
    """The names that the focus uses or expects elsewhere, each with what it was made from (U-14)."""
    rows = list(_names(config))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "".join("%-*s  %-*s  %s\n" % (widths[0], row[0], widths[1], row[1], row[2]) for row in rows)


def _names(config: Config) -> Iterator[Tuple[str, str, str]]:
    def row(what: str, value: str, name: str) -> Tuple[str, str, str]:
        return what, value, config.source_of(name)

    yield row("main domain", config.domain, "domain")
    yield row("server for users", "%s port %d" % (config.host, config.client_port), "host")
    yield row("login domain, in the server's certificate", config.login_domain, "login_domain")
    if config.user_jid is None:
        yield "account of the focus", "anonymous", "no password is set"
    else:
        yield "account of the focus, in the server's admins", config.user_jid, config.source_of("user_name")
    yield row("resource of its session", config.resource, "resource")
    yield row("domain of the rooms", config.conference_muc, "conference_muc")
    yield row("room of the bridges", config.shown("brewery_jid"), "brewery_jid")
    for what, name in (("bridges that are components", "bridge_jids"), ("bridges that clients may ask for",
                                                                        "client_bridges"),
                       ("service of the bridges' statistics", "pubsub_address")):
        if config.shown(name):
            yield row(what, config.shown(name), name)
    if config.client_proxy is not None:
        yield row("clients ask, through client_proxy", config.client_proxy, "client_proxy")
    if config.component_enabled:
        yield row("clients ask our component", config.component_domain, "component_subdomain")
        yield row("server for components", "%s port %d" % (config.component_host, config.component_port),
                  "component_host")
    if config.client_proxy is None and not config.component_enabled:
        yield ("clients ask the user", "%s/%s" % (config.user_jid or "(the anonymous user)", config.resource),
               "no component secret and no client_proxy is set")
