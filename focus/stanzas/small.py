"""Payloads of a few attributes: ping, version, last activity, health check, login-url, logout."""
from __future__ import annotations

from typing import Any, NamedTuple, Optional, Union

from focus.stanzas import xml
from focus.stanzas.errors import Malformed
from focus.stanzas.registry import register

MAX_LENGTH = 1024


def _only(iq_type: str, allowed: str, what: str) -> None:
    if iq_type not in (allowed, "result"):
        raise Malformed("feature-not-implemented", "%s is asked by %s" % (what, allowed))


class Ping(NamedTuple):
    """XEP-0199; the answer is an empty result (C-906)."""


def parse_ping(el: Any, iq_type: str) -> Ping:
    """Raises Malformed for a set."""
    _only(iq_type, "get", "ping")
    return Ping()


def write_ping() -> str:
    """The payload of a get."""
    return "<ping xmlns='%s'/>" % xml.NS_PING


class VersionRequest(NamedTuple):
    """XEP-0092."""


class Version(NamedTuple):
    """Its answer; ours has no ``os`` (C-904)."""

    name: str
    version: str
    os: Optional[str] = None


def parse_version(el: Any, iq_type: str) -> Union[VersionRequest, Version]:
    """Raises Malformed for a set."""
    _only(iq_type, "get", "the version")
    if iq_type == "get":
        return VersionRequest()
    return Version(xml.child_text(el, "{%s}name" % xml.NS_VERSION, MAX_LENGTH) or "",
                   xml.child_text(el, "{%s}version" % xml.NS_VERSION, MAX_LENGTH) or "",
                   xml.child_text(el, "{%s}os" % xml.NS_VERSION, MAX_LENGTH))


def write_version(payload: Union[VersionRequest, Version]) -> str:
    """The payload of a get or of its answer."""
    content = ""
    if isinstance(payload, Version):
        name, version = xml.escape(payload.name), xml.escape(payload.version)
        content = "<name>%s</name><version>%s</version>" % (name, version)
        if payload.os is not None:
            content += "<os>%s</os>" % xml.escape(payload.os)
    return xml.element("query", None, content, xml.NS_VERSION)


class LastActivityRequest(NamedTuple):
    """XEP-0012."""


class LastActivity(NamedTuple):
    """Its answer, in seconds: ours is the time since the start (section 2 of the XEP for services)."""

    seconds: int


def parse_last_activity(el: Any, iq_type: str) -> Union[LastActivityRequest, LastActivity]:
    """Raises Malformed for a set or an answer without a number."""
    _only(iq_type, "get", "the last activity")
    if iq_type == "get":
        return LastActivityRequest()
    return LastActivity(xml.parse_int(el.get("seconds", ""), "seconds", 0))


def write_last_activity(payload: Union[LastActivityRequest, LastActivity]) -> str:
    """The payload of a get or of its answer."""
    seconds = payload.seconds if isinstance(payload, LastActivity) else None
    return xml.element("query", {"seconds": seconds}, xmlns=xml.NS_LAST)


class HealthCheck(NamedTuple):
    """Asks a bridge whether it is well; the answer is an empty result (B-403)."""


def parse_health_check(el: Any, iq_type: str) -> HealthCheck:
    """Raises Malformed for a set."""
    _only(iq_type, "get", "health")
    return HealthCheck()


def write_health_check() -> str:
    """The payload of a get."""
    return "<healthcheck xmlns='%s'/>" % xml.NS_HEALTH


class LoginUrlRequest(NamedTuple):
    """Where to log in (M-340). With authentication off it is refused unread, so faults are found by
    ``check``."""

    room: Optional[str] = None
    machine_uid: Optional[str] = None
    popup: bool = False

    def check(self) -> None:
        """Raises Malformed as M-341 wants it: not-acceptable without a room, bad-request without a machine-
        uid."""
        if not self.room:
            raise Malformed("not-acceptable", "")
        if not self.machine_uid or not self.machine_uid.strip():
            raise Malformed("bad-request", "machine-uid is missing")
        if len(self.machine_uid.encode("utf-8", "replace")) > 256:
            raise Malformed("bad-request", "machine-uid is longer than 256 bytes")


class LoginUrl(NamedTuple):
    """Its answer; percent-encoded, or None if clients know it themselves."""

    url: Optional[str] = None


def parse_login_url(el: Any, iq_type: str) -> Union[LoginUrlRequest, LoginUrl]:
    """Raises Malformed for a set (M-341)."""
    _only(iq_type, "get", "login-url")
    if iq_type == "get":
        return LoginUrlRequest(el.get("room"), el.get("machine-uid"), xml.parse_bool(el.get("popup")))
    return LoginUrl(el.get("url"))


def write_login_url(payload: Union[LoginUrlRequest, LoginUrl]) -> str:
    """The payload of a get or of its answer."""
    if isinstance(payload, LoginUrl):
        return xml.element("login-url", {"url": payload.url}, xmlns=xml.NS_FOCUS)
    return xml.element("login-url", {"room": payload.room, "machine-uid": payload.machine_uid,
                                     "popup": payload.popup or None}, xmlns=xml.NS_FOCUS)


class LogoutRequest(NamedTuple):
    """Ends an authentication session (M-342)."""

    session_id: Optional[str] = None

    def __repr__(self) -> str:
        return "LogoutRequest()"


class Logout(NamedTuple):
    """Its answer."""

    logout_url: Optional[str] = None


def parse_logout(el: Any, iq_type: str) -> Union[LogoutRequest, Logout]:
    """Raises Malformed for a get (M-342)."""
    _only(iq_type, "set", "logout")
    if iq_type == "set":
        return LogoutRequest(el.get("session-id"))
    return Logout(el.get("logout-url"))


def write_logout(payload: Union[LogoutRequest, Logout]) -> str:
    """The payload of a set or of its answer."""
    if isinstance(payload, Logout):
        return xml.element("logout", {"logout-url": payload.logout_url}, xmlns=xml.NS_FOCUS)
    return xml.element("logout", {"session-id": payload.session_id}, xmlns=xml.NS_FOCUS)


register(xml.NS_PING, "ping", parse_ping)
register(xml.NS_VERSION, "query", parse_version)
register(xml.NS_LAST, "query", parse_last_activity)
register(xml.NS_HEALTH, "healthcheck", parse_health_check)
register(xml.NS_FOCUS, "login-url", parse_login_url)
register(xml.NS_FOCUS, "logout", parse_logout)
