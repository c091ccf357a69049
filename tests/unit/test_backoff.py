"""Never a loop without back-off: how often a bridge is asked that fails every time (B-643, B-641, B-701, U-16)."""
from __future__ import annotations

import collections
from typing import Any, List

import pytest

from focus.conference.state import ENDED
from tests.support.harness import Scene, colibri_error, kinds

MINUTES = 5
MOST = 24 * MINUTES
"""Requests to one bridge: one in 2.5 s, and those only while a conference of an earlier focus is cleared away."""
ANSWERS = {
    "timeout": None,
    "nonsense": "",
    "incomplete": "<conference-modified xmlns='jitsi:colibri2'/>",
    "conference_not_found": colibri_error("item-not-found", "conference_not_found"),
    "occupant gone": colibri_error("item-not-found"),
    "conference_already_exists": colibri_error("conflict", "conference_already_exists"),
    "endpoint exists": colibri_error("conflict"),
    "graceful_shutdown": colibri_error("service-unavailable", "graceful_shutdown"),
    "starting": colibri_error("service-unavailable"),
    "bad-request": colibri_error("bad-request"),
    "internal-server-error": colibri_error("internal-server-error"),
    "forbidden": colibri_error("forbidden"),
    "no SCTP": colibri_error("feature-not-implemented"),
    "resource-constraint": colibri_error("resource-constraint"),
}


def creates(request) -> bool:
    return request.find(".//*[@create='true']") is not None


def play(scene: Scene, answer, fails) -> collections.Counter:
    """Everybody asks and answers for some minutes of the scene's time, requests that ``fails`` picks as given.

    Returns how many requests of each kind were made of bridges; one without an answer ends after 15 s.
    """
    asked: collections.Counter = collections.Counter()
    late: List[Any] = []
    end = scene.now + 60 * MINUTES
    while scene.now < end and not scene.ended:
        mail = [message for at, message in late if at <= scene.now]
        late = [(at, message) for at, message in late if at > scene.now]
        for request in [el for el in scene.take() if el.get("type") in ("get", "set")]:
            if "conference-modify" in kinds(request):
                asked["creation" if creates(request) else "other"] += 1
                if fails(request):
                    if answer is None:
                        late.append((scene.now + 15.0, scene.timeout(request)))
                    else:
                        mail.append(scene.answer(request, answer, "error" if "<error" in answer else "result"))
                    continue
            mail.append(scene.proper_answer(request))
            if "session-initiate" in kinds(request):
                mail.append(scene.accept(request.get("to").rpartition("/")[2]))
        if mail:
            scene.mail(*mail)
        else:
            scene.pass_time(0.25)
        for event in scene.bridges.recovered(scene.now):
            assert event.kind == "usable"
    return asked


@pytest.mark.parametrize("bridges", [1, 2])
@pytest.mark.parametrize("failure", sorted(ANSWERS))
def test_every_allocation_fails(failure: str, bridges: int) -> None:
    """B-643, B-641, B-701, K-441, K-470 to K-477: in five minutes, three participants and no success."""
    scene = Scene(bridges=bridges, colibri=2).join("anna0001", "bo000002", "carla003")
    asked = play(scene, ANSWERS[failure], creates)
    assert asked["creation"] >= 2 and sum(asked.values()) <= MOST * bridges


@pytest.mark.parametrize("bridges", [1, 2])
@pytest.mark.parametrize("failure", sorted(ANSWERS))
def test_every_update_fails(failure: str, bridges: int) -> None:
    """B-652, B-655, K-480, K-481: they are created, and what comes after is refused: a call that never stands."""
    scene = Scene(bridges=bridges, colibri=2).join("anna0001", "bo000002", "carla003")
    asked = play(scene, ANSWERS[failure], lambda request: not creates(request))
    assert asked["creation"] >= 3 and sum(asked.values()) <= MOST * bridges
    assert all(participant.phase != ENDED for participant in scene.state.participants.values())
