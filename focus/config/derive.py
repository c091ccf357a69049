"""Names that follow from other names (U-14), and what must hold between options."""
from __future__ import annotations

import os
from typing import Any, Callable, Dict, List, Tuple

from focus.config.errors import ConfigError
from focus.config.kinds import DOMAIN, SPLIT, VISITOR, WrongValue
from focus.config.options import BY_NAME, EXTENSIONS, VIDEO_CODECS
from focus.config.value import Origin

JOURNAL_FOLDER = "/var/lib/jicofo"


def derived(values: Dict[str, Any], origins: Dict[str, Origin]) -> None:
    """Adds to ``values`` what nobody gave, made from what was given. Raises ConfigError if there's no main domain."""
    def fill(name: str, value: Any, source: str) -> None:
        if name not in values:
            values[name] = value
            origins[name] = Origin(source)

    if "domain" not in values:
        domain, source = _guess_domain(values)
        fill("domain", domain, source)
        fill("host", "localhost", "default")
    domain = values["domain"]
    fill("host", domain, "derived from domain")
    local, _, own_domain = values["user_name"].partition("@")
    values["user_name"] = local
    if own_domain:
        fill("user_domain", own_domain, "derived from user_name")
    fill("user_domain", "auth." + domain, "derived from domain")
    values["login_domain"] = own_domain or values["user_domain"]
    origins["login_domain"] = Origin("derived from user_name" if own_domain else "derived from user_domain")
    fill("resource", local, "derived from user_name")
    fill("conference_muc", "conference." + domain, "derived from domain")
    fill("component_host", values["host"], "derived from host")
    fill("service_rediscovery_interval", 0.0 if values.get("brewery_jid") else 30.0,
         "derived from brewery_jid" if "brewery_jid" in values else "default, no brewery_jid is set")
    fill("brewery_jid", "jvbbrewery@internal." + values["user_domain"], "derived from user_domain")
    fill("max_ssrc_groups_per_user", values["max_ssrcs_per_user"], "derived from max_ssrcs_per_user")
    fill("health_checks_retry_delay", values["health_checks_interval"] / 2, "derived from health_checks_interval")
    fill("octo_sctp_datachannels", values["sctp_enabled"], "derived from sctp_enabled")
    _journal(values, origins, fill)
    for name in BY_NAME:
        fill(name, None, "default")


def _journal(values: Dict[str, Any], origins: Dict[str, Origin], fill: Callable[[str, Any, str], None]) -> None:
    """The journal's default place counts only where there is such a folder; ``none`` means none."""
    if values.get("journal_file") == "none":
        values["journal_file"] = None
    elif os.path.isdir(JOURNAL_FOLDER):
        fill("journal_file", os.path.join(JOURNAL_FOLDER, "journal.db"), "default, the folder is there")
    else:
        fill("journal_file", None, "default, there is no folder %s" % JOURNAL_FOLDER)


def _guess_domain(values: Dict[str, Any]) -> Tuple[str, str]:
    """The main domain nobody gave, and from what it was made.

    It's the host, as it was with the reference (operation.md 1.2), unless that can't be a domain people use; then what
    stands behind ``auth.`` in the domain of the account.
    """
    host, account = values.get("host"), values.get("user_domain", "")
    if host not in (None, "localhost"):
        try:
            return str(DOMAIN.parse(host)), "derived from host"
        except WrongValue:
            pass  # an IP address
    if account.startswith("auth.") and account != "auth.":
        return account[len("auth."):], "derived from user_domain"
    if host == "localhost":
        return host, "derived from host"
    option = BY_NAME["domain"]
    raise ConfigError("domain: not set; give the main XMPP domain: --domain=meet.example, %s=meet.example, or [%s] "
                      "%s = meet.example in the ini" % (option.variable, option.section, option.key))


def checked(values: Dict[str, Any], origins: Dict[str, Origin]) -> List[str]:
    """Warnings about options that don't go together. Raises ConfigError where that can't work at all."""
    warnings = []
    _check_codecs(values)
    warnings += _check_selection(values, origins)
    _check_ca_file(values, origins)
    if values["user_password"] is None and origins["user_name"].given:
        option = BY_NAME["user_password"]
        warnings.append("user_name is set but no password: the focus logs in anonymously and is no administrator of "
                        "the rooms; give the password by %s or [%s] %s" % (option.variable, option.section, option.key))
    if values["client_proxy"] is not None and values["component_secret"] is not None and (
            values["client_proxy"] == "%s.%s" % (values["component_subdomain"], values["domain"])):
        warnings.append("%s is both the client_proxy component and our own component: the server has room for one of "
                        "them; unset client_proxy or the component's secret" % values["client_proxy"])
    if values["pubsub_address"] is None and (values["pubsub_bridge_nodes"] or values["pubsub_stats_node"]):
        option = BY_NAME["pubsub_address"]
        raise ConfigError("pubsub_address: not set, but nodes are given; give the address of the service by %s or [%s] "
                          "%s" % (option.variable, option.section, option.key))
    if not (values["brewery_jid"] or values["service_rediscovery_interval"] or values["bridge_jids"]
            or values["pubsub_address"]):
        raise ConfigError("brewery_jid: there is no brewery, and no other way to find bridges is on; set one of "
                          "brewery_jid, bridge_jids, service_rediscovery_interval and pubsub_address")
    return warnings


def _check_selection(values: Dict[str, Any], origins: Dict[str, Origin]) -> List[str]:
    """Options of the choice of bridges that need each other (B-524, B-932)."""
    strategy, warnings = values["selection_strategy"], []
    for name in ("participant_selection_strategy", "visitor_selection_strategy"):
        place, = _places(name)
        if strategy == VISITOR and values[name] is None:
            raise ConfigError("%s: not set, and the strategy visitor (%s) needs it; give single or region-based" % (
                place, origins["selection_strategy"]))
        if strategy != VISITOR and values[name] is not None:
            warnings.append("%s counts with selection_strategy = visitor only" % place)
    low, high = "stress_threshold", "load_redistribution_stress_threshold"
    if values["load_redistribution_enabled"] and values[high] <= values[low]:  # B-871
        raise ConfigError("%s: %g (%s) is not above %s, which is %g: endpoints would be moved to the bridge they come "
                          "from; give a higher one" % (*_places(high), values[high], origins[high], *_places(low),
                                                       values[low]))
    if strategy == SPLIT and not values["octo_enabled"]:
        warnings.append("selection_strategy is split and octo_enabled is off: every conference stays on one bridge")
    return warnings


def _check_ca_file(values: Dict[str, Any], origins: Dict[str, Origin]) -> None:
    path = values["ca_file"]
    if path is None:
        return
    try:
        with open(path, "rb") as file:
            found = b"-----BEGIN" in file.read(1 << 22)
    except OSError as error:
        raise ConfigError("ca_file: %s (%s): %s; give a PEM file of certificates" % (
            path, origins["ca_file"], error.strerror or error)) from None
    if not found:
        raise ConfigError("ca_file: %s (%s) has no certificate in it; give a PEM file of certificates" % (
            path, origins["ca_file"]))


def _check_codecs(values: Dict[str, Any]) -> None:
    """No payload type and no extension id twice: one number means one thing in a bundled session (J-327)."""
    payload_types = []
    for codec in VIDEO_CODECS:
        if values["codec_video_%s_enabled" % codec]:
            payload_types += ["codec_video_%s_pt" % codec, "codec_video_%s_rtx_pt" % codec]
    for codec in ("opus", "opus_red", "telephone_event"):
        if values["codec_audio_%s_enabled" % codec]:
            payload_types.append("codec_audio_%s_pt" % codec)
    _refuse_twins(values, payload_types, "payload type")
    ids = ["codec_rtp_extensions_%s_id" % name for name in EXTENSIONS
           if values["codec_rtp_extensions_%s_enabled" % name]]
    _refuse_twins(values, ids, "id")


def _refuse_twins(values: Dict[str, Any], names: List[str], what: str) -> None:
    owners: Dict[int, str] = {}
    for name in names:
        value = values[name]
        if value > 0 and owners.setdefault(value, name) != name:
            first, second = _places(owners[value], name)
            raise ConfigError("%s: the %s %d is also that of %s; give each its own" % (second, what, value, first))


def _places(*names: str) -> Tuple[str, ...]:
    return tuple("[%s] %s" % (BY_NAME[name].section, BY_NAME[name].key) for name in names)
