"""The stream parser: whatever arrives, cut anywhere, gives the same elements, and nothing a guest sends ends it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from focus.xmpp import names
from focus.xmpp.arrivals import Arrived, Refused
from focus.xmpp.parser import COMPONENT, MAX_DEPTH, STREAM_END, StreamParser

HEADER = (b"<?xml version='1.0'?><stream:stream xmlns:stream='http://etherx.jabber.org/streams' version='1.0' "
          b"from='auth.meet.example' id='stream-id' xml:lang='en' xmlns='jabber:client'>")
PING = b"<iq type='get' id='%d' from='a@b/c' to='focus@b/focus'><ping xmlns='urn:xmpp:ping'/></iq>"
CAPTURES = Path(__file__).parents[1] / "fixtures" / "captures"


def nested(levels, start=b"<iq type='set' id='deep' from='evil@b/c' to='focus@b/focus'>"):
    return start + b"<x>" * (levels - 1) + b"</x>" * (levels - 1) + b"</iq>"


def long_name(size, what="element"):
    name = b"n" * size
    content = {"element": b"<%s/>" % name, "attribute": b"<x %s='1'/>" % name, "namespace": b"<x xmlns='%s'/>" % name,
               "prefix": b"<x xmlns:%s='urn:x'/>" % name, "end": b"<x>text<%s>more</%s></x>" % (name, name)}[what]
    return b"<iq type='set' id='long' from='evil@b/c' to='focus@b/focus'>%s</iq>" % content


def oversized(size):
    return b"<message from='evil@b/c' id='big'><body>%s</body></message>" % (b"x" * size)


def feed(parts, **settings):
    settings.setdefault("ledger", names.NameLedger())
    parser = StreamParser(**settings)
    items = []
    for part in parts:
        items += parser.feed(part)
    assert parser.failure is None, parser.failure
    return items


def value(element):
    """An element as plain values, without the choice of prefixes and what follows its end."""
    return (element.tag, dict(element.attrib), element.text, [(value(child), child.tail) for child in element])


def summary(items):
    """What matters of the items: the elements' values, or what was refused."""
    return [value(item.element) if isinstance(item, Arrived)
            else (item.kind, item.attrs, item.reason) if isinstance(item, Refused)
            else "end" if item is STREAM_END
            else value(item) for item in items]


def cut(data, places):
    """`data` in pieces, cut at the offsets given."""
    edges = [0] + sorted(places) + [len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:])]


def captured(limit=None):
    stanzas = []
    for file in sorted(CAPTURES.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines()[1:]:
            row = json.loads(line)
            if "xml" in row:
                stanzas.append(row["xml"].encode("utf-8"))
    return stanzas[:limit]


HOSTILE = [
    nested(300),
    nested(5000),
    long_name(60000),
    long_name(60000, "attribute"),
    long_name(60000, "namespace"),
    long_name(2000, "prefix"),
    long_name(2000, "end"),
    oversized(400000),
    b"<message from='evil@b/c' type='groupchat' id='attr' x='%s'/>" % (b"y" * 400000),
    b"<message %s='1' from='evil@b/c' type='groupchat' id='start'><body/></message>" % (b"z" * 3000),
    b"<message from='evil@b/c' id='quotes' to='f'><a b=\"it's > x\"/>%s</message>" % (b"<y>" * 100 + b"</y>" * 100),
]


def test_captured_stanzas_arrive_unchanged():
    stanzas = captured()
    assert len(stanzas) > 200
    items = feed([HEADER] + stanzas)
    expected = [value(etree.fromstring(b"<r xmlns='jabber:client'>" + stanza + b"</r>")[0]) for stanza in stanzas]
    assert summary(items) == expected
    assert all(isinstance(item, Arrived) and item.size > 0 for item in items)
    assert sum(item.size for item in items) == sum(map(len, stanzas))


@pytest.mark.parametrize("how", ["whole", "byte by byte", "sevens"])
def test_cut_makes_no_difference(how):
    stream = HEADER + b" " + b" ".join(captured(40)) + nested(100) + b" " + PING % 7 + b"</stream:stream>"
    step = {"whole": len(stream), "byte by byte": 1, "sevens": 7}[how]
    items = feed([stream[i:i + step] for i in range(0, len(stream), step)])
    assert summary(items) == summary(feed([HEADER, stream[len(HEADER):]]))
    assert items[-1] is STREAM_END and items[-3].attrs["id"] == "deep"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_cuts(data):
    """Any order of ordinary and hostile stanzas, cut at random places, gives each one's result."""
    ordinary = captured(60)
    chosen = data.draw(st.lists(st.one_of(st.sampled_from(ordinary), st.sampled_from(HOSTILE)), min_size=1,
                                max_size=6))
    stream = HEADER + b"".join(chosen) + PING % 1
    generator = random.Random(data.draw(st.integers(0, 2 ** 32)))
    places = [generator.randrange(len(stream)) for _ in range(generator.choice((0, 1, 3, 10, 100, 500)))]
    items = feed(cut(stream, places), stanza_limit=300000)
    assert len(items) == len(chosen) + 1
    for stanza, item in zip(chosen, items):
        assert isinstance(item, Refused if stanza in HOSTILE else Arrived), stanza[:100]
    assert items[-1].element.get("id") == "1"


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda stanza: "%.20r %d" % (stanza[-20:], len(stanza)))
@pytest.mark.parametrize("size", [1, 100, 1400, 16384, 10 ** 7])
def test_hostile_stanza_is_refused_and_the_next_one_arrives(hostile, size):
    stream = HEADER + PING % 1 + hostile + PING % 2
    items = feed([stream[i:i + size] for i in range(0, len(stream), size)], stanza_limit=300000)
    assert [type(item) for item in items] == [Arrived, Refused, Arrived]
    assert [items[0].element.get("id"), items[2].element.get("id")] == ["1", "2"]
    refused = items[1]
    assert refused.kind in ("iq", "message")
    assert refused.attrs["from"] == "evil@b/c" and "id" in refused.attrs and refused.reason
    assert all(item.size > 0 for item in items)
    assert 0 <= len(stream) - len(HEADER) - sum(item.size for item in items) <= len(items)
    assert summary(items)[2] == summary(feed([HEADER, PING % 2]))[0]


def test_depth_limit_is_exact():
    items = feed([HEADER, nested(MAX_DEPTH), nested(MAX_DEPTH + 1), nested(MAX_DEPTH)])
    assert [type(item) for item in items] == [Arrived, Refused, Arrived]


def test_depth_is_of_each_stanza_not_of_a_burst():
    burst = b"".join(nested(MAX_DEPTH) for _ in range(50))
    assert [type(item) for item in feed([HEADER, burst])] == [Arrived] * 50


def test_name_limit_is_exact():
    items = feed([HEADER, long_name(names.MAX_NAME), long_name(names.MAX_NAME + 1), PING % 1])
    assert [type(item) for item in items] == [Arrived, Refused, Arrived]


def test_text_that_looks_like_a_long_name_is_no_name():
    text = b"<message from='a@b/c'><body>token %s= x=\"%s\" it's</body></message>" % (b"A" * 5000, b"B" * 3000)
    items = feed([HEADER, text, text, PING % 1])
    assert [type(item) for item in items] == [Arrived] * 3


def test_markup_that_is_no_element():
    """Comments, CDATA and the like do not confuse the count of levels, also in a stanza that is skipped."""
    odd = b"<!-- <a> ' - ><b> --><![CDATA[<c>'\"]]]]><?pi <d> ?>"
    fine = b"<iq type='set' id='fine' from='a@b/c'><x>%s</x></iq>" % odd
    deep = b"<iq type='set' id='deep' from='a@b/c'>" + odd + b"<x>" * 80 + odd + b"</x>" * 80 + odd + b"</iq>"
    stream = HEADER + fine + deep + PING % 1
    for step in (1, 5, 64, len(stream)):
        items = feed([stream[i:i + step] for i in range(0, len(stream), step)])
        assert [type(item) for item in items] == [Arrived, Refused, Arrived], step


def test_one_stanza_after_another_is_refused():
    stream = b"".join(stanza + PING % n for n, stanza in enumerate(HOSTILE))
    items = feed([HEADER, stream], stanza_limit=300000)
    assert [type(item) for item in items] == [Refused, Arrived] * len(HOSTILE)
    assert [item.element.get("id") for item in items[1::2]] == [str(n) for n in range(len(HOSTILE))]


def test_nothing_gathers_in_the_tree():
    """Neither white space nor elements of unknown kinds stay in the root."""
    parser = StreamParser(ledger=names.NameLedger())
    parser.feed(HEADER)
    for n in range(200):
        parser.feed(b" ")
        items = parser.feed(b" \n <unknown xmlns='urn:x'>text</unknown> " + PING % n + b"   ")
        assert [type(item) for item in items] == [Arrived]
        parser.feed(b"\n" * 50)
        assert len(parser._root) <= 1
        assert parser._root.text is None
        assert items[0].element.getparent() is None


def test_nonzas_come_as_elements_in_order():
    items = feed([HEADER, b"<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>", PING % 1,
                  b"<a xmlns='urn:xmpp:sm:3' h='5'/><r xmlns='urn:xmpp:sm:3'/>"])
    assert [getattr(item, "tag", "stanza") for item in items] == [
        "{http://etherx.jabber.org/streams}features", "stanza", "{urn:xmpp:sm:3}a", "{urn:xmpp:sm:3}r"]


def test_stanza_names_inside_stanzas_are_content():
    forwarded = (b"<message from='a@b/c' id='out'><forwarded xmlns='urn:xmpp:forward:0'>"
                 b"<message xmlns='jabber:client' id='in'><body>x</body></message></forwarded>"
                 b"<r xmlns='urn:xmpp:sm:3'/></message>")
    items = feed([HEADER, forwarded, PING % 1])
    assert [item.element.get("id") for item in items] == ["out", "1"]
    assert items[0].element.find(".//{jabber:client}body").text == "x"


def test_component_stream():
    header = HEADER.replace(b"xmlns='jabber:client'", b"xmlns='jabber:component:accept'")
    parser = StreamParser(namespace=COMPONENT, ledger=names.NameLedger())
    items = parser.feed(header + b"<handshake/>" + PING % 1)
    assert parser.header["id"] == "stream-id"
    assert items[0].tag == "{jabber:component:accept}handshake"
    assert items[1].element.tag == "{jabber:component:accept}iq"


@pytest.mark.parametrize("broken", [b"<iq></message>", b"<iq a='1' a='2'/>", b"<iq>\x01</iq>"])
def test_broken_stream_gives_what_came_before_then_a_failure(broken):
    parser = StreamParser(ledger=names.NameLedger())
    items = parser.feed(HEADER + PING % 1 + PING % 2 + broken)
    items += parser.feed(PING % 3)
    assert [item.element.get("id") for item in items] == ["1", "2"]
    assert parser.failure is not None and parser.failure.condition == "not-well-formed"


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n<html></html>",
                                    b"\x15\x03\x01\x00\x02\x02\x46" * 4000, b"<html>",
                                    b"<?xml version='1.0'?><stream:stream>"])
def test_no_xmpp_server(answer):
    parser = StreamParser(ledger=names.NameLedger())
    assert parser.feed(answer) == []
    assert parser.failure is not None


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_give_items_or_a_failure(data):
    parser = StreamParser(ledger=names.NameLedger())
    parser.feed(HEADER)
    parser.feed(data)
    parser.feed(b"<iq/>")


def test_a_stream_that_declares_entities_is_none():
    parser = StreamParser(ledger=names.NameLedger())
    parser.feed(b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>" + HEADER[21:])
    assert parser.failure is not None


class TestNameLedger:
    """Bytes of names are counted once, whatever the quoting."""

    def test_a_name_counts_once(self):
        ledger = names.NameLedger()
        data = b"<abc def='1' ghi='2'><jkl xmlns='urn:mno'/></abc>"
        assert ledger.note(data)
        once = ledger.name_bytes
        assert once == sum(len(n) + names.NAME_OVERHEAD for n in (b"abc", b"def", b"ghi", b"jkl", b"xmlns", b"urn:mno"))
        for _ in range(3):
            ledger.note(data)
        assert ledger.name_bytes == once

    @pytest.mark.parametrize("template", [b"<x %s='1'/>", b"<x a='1' %s = '2'/>", b'<x %s="1"/>', b"<%s/>",
                                          b"<%s>text</%s>", b"<x>it's<y %s='1'/></x>",
                                          b"<x>say \"<y %s='1'/></x>", b"<x xmlns='%s'/>",
                                          b"<x xmlns:p='%s'/>", b"<x xmlns:%s='urn:y'/>", b"<x>='<y %s='v='>'</y></x>",
                                          b"<x a=\"'\" %s='v'/>", b"<x\t%s\n=\n'1'/>"])
    def test_names_are_found_wherever_they_stand(self, template):
        ledger = names.NameLedger()
        for n in range(5):
            before = ledger.name_bytes
            name = b"unheard-of-name-%d" % n
            ledger.note(template.replace(b"%s", name))
            assert ledger.name_bytes - before >= len(name), template
            assert not ledger.note(template.replace(b"%s", b"n" * 1025))
            assert not ledger.note(template.replace(b"%s", b"n" * 1025)), "also the second time"

    def test_count_is_what_a_flood_of_names_costs(self):
        ledger = names.NameLedger()
        parser = StreamParser(ledger=ledger)
        parser.feed(HEADER)
        for n in range(names.MAX_KEPT + 1000):
            parser.feed(b"<iq type='get' id='1'><name%d/></iq>" % n)
        assert ledger.name_bytes > (names.MAX_KEPT + 1000) * (5 + names.NAME_OVERHEAD)
        assert len(ledger._names) <= names.MAX_KEPT and len(ledger._pieces) <= names.MAX_KEPT
