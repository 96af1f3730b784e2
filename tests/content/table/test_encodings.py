"""Bytes that are not UTF-8 are read rightly, or a person is asked with a line read both ways: never nonsense in silence."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from karat.content import encodings
from karat.content.table.io import delimited
from karat.content.table.io.sources import open_table
from karat.data import load
from karat.errors import DataError, FitError
from karat.verbs import look, train
from karat.workflow.learning import begin

WORDS = {
    "Korean": "김민준 이서연 박지호 최수빈 서울특별시 부산광역시 고객이 이미 결제했습니다 문제가 없습니다 반품",
    "Japanese": "田中太郎 鈴木花子 佐藤健 東京都 大阪市 横浜市 お客様はすでに支払い済みです 発送待ち 問題ありません ご連絡ください",
    "Polish": "Łukasz Małgorzata Święto Kraków Łódź Gdańsk zażółć gęślą jaźń klient już zapłacił oczekuje na wysyłkę proszę",
    "Czech": "Jiří Kateřina Štěpán Praha Plzeň Ústí příliš žluťoučký kůň úpěl ďábelské ódy zákazník již zaplatil čeká",
    "Russian": "Иван Мария Сергей Москва Новосибирск клиент уже заплатил ждёт отправки проблем нет пожалуйста свяжитесь возврат",
    "Greek": "Γιώργος Μαρία Αθήνα Θεσσαλονίκη Πάτρα ο πελάτης έχει ήδη πληρώσει περιμένει αποστολή κανένα πρόβλημα",
    "Turkish": "Ayşe Mehmet İstanbul Ankara İzmir müşteri ödedi gönderim bekliyor sorun yok lütfen iletişime geçin",
    "Hebrew": "דוד שרה תל אביב ירושלים חיפה הלקוח כבר שילם ממתין למשלוח אין בעיות",
    "Arabic": "محمد فاطمة القاهرة الرياض دبي العميل دفع بالفعل في انتظار الشحن لا مشاكل",
    "Thai": "สมชาย สมหญิง กรุงเทพ เชียงใหม่ ลูกค้าชำระเงินแล้ว รอจัดส่ง ไม่มีปัญหา",
    "French": "Zoé Renée François Besançon Orléans Nîmes déjà payé à expédier sans problème veuillez être contacté",
    "German": "Jörg Müller Änne Köln München Düsseldorf Straße groß schön Grüße bezahlt wartet auf Versand",
    "simple Chinese": "张伟 王芳 李娜 刘洋 北京 上海 广州 客户已经付款 等待发货 没有问题 请联系我们 退货申请",
    "old Chinese": "陳怡君 林志明 黃淑芬 臺北 高雄 臺中 客戶已經付款 等待發貨 沒有問題 請聯繫我們",
}
CASES = [
    *(
        (name, code)
        for name, codes in {
            "Korean": ("euc-kr", "cp949"),
            "Japanese": ("shift_jis", "cp932", "euc-jp", "iso2022_jp"),
            "Polish": ("cp1250", "iso-8859-2"),
            "Czech": ("cp1250", "iso-8859-2"),
            "Russian": ("cp1251", "koi8-r", "iso-8859-5", "cp866", "mac-cyrillic"),
            "Greek": ("cp1253", "iso-8859-7"),
            "Turkish": ("cp1254",),
            "Hebrew": ("cp1255",),
            "Arabic": ("cp1256",),
            "Thai": ("cp874",),
            "French": ("cp1252", "mac-roman"),
            "German": ("cp1252", "mac-roman", "cp850"),
            "simple Chinese": ("gbk", "gb18030", "utf-16-le"),
            "old Chinese": ("big5", "utf-16-be"),
        }.items()
        for code in codes
    )
]
CLEAR = (
    "Korean",
    "Japanese",
    "Polish",
    "Russian",
    "Greek",
    "Thai",
    "French",
    "German",
    "simple Chinese",
    "old Chinese",
)


def table(language: str, rows: int, seed: int = 0) -> str:
    """A table of words of the language."""
    rng, words = random.Random(seed), WORDS[language].split()
    return "id,name,note\n" + "".join(
        f"{i},{rng.choice(words)},{rng.choice(words)} {rng.choice(words)}\n" for i in range(rows)
    )


@pytest.mark.parametrize(("language", "code"), CASES, ids=[" ".join(case) for case in CASES])
def test_no_table_is_read_as_nonsense_in_silence(language: str, code: str, tmp_path: Path) -> None:
    for rows in (8, 40, 400):
        text = table(language, rows, rows)
        file = tmp_path / "t.csv"
        file.write_bytes(text.encode(code))
        raw = delimited.read(file)
        assert raw.dialect is not None
        if raw.question:
            assert "data.encoding=" in raw.question and raw.question in raw.notes and raw.question.count("'") >= 4
            assert language not in CLEAR or rows < 400 or (language, code) in (("French", "mac-roman"),), raw.question
            assert str(file) in raw.question and len(raw.question) < 400
        else:
            assert ",".join(raw.cells.slice(0, 5)["note"].to_pylist()) in ",".join(
                line.split(",")[2] for line in text.splitlines()[1:]
            )
        told = delimited.read(file, encoding=code)
        assert told.cells["note"][0].as_py() == text.splitlines()[1].split(",")[2] and not told.question
        assert delimited.write(told.cells, told.dialect) == file.read_bytes(), "written in the encoding of the data"


def test_look_shows_a_line_both_ways_and_train_wants_to_be_told(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(table("Hebrew", 60).encode("cp1255"))
    question = delimited.read(file).question
    assert question
    assert any(question == said for said in look(file, probe=False)["warnings"])
    with pytest.raises(DataError) as caught:
        train(file, out=tmp_path / "run", steps=1)
    assert str(caught.value) == question and not (tmp_path / "run").exists()
    found = load(file, options={"encoding": "cp1255"})
    assert not found.contents.facts["doubt"] and begin is not None
    assert "דוד" in found.contents.records.cells["name"].to_pylist()


def test_text_and_lines_of_json_are_judged_alike(tmp_path: Path) -> None:
    hebrew = [" ".join(random.Random(i).choices(WORDS["Hebrew"].split(), k=12)) for i in range(300)]
    text, lines = tmp_path / "t.md", tmp_path / "t.jsonl"
    text.write_bytes("\n".join(hebrew).encode("cp1255"))
    lines.write_bytes("\n".join(json.dumps({"text": line}, ensure_ascii=False) for line in hebrew).encode("cp1255"))
    for file in (text, lines):
        found = load(file)
        question = found.contents.facts["doubt"]
        read = "".join(found.contents.records.strings())
        assert question or hebrew[0][:30] in read, "right, or in doubt"
        with pytest.raises(DataError) if question else _nothing():
            train(file, out=tmp_path / f"run{file.suffix}", steps=1, recipe="ngram")
    korean = tmp_path / "k.md"
    korean.write_bytes("\n".join(f"{i} {WORDS['Korean']}" for i in range(300)).encode("euc-kr"))
    assert WORDS["Korean"] in "".join(load(korean).contents.records.strings())
    japanese = tmp_path / "j.md"
    japanese.write_bytes("\n".join(f"{i} {WORDS['Japanese']}" for i in range(300)).encode("iso2022_jp"))
    assert WORDS["Japanese"] in "".join(load(japanese).contents.records.strings())


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


def test_a_single_word_is_read_in_the_encoding_of_its_language_or_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    for word, code in (
        ("Łódź", "cp1250"),
        ("Zürich", "cp1252"),
        ("Praha 1 – Žižkov", "cp1250"),
        ("Київ", "cp1251"),
        ("가", "euc-kr"),
    ):
        file.write_bytes(("id,city\n" + f"1,{word}\n2,Rome\n" * 100).encode(code))
        raw = delimited.read(file)
        assert raw.cells["city"][0].as_py() == word or repr(word)[1:-1] in raw.question, raw.question


@pytest.mark.parametrize("text", ["20°C", "3 µm", "5 €", "it’s – “so”", "café", "Müller"])
def test_a_sign_or_an_accent_is_no_reason_to_ask(text: str, tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(("id,note\n" + f"1,{text}\n2,plain\n" * 30).encode("cp1252"))
    raw = delimited.read(file)
    assert raw.cells["note"][0].as_py() == text and not raw.question


def test_an_encoding_that_was_named_and_cannot_read_the_file_says_where(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_bytes(b"id,note\n" + b"1,ab\n" * 50 + b"2,\x81\x20\n3,cd\n")
    for code in ("utf-8", "gb18030", "cp932", "euc-kr", "cp1252"):
        with pytest.raises(DataError, match=r"line 52.*byte offset 26\d") as caught:
            delimited.read(file, encoding=code)
        assert "data.encoding=" in str(caught.value) or code == "utf-8"
    with pytest.raises(FitError, match="'klingon' is not known; try utf-8"):
        delimited.read(file, encoding="klingon")
    for code in ("base64", "rot13", "hex"):  # Python calls these encodings too
        with pytest.raises(FitError, match="is not known"):
            delimited.read(file, encoding=code)


def test_bytes_without_any_reading_are_refused(tmp_path: Path) -> None:
    noise = bytes(random.Random(1).choices([b for b in range(128, 256)], k=4000))
    assert encodings.judge(b"a,b\n1," + noise + b"\n").encoding is None


def test_utf_8_with_a_few_bad_bytes_is_damaged_and_not_of_another_encoding(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    lines = table("Polish", 4000).encode().split(b"\n")
    lines[3000] = b"2999,\xff,x"
    file.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match="line 3001 holds bytes that are not UTF-8"):
        open_table(file, {})
