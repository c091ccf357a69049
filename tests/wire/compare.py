"""Compares two stanzas element by element and names each difference by an XPath."""
from __future__ import annotations

import json
from typing import Any, Dict, List, Tuple

from lxml import etree

#: Elements that stand for a thing of their own are paired by what names it, all others by their order.
KEYS = {"content": ("name",), "payload-type": ("id",), "parameter": ("name",), "rtp-hdrext": ("id",),
        "rtcp-fb": ("type", "subtype"), "source": ("ssrc",), "media": ("type",), "media-source": ("type", "id"),
        "capability": ("name",), "candidate": ("id",), "endpoint": ("id",)}
#: Of these the key is shown in the path; of the others it differs from call to call.
SHOWN = ("content", "payload-type", "parameter", "rtp-hdrext", "rtcp-fb", "media", "capability")
#: Either order was seen (K-214).
UNORDERED = ("media",)


def differences(ours: Any, theirs: Any) -> List[str]:
    """XPaths of what isn't the same, relative to the common root.

    ``+path``: only ours has it, ``-path``: only theirs, ``path``: the value differs, ``path/order()``: the order of
    children does.
    """
    found: List[str] = []
    _compare(ours, theirs, "/" + etree.QName(theirs).localname, found)
    return found


def _compare(ours: Any, theirs: Any, path: str, found: List[str]) -> None:
    if ours.tag != theirs.tag:
        found.append(path + "/name()")
    _compare_maps(dict(ours.attrib), dict(theirs.attrib), path + "/@", found)
    our_text, their_text = (ours.text or "").strip(), (theirs.text or "").strip()
    if etree.QName(theirs).localname == "json-message":
        _compare_json(json.loads(our_text), json.loads(their_text), path, found)
    elif our_text != their_text:
        found.append(path + "/text()")
    our_children, their_children = _keyed(ours), _keyed(theirs)
    for key, child in our_children.items():
        step = path + "/" + _step(child)
        if key not in their_children:
            found.append("+" + step)
        else:
            _compare(child, their_children[key], step, found)
    found += ["-" + path + "/" + _step(child) for key, child in their_children.items() if key not in our_children]
    _compare_order(our_children, their_children, path, found)


def _compare_order(ours: Dict[tuple, Any], theirs: Dict[tuple, Any], path: str, found: List[str]) -> None:
    """Among children of one name the order is theirs."""
    common = [key for key in ours if key in theirs]
    for tag in sorted({key[0] for key in common}):
        if etree.QName(tag).localname not in UNORDERED:
            wanted = [key for key in theirs if key in ours and key[0] == tag]
            if [key for key in common if key[0] == tag] != wanted:
                found.append("%s/%s/order()" % (path, etree.QName(tag).localname))


def _compare_maps(ours: Dict[str, Any], theirs: Dict[str, Any], path: str, found: List[str]) -> None:
    found += ["+" + path + str(name) for name in sorted(set(ours) - set(theirs))]
    found += ["-" + path + str(name) for name in sorted(set(theirs) - set(ours))]
    found += [path + str(name) for name in sorted(set(ours) & set(theirs)) if ours[name] != theirs[name]]


def _compare_json(ours: Any, theirs: Any, path: str, found: List[str]) -> None:
    if isinstance(ours, dict) and isinstance(theirs, dict):
        # The keys of a source are short words, all others are ids that differ from call to call.
        steps = {name: path + "/" + (name if len(name) < 8 and name != "jvb" else "*")
                 for name in set(ours) | set(theirs)}
        found += ["+" + steps[name] for name in sorted(set(ours) - set(theirs))]
        found += ["-" + steps[name] for name in sorted(set(theirs) - set(ours))]
        for name in sorted(set(ours) & set(theirs)):
            _compare_json(ours[name], theirs[name], steps[name], found)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for our_item, their_item in zip(ours, theirs):
            _compare_json(our_item, their_item, path, found)
    elif ours != theirs:
        found.append(path)


def _keyed(el: Any) -> Dict[tuple, Any]:
    children: Dict[tuple, Any] = {}
    for child in el:
        name = etree.QName(child).localname
        key: Tuple[Any, ...] = (child.tag, *(child.get(attribute) for attribute in KEYS.get(name, ())))
        while key in children:
            key += ("again",)
        children[key] = child
    return children


def _step(el: Any) -> str:
    name = etree.QName(el).localname
    if name not in SHOWN:
        return name
    return name + "".join("[@%s='%s']" % (attribute, el.get(attribute)) for attribute in KEYS[name]
                          if el.get(attribute) is not None)


def child_order(el: Any) -> List[str]:
    """Local names of the children, repetitions left out."""
    names: List[str] = []
    for child in el:
        name = etree.QName(child).localname
        if not names or names[-1] != name:
            names.append(name)
    return names
