"""Stanza errors as values: what we answer (S-106), what a peer answered (K-401, K-403), and the exception of
parsers.

This module knows no XML; ``focus.stanzas.stanza`` reads and writes the values.
"""
from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

#: Condition -> the error type it has when nobody says otherwise (S-106, RFC 6120 8.3.3).
ERROR_TYPES = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "modify",
    "unexpected-request": "wait",
}


class StanzaError(NamedTuple):
    """An error that we answer with. ``type`` may be empty: then it's the usual one of the condition."""

    type: str
    condition: str
    text: str = ""
    extra: Tuple[str, ...] = ()
    """Application conditions, each as written XML; they follow the text (C-240, J-502)."""


def stanza_error(condition: str, text: str = "", *extra: str) -> StanzaError:
    """The error of that condition with the type it usually has (S-106)."""
    return StanzaError(ERROR_TYPES.get(condition, "cancel"), condition, text, extra)


class ParsedError(NamedTuple):
    """An error that a peer answered with. ``condition`` is what counts; ``type`` is for logs only (K-401)."""

    type: str
    condition: str
    text: str = ""
    colibri_reason: Optional[str] = None
    """Reason of a Colibri 2 ``<error/>`` (K-403); one that we don't know is ``unspecified``; None: no such
    child."""
    colibri_endpoint: Optional[str] = None
    """The endpoint that the Colibri 2 ``<error/>`` names, or None."""
    application: Tuple[Tuple[str, str], ...] = ()
    """(namespace, local name) of the other application conditions."""


class Malformed(Exception):
    """A payload that can't be read. As payload of an ``Iq`` it says how to answer.

    ``condition`` is the defined condition of the answer (``bad-request``, ``jid-malformed``, …), ``text``
    names the fault for people.
    """

    def __init__(self, condition: str, text: str) -> None:
        super().__init__(condition, text)
        self.condition = condition
        self.text = text

    @property
    def error(self) -> StanzaError:
        """The answer."""
        return stanza_error(self.condition, self.text)

    def __str__(self) -> str:
        return "%s: %s" % (self.condition, self.text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Malformed) and self.args == other.args

    def __hash__(self) -> int:
        return hash(self.args)
