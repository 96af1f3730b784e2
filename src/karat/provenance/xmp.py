"""The label of origin as a part of an XMP packet, in which pictures carry it (TC260-PG-20259A).

XMP: ISO 16684-1. The source type: IPTC Photo Metadata Standard, Digital Source Type.
"""

from __future__ import annotations

import html
import re
from xml.sax.saxutils import escape

from karat.provenance.label import KEYWORD, OWN, SOURCE_TYPE, Texts

HEAD = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
)
TAIL = '</rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
BEGIN = (
    '<rdf:Description rdf:about="" xmlns:TC260="http://www.tc260.org.cn/ns/AIGC/1.0/" '
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:karat="urn:karat:label:1">'
    f"<Iptc4xmpExt:DigitalSourceType>{SOURCE_TYPE}</Iptc4xmpExt:DigitalSourceType>"
)
END = "</rdf:Description>"
ELEMENTS = {KEYWORD: "TC260:AIGC", OWN: "karat:Label"}
OURS = re.compile(  # and nothing else in it: what was changed there is somebody else's
    re.escape(BEGIN) + "".join(f"(?:<{name}>[^<]*</{name}>)?" for name in ELEMENTS.values()) + re.escape(END)
)
FOUND = {  # as an element or as an attribute; each search ends where the next begins, so that many without an end cost no more
    key: re.compile(rf"<{name}>((?:(?!<{name}>).)*?)</{name}>|\s{name}=\"([^\"]*)\"|\s{name}='([^']*)'", re.DOTALL)
    for key, name in ELEMENTS.items()
}


def packet(former: str | None, texts: Texts | None) -> str | None:
    """The packet of before with this label and no other, or without any; None where nothing is left to say."""
    kept = OURS.sub("", former or "")
    for found in FOUND.values():
        kept = found.sub("", kept)
    nothing = not kept.strip() or kept == HEAD + TAIL
    if texts is None:
        return None if nothing else kept
    before, closing, after = kept.rpartition("</rdf:RDF>")
    merged = before + _block(texts) + closing + after
    if nothing or not closing or words(merged) != [*texts.entries.items()]:  # what was there is no packet
        return HEAD + _block(texts) + TAIL
    return merged


def words(found: str) -> list[tuple[str, str]]:
    """Each text of a label in a packet, by its keyword."""
    return [
        (key, html.unescape(next(group for group in match.groups() if group is not None)))
        for key, pattern in FOUND.items()
        for match in pattern.finditer(found)
    ]


def _block(texts: Texts) -> str:
    parts = [(ELEMENTS[key], texts.entries[key]) for key in ELEMENTS if key in texts.entries]
    return BEGIN + "".join(f"<{name}>{escape(text)}</{name}>" for name, text in parts) + END
