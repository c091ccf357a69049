"""Entity capabilities (XEP-0115): the ``<c/>`` of presences, and the hash of what disco#info says (C-640)."""
from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, List, NamedTuple, Optional

from focus.stanzas import xml

if TYPE_CHECKING:
    from focus.stanzas.disco import DiscoInfo

#: Hash names of XEP-0300 that we compute -> hashlib's names.
HASHES = {"sha-1": "sha1", "sha-224": "sha224", "sha-256": "sha256", "sha-384": "sha384", "sha-512": "sha512"}

#: Longer values of an attribute of ``<c/>`` make it unusable: it becomes a key of a cache that everybody
#: fills.
MAX_LENGTH = 256


class Caps(NamedTuple):
    """The ``<c/>`` of a presence."""

    node: str
    ver: str
    hash: str = ""

    @property
    def key(self) -> str:
        """``node#ver``: the node to ask with, and the cache's key."""
        return "%s#%s" % (self.node, self.ver)


def parse_caps(el: Any) -> Optional[Caps]:
    """The value of a ``<c/>``; None if node or ver is missing or too long."""
    node = el.get("node", "")
    ver = el.get("ver", "")
    algorithm = el.get("hash", "")
    if not node or not ver or len(node) > MAX_LENGTH or len(ver) > MAX_LENGTH or len(algorithm) > 32:
        return None
    return Caps(node, ver, algorithm)


def write_caps(caps: Caps) -> str:
    """The ``<c/>``."""
    values = {"hash": caps.hash or None, "node": caps.node, "ver": caps.ver}
    return xml.element("c", values, xmlns=xml.NS_CAPS)


def verification_text(info: DiscoInfo) -> Optional[str]:
    """The text that is hashed (XEP-0115 5.1); None if the answer is ill-formed (5.4, step 3).

    No identity at all is well-formed here: LJM's answers have none (C-640).
    """
    identities = ["%s/%s/%s/%s" % (i.category, i.type, i.lang, i.name) for i in info.identities]
    if len(set(identities)) != len(identities) or len(set(info.features)) != len(info.features):
        return None
    parts: List[str] = sorted(identities)
    parts += sorted(info.features)
    forms = {}
    for form in info.forms:
        form_type = None
        for field in form.fields:
            if field.var == "FORM_TYPE" and field.type == "hidden":
                if len(set(field.values)) != 1 or form_type is not None:
                    return None
                form_type = field.values[0]
        if form_type is None:
            continue  # a form without a type doesn't count (5.4, step 3.6)
        if form_type in forms:
            return None
        forms[form_type] = form
    for form_type in sorted(forms):
        parts.append(form_type)
        fields = sorted((f.var, sorted(f.values)) for f in forms[form_type].fields if f.var != "FORM_TYPE")
        for var, values in fields:
            parts.append(var)
            parts += values
    # '<' ends each part; one inside a part is counted as it stands in the XML, so nobody can forge an end.
    return "".join(part.replace("<", "&lt;") + "<" for part in parts)


def compute_ver(info: DiscoInfo, algorithm: str = "sha-1") -> Optional[str]:
    """The ``ver`` of what the answer says; None if it is ill-formed or we don't know the hash."""
    name = HASHES.get(algorithm)
    text = verification_text(info) if name else None
    if name is None or text is None:
        return None
    return base64.b64encode(hashlib.new(name, text.encode("utf-8", "replace")).digest()).decode("ascii")


def verify(caps: Caps, info: DiscoInfo) -> bool:
    """Whether the answer is what ``caps`` announced: only then may it be used for others too (XEP-0115
    5.4)."""
    ver = compute_ver(info, caps.hash)
    return ver is not None and ver == caps.ver
