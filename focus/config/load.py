"""Finds the value of every option: flag over variable over ini over default (issue item 2, O-110 to O-116)."""
from __future__ import annotations

import re
from typing import Any, Dict, List, Mapping, NamedTuple, NoReturn, Optional, Sequence, Tuple

from focus.config.derive import checked, derived
from focus.config.errors import ConfigError
from focus.config.ini import IniError, Setting, read_ini
from focus.config.kinds import WrongValue
from focus.config.options import BY_NAME, OPTIONS, Option
from focus.config.value import Config, Origin

_FLAGS = {flag: option for option in OPTIONS for flag in option.flags}
_FLAG = re.compile(r"-{0,2}([A-Za-z][\w-]*)=(.*)", re.DOTALL)
_BARE_FLAG = re.compile(r"--?([A-Za-z][\w-]*)")

#: Variables of the environment that older start scripts set for themselves or for the Java program (O-114, O-921).
_SCRIPT_VARIABLES = ("JICOFO_HOSTNAME", "JICOFO_PORT", "JICOFO_AUTH_DOMAIN", "JICOFO_AUTH_USER", "JICOFO_OPTS")
_JAVA_VARIABLES = ("JAVA_SYS_PROPS", "JICOFO_MAX_MEMORY")

#: Samples of public examples, without what isn't a letter or digit (U-15); the second: beginnings.
_SAMPLE_SECRETS = frozenset(("passw0rd", "password", "s3cr3t", "secret", "changeme", "yoursecret"))
_SAMPLE_BEGINNINGS = ("yoursecret", "yourpassword", "changeme", "putarandom")


class _Given(NamedTuple):
    """A value as somebody wrote it."""

    text: str
    origin: Origin


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Config:
    """The configuration from flags, variables and the ini that ``--config`` names.

    Raises:
        ConfigError: a value is wrong or missing; the text is one line that names the option, where the value came from
            and what would be right.
    """
    warnings: List[str] = []
    flags, path = _read_flags(arguments, warnings)
    variables = _read_environment(environment, warnings)
    settings = _read_file(path, warnings) if path else {}
    values: Dict[str, Any] = {}
    origins: Dict[str, Origin] = {}
    for option in OPTIONS:
        given = flags.get(option.name) or variables.get(option.name) or settings.get(option.name)
        if given:
            values[option.name] = _parse(option, given)
            origins[option.name] = given.origin
        elif option.default is not None:
            values[option.name] = option.kind.parse(option.default)
            origins[option.name] = Origin("default")
    _refuse_samples(values, origins)
    derived(values, origins)
    warnings += checked(values, origins)
    return Config(values, origins, tuple(warnings))


def _parse(option: Option, given: _Given) -> Any:
    try:
        return option.kind.parse(given.text)
    except WrongValue as error:
        shown = "the value" if option.kind.secret else _cited(given.text)
        raise ConfigError("%s: %s (%s) %s; %s" % (
            option.name, shown, given.origin, error, option.kind.right)) from None


def _cited(text: str) -> str:
    text = text if len(text) <= 100 else text[:100] + "..."
    return ascii(text) if not text.isprintable() else "'%s'" % text


# --- flags -----------------------------------------------------------------------------------------------------------

def _read_flags(arguments: Sequence[str], warnings: List[str]) -> Tuple[Dict[str, _Given], Optional[str]]:
    """Option name -> value, and the path given by ``--config``.

    ``--name=value`` with one, two or no hyphens (as the reference took them) and ``--name value``; the last of a
    repeated flag counts. What has no value or no known name is skipped with a warning (O-111).
    """
    found: Dict[str, _Given] = {}
    path: Optional[str] = None
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        match = _FLAG.fullmatch(argument)
        if match:
            name, value = match.groups()
        else:
            bare = _BARE_FLAG.fullmatch(argument)
            if not bare or not rest or _is_flag(rest[0]):
                warnings.append("skipped the argument %s: it has no value; write --name=value" % _named(argument))
                continue
            name, value = bare.group(1), rest.pop(0)
        name = name.replace("-", "_")
        if name != "config" and name not in _FLAGS:
            warnings.append("skipped the unknown argument --%s%s" % (name, _nearest(name, list(_FLAGS))))
        elif not value.strip():
            warnings.append("skipped the empty argument --%s" % name)
        elif name == "config":
            path = value
        else:
            option = _FLAGS[name]
            found[option.name] = _Given(value.strip(), Origin("flag --" + name, True))
            if option.kind.secret:
                warnings.append("--%s shows the secret to everyone who lists the processes; use the variable %s or the "
                                "ini" % (name, option.variable))
    return found, path


def _is_flag(argument: str) -> bool:
    """Whether the argument can't be the value of the flag before it."""
    match = _FLAG.fullmatch(argument) or _BARE_FLAG.fullmatch(argument)
    if not argument.startswith("-") or not match:
        return False
    name = match.group(1).replace("-", "_")
    return argument.startswith("--") or name in _FLAGS or name == "config"


def _named(argument: str) -> str:
    """The argument for a message. It may be the value of a flag before it, so no more is shown than a flag's name."""
    return _cited(argument) if argument.startswith("-") else "without a name"


# --- environment -----------------------------------------------------------------------------------------------------

def _read_environment(environment: Mapping[str, str], warnings: List[str]) -> Dict[str, _Given]:
    """Option name -> value. An empty variable counts as not set."""
    names = {option.variable: option for option in OPTIONS}
    found = {}
    for variable in sorted(environment):
        value = environment[variable].strip()
        if variable in names and value:
            found[names[variable].name] = _Given(value, Origin("variable " + variable, True))
        elif variable in _JAVA_VARIABLES and value:
            warnings.append("the variable %s is for Java and has no effect here" % variable)
        elif variable.startswith("JICOFO_") and variable not in names and variable not in _SCRIPT_VARIABLES:
            nearest = _nearest(variable, list(names))
            if nearest:  # other programs use the prefix too, so only what looks like a slip of the pen is reported
                warnings.append("the variable %s is unknown%s" % (variable, nearest))
    return found


# --- ini -------------------------------------------------------------------------------------------------------------

def _read_file(path: str, warnings: List[str]) -> Dict[str, _Given]:
    """Option name -> value. An empty value counts as not set."""
    try:
        settings, complaints = read_ini(path)
    except IniError as error:
        raise ConfigError(str(error)) from None
    warnings += complaints
    places = {(option.section, option.key): option for option in OPTIONS}
    found = {}
    for place, setting in settings.items():
        option = places.get(place)
        if option is None:
            warnings.append(_unknown_setting(path, place, setting))
        elif setting.value:
            found[option.name] = _Given(setting.value, Origin(
                "%s:%d [%s] %s" % (path, setting.line, option.section, option.key), True))
    if any(BY_NAME[name].kind.secret for name in found):
        warnings += _readable_by_all(path)
    return found


def _unknown_setting(path: str, place: Tuple[str, str], setting: Setting) -> str:
    section, key = place
    where = "%s:%d" % (path, setting.line)
    for option in OPTIONS:
        old_names = (option.reference, option.legacy, "jicofo." + option.reference, option.name,
                     option.reference.replace("xmpp.client.", "xmpp.client_"))
        dotted = {name.replace("-", "_").lower() for name in old_names if name}
        if key in dotted or "%s.%s" % (section, key) in dotted:
            return "%s: [%s] %s is unknown; its name here is [%s] %s" % (
                where, section, key, option.section, option.key)
    keys = [option.key for option in OPTIONS if option.section == section]
    if not keys:
        return "%s: [%s] %s is unknown%s" % (where, section, key, _nearest(section, [o.section for o in OPTIONS]))
    return "%s: [%s] %s is unknown%s" % (where, section, key, _nearest(key, keys))


def _readable_by_all(path: str) -> List[str]:
    import os

    try:
        mode = os.stat(path).st_mode & 0o777
    except OSError:  # read a moment ago and gone now
        return []
    if mode & 0o004:
        return ["%s has a secret in it and can be read by everyone (mode %03o); chmod 640" % (path, mode)]
    return []


# --- what else can be wrong ------------------------------------------------------------------------------------------

def _nearest(name: str, known: List[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, known, 1, 0.75)
    return "; did you mean %s?" % close[0] if close else ""


def _refuse_samples(values: Dict[str, Any], origins: Dict[str, Origin]) -> None:
    if values["allow_sample_secrets"]:
        return
    for name in ("user_password", "component_secret"):
        letters = re.sub("[^a-z0-9]", "", values.get(name, "").lower())
        if letters in _SAMPLE_SECRETS or letters.startswith(_SAMPLE_BEGINNINGS):
            _sample(name, origins[name])


def _sample(name: str, origin: Origin) -> NoReturn:
    raise ConfigError("%s: the value (%s) is a sample from public examples, known to everyone; give a random one here "
                      "and to the XMPP server, or set allow_sample_secrets=true in a laboratory" % (name, origin))
