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
    'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:karat="urn:karat:label:1">'
)
END = "</rdf:Description>"
ELEMENTS = {KEYWORD: "TC260:AIGC", OWN: "karat:Label"}
OURS = re.compile(re.escape(BEGIN) + ".*?" + re.escape(END), re.DOTALL)
FOUND = {  # as an element or as an attribute
    key: re.compile(rf"<{name}>(.*?)</{name}>|\s{name}=\"([^\"]*)\"|\s{name}='([^']*)'", re.DOTALL)
    for key, name in ELEMENTS.items()
}


def packet(former: str | None, texts: Texts | None) -> str | None:
    """The packet of before with this label and no other, or without any; None where nothing is left to say."""
    kept = OURS.sub("", former or "")
    for found in FOUND.values():
        kept = found.sub("", kept)
    before, closing, after = kept.rpartition("</rdf:RDF>")
    if not closing or kept == HEAD + TAIL:
        return None if texts is None else HEAD + _block(texts) + TAIL
    return kept if texts is None else before + _block(texts) + closing + after


def words(found: str) -> list[tuple[str, str]]:
    """Each text of a label in a packet, by its keyword."""
    return [
        (key, html.unescape(next(group for group in match.groups() if group is not None)))
        for key, pattern in FOUND.items()
        for match in pattern.finditer(found)
    ]


def _block(texts: Texts) -> str:
    parts = [("Iptc4xmpExt:DigitalSourceType", SOURCE_TYPE), ("xmp:CreatorTool", texts.tool)]
    parts += [("karat:Says", texts.says), *((ELEMENTS[key], text) for key, text in texts.entries.items())]
    return BEGIN + "".join(f"<{name}>{escape(text)}</{name}>" for name, text in parts) + END
