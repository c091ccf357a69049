"""Twenty thousand hostile stanzas, a tenth of them through a real Prosody; `make hostile` sends a million.

With HOSTILE_SEED in the environment the same once more; otherwise the seed is random, and printed.
"""

from __future__ import annotations

import os
import random

import pytest

from tests.hostile import crowd, scripted
from tests.hostile.templates import Pool
from tests.hostile.verdict import shown

COUNT = 20000
REAL = 2000
SEED = int(os.environ.get("HOSTILE_SEED") or random.SystemRandom().randrange(10 ** 6))


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool(SEED, scripted.pool_size(COUNT))


def test_from_a_server_that_says_anything(pool, capsys):
    result = scripted.run(COUNT - REAL, SEED, 5, pool)
    with capsys.disabled():
        print("\nHOSTILE_SEED=%d: %s" % (SEED, result.figures))
    assert not result.complaints, "HOSTILE_SEED=%d\n%s" % (SEED, shown(result.complaints))
    assert result.figures["stanzas"] == COUNT - REAL and result.figures["broken streams"] >= 2


def test_from_clients_of_a_real_server(pool, capsys):
    result = crowd.run(REAL, SEED, 5, pool)
    with capsys.disabled():
        print("\nHOSTILE_SEED=%d: %s" % (SEED, result.figures))
    assert not result.complaints, "HOSTILE_SEED=%d\n%s" % (SEED, shown(result.complaints))
    assert result.figures["stanzas"] >= 0.9 * REAL


def test_the_same_seed_makes_the_same_stanzas():
    one, other = (Pool(7, 200) for _ in range(2))
    assert one._of == other._of
