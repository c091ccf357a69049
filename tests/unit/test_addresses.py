"""Addresses: rooms as keys (C-210…C-216), parts, the sender behind a client proxy (C-104)."""
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from focus.values.addresses import (
    BadAddress,
    bare,
    domain,
    local,
    normalise_room,
    prepare_jid,
    real_sender,
    resource,
)

HOST = "conference.meet.example"


@pytest.mark.parametrize("written, key", [
    ("standup@conference.meet.example", "standup@conference.meet.example"),
    ("StandUp@Conference.Meet.example", "standup@conference.meet.example"),  # C-211
    ("standup@conference.my_team.meet.example", "standup@conference.my_team.meet.example"),  # C-210
    ("a@caf%c3%a9.conference.meet.example", "a@caf%c3%a9.conference.meet.example"),
    ("caf%c3%a9@" + HOST, "caf%c3%a9@" + HOST),  # C-212
    ("a\\20b@" + HOST, "a\\20b@" + HOST),
    ("[acme]standup@" + HOST, "[acme]standup@" + HOST),  # C-215
    ("café@" + HOST, "café@" + HOST),
    ("cafe\u0301@" + HOST, "café@" + HOST),  # NFC
    ("CAFÉ@" + HOST, "café@" + HOST),
    ("\uff32\uff4f\uff4f\uff4d@" + HOST, "room@" + HOST),  # full width
    ("straße@" + HOST, "strasse@" + HOST),  # as servers fold it
    ("\ufb01sh@" + HOST, "fish@" + HOST),  # a ligature, which servers take for two letters
    ("комната@" + HOST, "комната@" + HOST),
    ("会議@" + HOST, "会議@" + HOST),
    ("שלום@" + HOST, "שלום@" + HOST),
    ("a@bücher.example", "a@bücher.example"),
    ("a@BÜCHER.example", "a@bücher.example"),
    ("a@conference。meet。example", "a@conference.meet.example"),
    ("a@conference.meet.example.", "a@conference.meet.example"),
    ("!#$%()*+,-.;=?[\\]^_`{|}~@" + HOST, "!#$%()*+,-.;=?[\\]^_`{|}~@" + HOST),
    ("a" * 1023 + "@" + HOST, "a" * 1023 + "@" + HOST),
])
def test_rooms_that_are_the_same(written: str, key: str) -> None:
    assert normalise_room(written) == key
    assert normalise_room(key) == key


@pytest.mark.parametrize("written, condition", [
    (None, "bad-request"),
    ("", "bad-request"),
    (HOST, "bad-request"),
    ("@" + HOST, "bad-request"),
    ("a@b@" + HOST, "jid-malformed"),
    ("a b@" + HOST, "jid-malformed"),
    (" a@" + HOST, "jid-malformed"),
    ("a\u00a0b@" + HOST, "jid-malformed"),
    ("a\tb@" + HOST, "jid-malformed"),
    ("a\x7f@" + HOST, "jid-malformed"),
    ("a\u200bb@" + HOST, "jid-malformed"),
    ("a\"b@" + HOST, "jid-malformed"),
    ("a&b@" + HOST, "jid-malformed"),
    ("a'b@" + HOST, "jid-malformed"),
    ("a/b@" + HOST, "jid-malformed"),
    ("a:b@" + HOST, "jid-malformed"),
    ("a<b>@" + HOST, "jid-malformed"),
    ("a\uff20b@" + HOST, "jid-malformed"),  # becomes an @
    ("\u00aa@" + HOST, "jid-malformed"),  # servers take it for an a
    ("☃@" + HOST, "jid-malformed"),
    ("aא@" + HOST, "jid-malformed"),  # two directions
    ("\ud800@" + HOST, "jid-malformed"),
    ("a" * 1024 + "@" + HOST, "jid-malformed"),
    ("é" * 512 + "@" + HOST, "jid-malformed"),
    ("a" * 100_000 + "@" + HOST, "jid-malformed"),
    ("a@", "jid-malformed"),
    ("a@.example", "jid-malformed"),
    ("a@conference..example", "jid-malformed"),
    ("a@-conference.example", "jid-malformed"),
    ("a@conference-.example", "jid-malformed"),
    ("a@conference.example/x", "jid-malformed"),
    ("a@conference example", "jid-malformed"),
    ("a@conference:5222", "jid-malformed"),
    ("a@" + "b" * 1024, "jid-malformed"),
    ("a@" + "é" * 64 + ".example", "jid-malformed"),
])
def test_rooms_that_are_none(written: str, condition: str) -> None:
    with pytest.raises(BadAddress) as refused:
        normalise_room(written)
    assert refused.value.condition == condition
    assert refused.value.text


@pytest.mark.parametrize("written", ["a@my_team.meet.example", "a@caf%c3%a9.meet.example"])
def test_the_allowance_for_tenants_can_be_turned_off(written: str) -> None:
    assert normalise_room(written) == written
    with pytest.raises(BadAddress) as refused:
        normalise_room(written, jitsi_validation=False)
    assert refused.value.condition == "jid-malformed"
    assert normalise_room("a@conference.meet.example", jitsi_validation=False) == "a@conference.meet.example"


@pytest.mark.parametrize("jid, parts", [
    ("anna@meet.example/x7", ("anna@meet.example", "anna", "meet.example", "x7")),
    ("meet.example", ("meet.example", "", "meet.example", "")),
    ("meet.example/a@b/c", ("meet.example", "", "meet.example", "a@b/c")),
    ("anna@meet.example", ("anna@meet.example", "anna", "meet.example", "")),
    ("", ("", "", "", "")),
])
def test_parts(jid: str, parts: tuple) -> None:
    assert (bare(jid), local(jid), domain(jid), resource(jid)) == parts


@pytest.mark.parametrize("written, prepared", [
    ("Anna@Meet.example/X7", "anna@meet.example/X7"),
    ("meet.example", "meet.example"),
    ("meet.example/a/b@c", "meet.example/a/b@c"),
    ("anna@meet.example/a\u00a0b", "anna@meet.example/a b"),
])
def test_addresses(written: str, prepared: str) -> None:
    assert prepare_jid(written) == prepared


@pytest.mark.parametrize("written", [
    None, "", "@meet.example", "anna@", "anna@meet.example/", "a b@meet.example", "/x", "anna@meet.example/\x01",
    "a@b@meet.example", "anna@meet.example/" + "x" * 1024, "x" * 10_000,
])
def test_addresses_that_are_none(written: str) -> None:
    with pytest.raises(BadAddress) as refused:
        prepare_jid(written)
    assert refused.value.condition == "jid-malformed"


PROXY = "focus.meet.example"


@pytest.mark.parametrize("from_, proxy, sender", [
    (PROXY + "/anna1@meet.example/x7", PROXY, "anna1@meet.example/x7"),
    ("whoever@" + PROXY + "/anna1@meet.example/x7", PROXY, "anna1@meet.example/x7"),  # the local part is dropped
    (PROXY + "/anna1@meet.example/x7", PROXY.upper(), "anna1@meet.example/x7"),
    (PROXY + "/anna1@meet.example/x7", None, PROXY + "/anna1@meet.example/x7"),  # C-105
    (PROXY + "/anna1@meet.example/x7", "other.example", PROXY + "/anna1@meet.example/x7"),
    (PROXY, PROXY, PROXY),
    (PROXY + "/a b@c", PROXY, PROXY + "/a b@c"),  # no valid address in it
    ("anna1@meet.example/x7", PROXY, "anna1@meet.example/x7"),
    ("anna1@meet.example/%s/x@y" % PROXY, PROXY, "anna1@meet.example/%s/x@y" % PROXY),
])
def test_the_sender_behind_a_proxy(from_: str, proxy: str, sender: str) -> None:
    assert real_sender(from_, proxy) == sender


@given(st.text(max_size=40))
def test_any_text_is_a_room_or_refused(text: str) -> None:
    for written in (text, text + "@" + HOST, "a@" + text):
        try:
            key = normalise_room(written)
        except BadAddress as refused:
            assert refused.condition in ("bad-request", "jid-malformed")
        else:
            assert normalise_room(key) == key
            assert local(key) and domain(key) and not resource(key)
            key.encode("utf-8")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        prepared = prepare_jid(text)
    except BadAddress as refused:
        assert refused.condition == "jid-malformed"
    else:
        assert prepare_jid(prepared) == prepared
