"""In which encoding bytes are text that is not UTF-8: two opinions, and what to ask a person where they differ.

Ours goes by what the characters would be: letters of one language's alphabet, common characters of Chinese, Japanese or Korean.
The other is charset-normalizer's (https://charset-normalizer.readthedocs.io), which goes by noise and by letter frequencies.
"""

from __future__ import annotations

import codecs
import math
import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from charset_normalizer import from_bytes

from karat.errors import FitError

SAMPLE = 2**17  # bytes that are judged
SURE, MARGIN = (
    0.9,
    0.1,
)  # our score of a reading, and its lead before the next, at which being plausible to the other is enough
DAMAGED = 0.02  # of the characters beyond ASCII, that may be damaged
POOR = 0.7  # a reading below it is none
PLAIN = 0.8  # the score of characters that are all of a standard's first level, though few of them are common ones
FREQUENT = 0.55  # the fraction of letters that a script's most frequent dozen makes up, of text that is read rightly

_WESTERN = {
    "French": "àâçéèêëîïôùûüœæÿ",
    "German": "äöüß",
    "Spanish": "áéíóúñü",
    "Catalan": "àçéèíïóòúü",
    "Portuguese": "áâãàçéêíóôõúü",
    "Italian": "àèéìíòóùú",
    "Dutch": "éëïèöüáóê",
    "Nordic": "åäöæøéü",
    "Icelandic": "áéíóúýðþæö",
}
_CENTRAL = {
    "Polish": "ąćęłńóśźż",
    "Czech": "áčďéěíňóřšťúůýž",
    "Slovak": "áäčďéíľňóôšťúýž",
    "Hungarian": "áéíóöőúüű",
    "Croatian": "čćđšž",
    "Romanian": "ăâîşţ",
    "German": "äöüß",
}
_CYRILLIC = {
    "Russian": "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "Ukrainian": "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя",
    "Serbian": "абвгдђежзијклљмнњопрстћуфхцчџш",
}
_MIXED = {"names of many lands": "áàâäãåçéèêëíìîïñóòôöõøúùûüßæ"}
_GREEK = {"Greek": "αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ"}
ALPHABETS: dict[str, dict[str, str]] = {
    "cp1252": {**_WESTERN, **_MIXED},
    "mac_roman": {**_WESTERN, **_MIXED},
    "cp850": {**_WESTERN, **_MIXED},
    "cp1250": _CENTRAL,
    "iso8859_2": _CENTRAL,
    "cp852": _CENTRAL,
    "cp1251": _CYRILLIC,
    "koi8_r": _CYRILLIC,
    "koi8_u": _CYRILLIC,
    "iso8859_5": _CYRILLIC,
    "cp866": _CYRILLIC,
    "mac_cyrillic": _CYRILLIC,
    "cp1253": _GREEK,
    "iso8859_7": _GREEK,
    "cp1254": {"Turkish": "çğıİöşüâî"},
    "cp1255": {"Hebrew": "".join(map(chr, range(0x5B0, 0x5EB)))},
    "cp1256": {"Arabic": "".join(map(chr, range(0x621, 0x653))) + "پچژگکیهۀ\u200c\u200d"},
    "cp1257": {"Lithuanian": "ąčęėįšųūž", "Latvian": "āčēģīķļņšūž", "Estonian": "äöüõšž"},
    "cp1258": {"Vietnamese": "ăâđêôơưàáèéìíòóùúý\u0300\u0301\u0303\u0309\u0323"},
    "cp874": {"Thai": "".join(map(chr, range(0xE01, 0xE5C)))},
}
_FREQUENT = {  # letters that make up some 60 % of texts of these scripts
    "Russian": "оеаинтрслвк",
    "Ukrainian": "оаинтвіерск",
    "Serbian": "аоиенрјтсвк",
    "Greek": "αοιετσνηυρςάί",
    "Hebrew": "יהולאבתרשמנ",
    "Arabic": "ايلنمتورهبعةد",
    "Thai": "นรากเทมยลวดสงอัี่้",
}
_LETTER = r"(?:[^\W\d_]|[\u0300-\u036f\u05b0-\u05c7\u064b-\u0652\u0e31-\u0e4e])"  # with the marks that combine with one
_SIGNS = frozenset("€£¥§©«®°±²³µ·»¼½¾¿¡‘’“”„–—…™\xa0´ªº№•‚‹›×")
_HANZI = frozenset(
    "的一是了我不人在他有这个上们来到时大地为子中你说生国年着就那和要她出也得里后自以会家可下而过天去能对小多然于心学么之都好"
    "看起发当没成只如事把还用第样道想作种开美总从无情己面最女但现前些所同日手又行意动方期它头经长儿回位分爱老因很给名法间知世"
    "什两次使身者被高已其进此话常与活正感见明问力理点文几定本公特做外相西果走将月十实向声车全信重三机工物气每并别真打太新比才"
    "便书部水像等体加电主界门利海受听表少代员许先口由死安写性马光白或住难教命花结色北京上海广州深圳市省区县镇村路街号东南"
    "张王李刘陈杨赵黄周吴姓男编备注客户付款元价格数量单品类型状态日期城订请联系退货申请完款发没题"
)
_HANZI_OLD = frozenset(
    "的一是了我不人在他有這個上們來到時大地為子中你說生國年著就那和要她出也得裡後自以會家可下而過天去能對小多然於心學麼之都好"
    "看起發當沒成只如事把還用第樣道想作種開美總從無情己面最女但現前些所同日手又行意動方期它頭經長兒回位分愛老因很給名法間知世"
    "什兩次使身者被高已其進此話常與活正感見明問力理點文幾定本公特做外相西果走將月十實向聲車全信重三機工物氣每並別真打太新比才"
    "便書部水像等體加電主界門利海受聽表少代員許先口由安寫性馬光白或住難教命花結色臺北高雄中南新竹市縣區鄉路街號東"
    "張王李劉陳楊趙黃周吳林姓男編備註客戶付款元價格數量單品類型狀態日期城訂請聯繫退貨申請完題"
)
_HANGUL = frozenset(
    "이다는에의을가고하지로한기서도사은를대시자니어인리나아정수해일있그전라만보제여부주스장원과공구상관동들거면소문게연경세안성조"
    "오비신화적진간생위유것계국요선마중무등내우명미행금물방양습민년강박최김준영현산학교심개저두모호치실반되와으때산업품결송류단월"
    "천서울특별광역객입출남북회접않없합까지음건점발용했됐였든더차카트드그르크프론타토파피하노누바버불필요청취소번호름메평본복립석"
)
_KANJI = frozenset(
    "日本人年月大会社国東京都市中田山一二三十上下出学生時分間名前川子佐藤鈴木高橋伊渡辺小林加吉村井松阪横浜区町県府道北海名古屋"
    "金額数量品様支払済発送待問題連絡注文商客円備考番号氏住所電話部長新見行来事者自地方場業作用内外先無有全女男口水火"
)
_TSV = frozenset("、。「」・ー！？（）：；，．％＋－～『』【】《》…—“”‘’\u3000￥＆／＝")


@dataclass(frozen=True)
class Judgement:
    """encoding: the one taken, None where no reading is plausible.   other: a second reading that could be meant."""

    encoding: str | None
    other: str | None = None

    def question(self, sample: bytes, place: str) -> str:
        """Which of two encodings is right, with a line of the sample read both ways; "" where only one is plausible."""
        if self.encoding is None or self.other is None:
            return ""
        one, two = _shown(sample, self.encoding, self.other), _shown(sample, self.other, self.encoding)
        return (
            f"{place} is not UTF-8 and can be read in two ways: as {self.encoding} {one}, as {self.other} {two}. "
            f"Say which is right, or name another: --set data.encoding={self.encoding}."
        )


def judge(sample: bytes) -> Judgement:
    """What the two opinions make of `sample`, bytes that are not UTF-8 and end with a whole line."""
    sample = _cut(sample)
    text = sample.decode("utf-8", "replace")
    if text.isascii():
        return Judgement(None)
    if sum(c > "\x7f" and c != "\ufffd" for c in text) > 3 * text.count("\ufffd"):  # a few damaged bytes
        return Judgement(None)
    western = sample.decode("cp1252", "replace")
    signs = all(c in _SIGNS for c in western if c > "\x7f") and not re.search(r"[^\x00-\x7f]{2}", western)
    if signs and score(sample, "cp1252") >= SURE:
        return Judgement(
            "cp1252"
        )  # signs alone, as in 20 °C, none beside another as the halves of a wide character are
    theirs = _second(sample)
    ours = sorted(((score(sample, name), name) for name in candidates()), key=lambda one: -round(one[0], 2))
    (value, best), *others = ours
    best = next(name for name in candidates() if _same(sample, best, name))  # the commonest of those that read it alike
    rivals = [(mark, name) for mark, name in others if not _same(sample, best, name)]
    if value < POOR or (not theirs and value < SURE):
        return Judgement(None)
    if theirs and _same(sample, best, theirs[0]):
        return Judgement(best)
    high = [c for c in sample.decode(best, "replace") if c > "\x7f"]
    clear = value >= SURE and value - rivals[0][0] >= MARGIN + 1 / math.sqrt(len(high))  # few characters say little
    if clear and (not theirs or any(_same(sample, best, name) for name in theirs[1:])):
        return Judgement(best)
    return Judgement(best, theirs[0] if theirs else rivals[0][1])


def escaped(sample: bytes) -> str | None:
    """The encoding of seven-bit text that shifts between alphabets by escape sequences (ISO 2022), or None."""
    if b"\x1b$B" in sample or b"\x1b$@" in sample:
        return "iso2022_jp"
    return "iso2022_kr" if b"\x1b$)C" in sample else None


@lru_cache(1)
def candidates() -> tuple[str, ...]:
    """Encodings that are considered."""
    return ("gb18030", "big5", "cp949", "cp932", "euc_jp", *ALPHABETS)


def score(sample: bytes, encoding: str) -> float:
    """From 0 to 1, how much the characters of the sample read so look like a language's."""
    text = sample.decode(encoding, "replace")
    lost = text.count("\ufffd")
    if lost and lost > DAMAGED * sum(c > "\x7f" for c in text):
        return 0.0
    if encoding in ALPHABETS:
        return _alphabetic(text, encoding)
    return max(_wide(text, encoding), PLAIN * _first_level(text, encoding))


def _wide(text: str, encoding: str) -> float:
    """Of Chinese, Japanese and Korean: the fraction of characters that are common ones there, 30 % being enough."""
    counts = Counter(c for c in text if c > "\x7f" and c not in _TSV)
    total = sum(counts.values())
    if not total:
        return 0.0

    def of(kind: frozenset[str]) -> float:
        return sum(counts[c] for c in kind) / total

    def between(low: str, high: str) -> float:
        return sum(n for c, n in counts.items() if low <= c <= high) / total

    kana, hangul, halved = between("\u3041", "\u30ff"), between("\uac00", "\ud7a3"), between("\uff61", "\uff9f")
    ideographs = between("\u4e00", "\u9fff")
    if encoding == "cp949":
        return hangul * min(1.0, of(_HANGUL) / 0.4)
    if encoding in ("cp932", "euc_jp"):
        rest = max(0.0, 1 - kana - ideographs - halved - between("\uff01", "\uff5e"))
        return max(0.0, 1 - 2 * halved - rest) * min(1.0, (1.2 * kana + of(_KANJI)) / 0.4)
    common = of(_HANZI if encoding == "gb18030" else _HANZI_OLD)
    return max(0.0, 1 - 3 * kana) * min(1.0, ideographs + between("\uff01", "\uff5e")) * min(1.0, common / 0.25)


def _first_level(text: str, encoding: str) -> float:
    """The fraction of wide characters that stand where the standard of the encoding lists those in daily use."""
    wide = good = 0
    for char, n in Counter(text).items():
        if char <= "\x7f" or char in _TSV:
            continue
        wide += n
        code = char.encode(encoding, "replace")
        if encoding == "gb18030":  # four bytes, the second and fourth of them digits, do not come by chance
            good += n * (len(code) == 4 or (len(code) == 2 and 0xB0 <= code[0] <= 0xD7 and code[1] >= 0xA1))
        elif encoding == "big5":
            good += n * (len(code) == 2 and 0xA4 <= code[0] <= 0xC6)
        elif encoding == "cp949":
            good += n * (len(code) == 2 and 0xB0 <= code[0] <= 0xC8 and code[1] >= 0xA1)
        elif encoding == "cp932":
            good += n * (len(code) == 2 and code[0] in (0x82, 0x83, *range(0x88, 0x99)))
        else:
            good += n * (len(code) == 2 and code[0] in (0xA4, 0xA5, *range(0xB0, 0xD0)))
    return good / wide if wide else 0.0


def _alphabetic(text: str, encoding: str) -> float:
    """Of alphabets: the fraction of high characters that are letters of one language, or signs where signs stand."""
    languages = ALPHABETS[encoding]
    latin = encoding in ("cp1252", "mac_roman", "cp850", "cp1250", "iso8859_2", "cp852", "cp1254", "cp1257", "cp1258")
    words = Counter(re.findall(rf"{_LETTER}+(?:[’ʼ]{_LETTER}+)*|[^\x00-\x7f\w]", text))
    marks = Counter(re.findall(r"(?<=[^\W\d_])[^\x00-\x7f\w’](?=[^\W\d_])", text))  # no sign stands between two letters
    marks += Counter(re.findall(rf"(?<!{_LETTER})[£€¥±²³¹¼½¾¬¦¨¸](?={_LETTER})", text))  # nor do these before one
    mixed = any(c > "\x7f" and c == c.lower() for c in text if c.isalpha())  # not all of it in capitals
    best = 0.0
    for language, letters in languages.items():
        known, frequent = frozenset(letters) | {"µ"}, _FREQUENT.get(language)
        good = total = often = spelled = 0
        for word, n in words.items():
            high = [c for c in word if c > "\x7f" and c != "’"]
            if not high:
                continue
            total += n * len(high)
            if len(word) == 1 and not word.isalpha() and word not in known:
                good += (n - min(n, marks[word])) * (word in _SIGNS)
                continue
            odd = any(b.isupper() and a.islower() for a, b in zip(word, word[1:], strict=False))
            if odd or (not latin and any("a" <= c.lower() <= "z" for c in word)):
                continue
            right = [c for c in high if c in known or c.lower() in known]
            good += n * len(right)
            spelled += n * len(high)
            if frequent is not None:
                often += n * sum(c.lower() in frequent for c in high)
        if total:
            value = good / total
            if frequent is not None:
                value *= min(1.0, often / max(1, spelled) / FREQUENT) * (1.0 if mixed else 0.8)
            best = max(best, value * (SURE if language in _MIXED else 1.0))
    return best


def _second(sample: bytes) -> tuple[str, ...]:
    """charset-normalizer's plausible encodings, the best first."""
    try:
        found = from_bytes(sample, cp_isolation=list(candidates()), preemptive_behaviour=False)
    except (UnicodeError, ValueError, LookupError):
        return ()
    return tuple(match.encoding for match in found)


def _same(sample: bytes, a: str, b: str) -> bool:
    if a == b:
        return True
    return sample.decode(a, "replace") == sample.decode(b, "replace")


def _cut(sample: bytes) -> bytes:
    """So much of it as is judged, whole lines where it has lines; lines without high bytes say nothing."""
    if len(sample) > SAMPLE:
        end = sample.rfind(b"\n", 0, SAMPLE) + 1
        sample = sample[: end if end else SAMPLE]
        if not end:  # half of a character at the end tells against no encoding
            sample = sample.rstrip(bytes(range(0x80, 0x100)))
    return sample


def _shown(sample: bytes, encoding: str, other: str) -> str:
    """The part of the first line that the two encodings read differently."""
    for line in sample.splitlines():
        if line.isascii():
            continue
        text = line.decode(encoding, "replace").strip()
        if text != line.decode(other, "replace").strip():
            first = next((i for i, c in enumerate(text) if c > "\x7f"), 0)
            start = max(0, first - 12)
            return repr(text[start : start + 40])
    return repr(sample.decode(encoding, "replace")[:40])


def named(encoding: str) -> str:
    """Python's name of an encoding; FitError where it has none of that name."""
    try:
        found = codecs.lookup(encoding)
        found.incrementaldecoder("strict").decode(b"", True)
        if not isinstance(found.decode(b"")[0], str) or b"a b" not in "a b\n".encode(encoding).replace(b"\0", b""):
            raise LookupError  # what Python calls an encoding and no file is written in: base64, rot13, idna
    except (LookupError, TypeError, AttributeError, ValueError):
        tried = "utf-8, gb18030, big5, cp949 (Korean), cp932 (Japanese), cp1251 (Russian), cp1250 (Polish), cp1252, utf-16-le"
        raise FitError(f"encoding = {encoding!r} is not known; try {tried}.") from None
    return found.name
