"""A Colibri request of either version executed, and its answer or refusal written.

A bridge speaks one version or both (K-830). What it doesn't speak it doesn't know: its XMPP library answers such a
request with a service-unavailable that has nothing of Colibri in it.
"""

from __future__ import annotations

import logging
from typing import Any

from focus.demo.bridge.channels import ChannelTable
from focus.demo.bridge.colibri import Refused, Table
from focus.demo.bridge.colibri1 import read_conference, write_conference
from focus.demo.bridge.elements import Malformed
from focus.demo.bridge.journal import Journal
from focus.demo.bridge.knobs import Knobs
from focus.demo.bridge.request import read_request, write_answer
from focus.demo.bridge.station import write_error, write_result
from focus.stanzas.xml import NS_COLIBRI, NS_COLIBRI2, quote

log = logging.getLogger(__name__)

MODIFY = "{%s}conference-modify" % NS_COLIBRI2
CONFERENCE = "{%s}conference" % NS_COLIBRI
SPEAKS = ("1", "2", "both")


class Answers:
    """Executes requests on the two tables. `speaks` is 1, 2 or both."""

    def __init__(
        self, speaks: str, table: Table, channels: ChannelTable, knobs: Knobs, journal: Journal
    ) -> None:
        self._tags = {"1": (CONFERENCE,), "2": (MODIFY,), "both": (MODIFY, CONFERENCE)}[speaks]
        self._table = table
        self._channels = channels
        self._knobs = knobs
        self._journal = journal

    def knows(self, payload: Any) -> bool:
        """Whether this is a request of a version that the bridge speaks."""
        return payload.tag in self._tags

    def answer(self, iq: Any, payload: Any, now: float) -> str:
        """Execute one request that `knows` said yes to and write the answer, result or error."""
        modify = payload.tag == MODIFY
        try:
            return write_result(iq, self._modify(payload, now) if modify else self._conference(iq, payload, now))
        except Malformed as error:
            refused = Refused("bad-request", str(error))
        except Refused as error:
            refused = error
        except (LookupError, TypeError, ValueError, AttributeError, OSError, RuntimeError) as error:
            log.exception("a request failed")
            refused = Refused("internal-server-error", str(error))  # K-440
        self._journal.note("refused", id=iq.get("id"), condition=refused.condition, text=refused.text)
        if modify:
            return write_error(iq, refused.condition, refused.text, _detail(refused), _echo(payload))
        shutdown = refused.reason == "graceful_shutdown"
        child = "<graceful-shutdown xmlns='%s'/>" % NS_COLIBRI if shutdown else ""  # K-742
        return write_error(iq, refused.condition, refused.text, child)

    def _modify(self, payload: Any, now: float) -> str:
        request = read_request(payload)
        self._refuse_as_told(request.kind)
        done = self._table.handle(request, now)
        return write_answer(done.endpoints, done.feedback)

    def _conference(self, iq: Any, payload: Any, now: float) -> str:
        request = read_conference(payload)
        self._refuse_as_told(request.kind)
        done = self._channels.handle(request, now)
        self._channels.conferences[done.id].focus = iq.get("from") or ""
        if not request.id:
            self._journal.note("channel_conference", room=request.name, id=done.id)
        return write_conference(done)

    def _refuse_as_told(self, kind: str) -> None:
        scripted = self._knobs.take_error(kind)
        if scripted is not None:
            raise Refused(scripted.condition, "refused as told", scripted.reason)


def _echo(request: Any) -> str:
    """The request with its attributes and without its children, as the reference puts it into its errors (K-402)."""
    attributes = "".join(
        " %s='%s'" % (name, quote(value)) for name, value in request.attrib.items() if "{" not in name
    )
    return "<conference-modify xmlns='%s'%s/>" % (NS_COLIBRI2, attributes)


def _detail(error: Refused) -> str:
    """The Colibri 2 part of an error (K-401, K-421)."""
    detail = ""
    if error.reason:
        detail += "<error xmlns='%s' reason='%s'/>" % (NS_COLIBRI2, quote(error.reason))
    if error.endpoint:
        detail += "<endpoint xmlns='%s' id='%s'/>" % (NS_COLIBRI2, quote(error.endpoint))
    return detail
