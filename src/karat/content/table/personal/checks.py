"""Check digits of card, account and personal numbers: whether they hold, and which digit makes them hold."""

from __future__ import annotations

import datetime
import ipaddress
import re

LETTERS_DNI = "TRWAGMYFPDXBNJZSQVHLCKE"  # Spain: the remainder by 23
_CN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # GB 11643-1999
_PESEL = (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)


def luhn_digit(digits: str) -> str:
    """The digit that ISO/IEC 7812-1 puts behind these."""
    total = 0
    for k, c in enumerate(reversed(digits)):
        d = int(c) * (2 if k % 2 == 0 else 1)
        total += d - 9 if d > 9 else d
    return str(-total % 10)


def card(text: str) -> bool:
    """Whether it is a payment card's number: 13 to 19 digits of a known first digit, the last by Luhn."""
    digits = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"[2-6]\d{12,18}", digits) or len(set(digits)) < 2:
        return False
    return digits[-1] == luhn_digit(digits[:-1])


def iban_digits(country: str, account: str) -> str:
    """The two check digits of ISO 13616."""
    return f"{98 - int(''.join(str(int(c, 36)) for c in account + country + '00')) % 97:02d}"


def iban(text: str) -> bool:
    """Whether it is an IBAN."""
    t = text.replace(" ", "").upper()
    return bool(re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", t)) and t[2:4] == iban_digits(t[:2], t[4:])


def cn_digit(digits: str) -> str:
    """The last sign of a Chinese resident identity number, 0 to 9 or X, after its first 17."""
    return "10X98765432"[sum(int(c) * w for c, w in zip(digits, _CN_WEIGHTS, strict=True)) % 11]


def cn(text: str) -> bool:
    """Whether it is a Chinese resident identity number."""
    if not re.fullmatch(r"[1-8]\d{16}[\dXx]", text):
        return False
    try:
        datetime.date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    return text[17].upper() == cn_digit(text[:17])


def ssn(text: str) -> bool:
    """Whether it has the shape of a US social security number; there is no check digit."""
    m = re.fullmatch(r"(\d{3})-(\d{2})-(\d{4})", text)
    return m is not None and m[1] not in ("000", "666") and m[1][0] != "9" and m[2] != "00" and m[3] != "0000"


def dni(text: str) -> bool:
    """Whether it is a Spanish DNI or NIE."""
    m = re.fullmatch(r"([XYZ]\d{7}|\d{8})-?([A-Z])", text.upper())
    return m is not None and LETTERS_DNI[int(m[1].translate(str.maketrans("XYZ", "012"))) % 23] == m[2]


def cpf_digits(digits: str) -> str:
    """The two check digits of a Brazilian CPF after its first nine."""
    for _ in range(2):
        rest = sum(int(c) * w for c, w in zip(digits, range(len(digits) + 1, 1, -1), strict=True)) * 10 % 11
        digits += str(rest % 10)
    return digits[-2:]


def cpf(text: str) -> bool:
    """Whether it is a Brazilian CPF."""
    digits = re.sub(r"[.\-]", "", text)
    return bool(re.fullmatch(r"\d{11}", digits)) and len(set(digits)) > 1 and digits[9:] == cpf_digits(digits[:9])


def pesel_digit(digits: str) -> str:
    """The last digit of a Polish PESEL after its first ten."""
    return str(-sum(int(c) * w for c, w in zip(digits, _PESEL, strict=True)) % 10)


def pesel(text: str) -> bool:
    """Whether it is a Polish PESEL."""
    if not re.fullmatch(r"\d{11}", text) or text[10] != pesel_digit(text[:10]):
        return False
    month, day = int(text[2:4]) % 20, int(text[4:6])
    return 1 <= month <= 12 and 1 <= day <= 31


def nino(text: str) -> bool:
    """Whether it has the shape of a UK national insurance number."""
    return bool(re.fullmatch(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]", text))


def ip(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
