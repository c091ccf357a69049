"""The operators' table of what clients are offered is what the focus does (docs/protocol-support.md)."""
from __future__ import annotations

import pathlib
import re
from typing import Any, Dict, Tuple

import pytest

from focus.conference.offer import (
    ASSUMED_FEATURES,
    DEFAULT_CODECS,
    FEATURE_FLAGS,
    Features,
    capabilities_for,
    media_for,
)
from focus.config.options import OPTIONS

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "protocol-support.md"
CODECS = DEFAULT_CODECS._replace(red_enabled=True)
#: What a feature changes outside of media and capabilities: the data channel, the form, who tells of the sources.
ELSEWHERE = {"sctp", "json_sources", "ssrc_rewriting"}


def rows() -> Dict[str, str]:
    """Feature var -> effect, of the page's table."""
    section = PAGE.read_text(encoding="utf-8").split("\n## Clients and what they are offered\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE)
    assert len(found) == len(dict(found)), "a feature stands there twice"
    return dict(found)


def test_every_feature_has_its_row():
    assert list(rows()) == list(FEATURE_FLAGS)


def decided(features: Features) -> Tuple[Any, ...]:
    """All that is decided by features alone."""
    return (media_for(features, CODECS), capabilities_for(features, features.ssrc_rewriting, True, CODECS),
            [getattr(features, name) for name in sorted(ELSEWHERE)])


@pytest.mark.parametrize("var", sorted(FEATURE_FLAGS))
def test_a_row_names_an_effect_exactly_if_there_is_one(var):
    """Beside all others and beside each single other, since some count only together or instead of another."""
    flag = FEATURE_FLAGS[var]
    every = Features(**dict.fromkeys(FEATURE_FLAGS.values(), True))
    around = [every] + [Features(audio=True, video=True)._replace(**{other: True}) for other in FEATURE_FLAGS.values()]
    has_effect = any(decided(one._replace(**{flag: True})) != decided(one._replace(**{flag: False})) for one in around)
    assert has_effect == (rows()[var] != "nothing so far")


def test_options_of_the_table_exist():
    named = {name for text in rows().values() for name in re.findall(r"`([^`]+)`", text)}
    assert named and named <= {option.name for option in OPTIONS}


def test_who_says_nothing():
    """The sentence below the table (J-202, J-203)."""
    assert ASSUMED_FEATURES == Features(audio=True, video=True, sctp=True, assumed=True)
