"""What the tests of killed runs share: one run without a kill."""

from __future__ import annotations

from typing import Iterator, List

import pytest

from tests.chaos.nursery import Nursery
from tests.chaos.script import Outcome, play


@pytest.fixture(scope="session")
def nurseries() -> Iterator[List[Nursery]]:
    """Two, so that a process and the next one never have the order of sets in common."""
    with Nursery(1) as one, Nursery(2) as other:
        yield [one, other]


@pytest.fixture(scope="session")
def unkilled(tmp_path_factory: pytest.TempPathFactory, nurseries: List[Nursery]) -> Outcome:
    """The scripted call as it goes when nobody is killed."""
    return play(tmp_path_factory.mktemp("unkilled"), nurseries=nurseries)
