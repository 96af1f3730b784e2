"""What a file is by its first bytes, whatever its name says, and what to do with one that is not read."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

_HEAD = 600
_SAS = bytes.fromhex("000000000000000000000000c2ea8160b31411cfbd92080009c7318c181f1011")
_SHEET, _TABLE, _WEIGHTS = "save the sheet as CSV", "export its table as CSV", "give the data, not a model"
_PICKLE = "save it as Parquet or CSV; pickles can run code and are never read"
_FIRST: tuple[tuple[bytes, str, str], ...] = (
    (b"%PDF", "a PDF", _TABLE),
    (b"%!PS", "PostScript", _TABLE),
    (b"\x89PNG", "a PNG picture", "give a folder of pictures"),
    (b"\xff\xd8\xff", "a JPEG picture", "give a folder of pictures"),
    (b"GIF8", "a GIF picture", "give a folder of pictures"),
    (b"II*\0", "a TIFF picture", "give a folder of pictures"),
    (b"MM\0*", "a TIFF picture", "give a folder of pictures"),
    (b"SIMPLE  =", "a FITS file", "save its pictures as PNG, or its table as CSV"),
    (b"fLaC", "a FLAC sound", "give a folder of sounds"),
    (b"OggS", "an Ogg sound", "give a folder of sounds"),
    (b"ID3", "an MP3 sound", "give a folder of sounds"),
    (b"\x1aE\xdf\xa3", "a Matroska or WebM film", "save its frames as pictures, or its sound as WAV"),
    (b"PAR1", "Parquet", "give it the suffix .parquet"),
    (b"ARROW1", "an Arrow (Feather) file", "give it the suffix .arrow"),
    (b"FEA1", "a Feather file", "give it the suffix .feather"),
    (b"ORC", "an ORC file", "give it the suffix .orc"),
    (b"Obj\x01", "Avro", "save it as Parquet"),
    (b"SQLite format 3\0", "an SQLite database", "give it the suffix .sqlite"),
    (b"\0\1\0\0Standard Jet DB", "an Access database", "export the table as CSV"),
    (b"\0\1\0\0Standard ACE DB", "an Access database", "export the table as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Office file such as .xls or .doc", "save the sheet as CSV or .xlsx"),
    (b"{\\rtf", "a rich text document", "save it as plain text, or its table as CSV"),
    (b"\x28\xb5\x2f\xfd", "packed with zstd", "unpack it"),
    (b"BZh", "packed with bzip2", "unpack it"),
    (b"\xfd7zXZ\0", "packed with xz", "unpack it"),
    (b"\x1f\x8b", "packed with gzip", "unpack it"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it and give the folder"),
    (b"Rar!", "a RAR archive", "unpack it and give the folder"),
    (b"\x7fELF", "a program", "give data"),
    (b"MZ", "a Windows program", "give data"),
    (b"\xcf\xfa\xed\xfe", "a program", "give data"),
    (b"\xca\xfe\xba\xbe", "a program", "give data"),
    (b"\x93NUMPY", "a NumPy array", "give it the suffix .npy where it holds pictures, or save it as CSV"),
    (b"\x89HDF\r\n\x1a\n", "HDF5 (.h5, .mat, .nc)", "save its table as Parquet or CSV, its pictures as .npz"),
    (b"CDF\x01", "netCDF", "save its table as Parquet or CSV"),
    (b"CDF\x02", "netCDF", "save its table as Parquet or CSV"),
    (b"MATLAB 5.0 MAT-file", "a MATLAB file", "save its table with writetable as CSV"),
    (_SAS, "a SAS table (.sas7bdat)", "export it as CSV, or read it with pandas.read_sas"),
    (b"HEADER RECORD*******LIB", "a SAS transport file", "export it as CSV, or read it with pandas.read_sas"),
    (b"$FL2", "an SPSS table (.sav)", "export it as CSV, or read it with pandas.read_spss"),
    (b"$FL3", "an SPSS table (.zsav)", "export it as CSV, or read it with pandas.read_spss"),
    (b"<stata_dta>", "a Stata table (.dta)", "export it as CSV, or read it with pandas.read_stata"),
    (b"RDX2\n", "an R workspace", "write its data frame with write.csv"),
    (b"RDX3\n", "an R workspace", "write its data frame with write.csv"),
    (b"X\n\0\0\0", "an R object (.rds)", "write its data frame with write.csv"),
    (b"GGUF", "a language model", _WEIGHTS),
    (b"version https://git-lfs", "a pointer of Git LFS and not the file itself", "fetch it with git lfs pull"),
)
_WRITTEN = (  # in any case, perhaps behind a mark or blank lines
    (b"<!doctype html", "a web page", "download the data themselves"),
    (b"<html", "a web page", "download the data themselves"),
    (b"<svg", "an SVG drawing", "save it as PNG, one of many in a folder"),
    (b"<!doctype", "XML", "save its table as CSV"),
    (b"<?xml", "XML", "save its table as CSV"),
)
_INSIDE = (  # a name in a zip that tells what it is
    ("xl/", "an Excel workbook", "give it the suffix .xlsx"),
    ("word/", "a Word document (.docx)", "save it as plain text, or its table as CSV"),
    ("ppt/", "a PowerPoint file", "give the data themselves"),
    ("data.pkl", "a PyTorch file (.pt)", _PICKLE),
    ("META-INF/", "a Java archive or an e-book", "give the data themselves"),
    ("AndroidManifest.xml", "an Android program", "give data"),
)
_OPEN_DOCUMENT = {
    b"application/vnd.oasis.opendocument.spreadsheet": (
        "an OpenDocument workbook (.ods)",
        "save the sheet as CSV or .xlsx",
    ),
    b"application/vnd.oasis.opendocument.text": ("an OpenDocument text (.odt)", "save it as plain text"),
    b"application/epub+zip": ("an e-book", "save it as plain text"),
}


@dataclass(frozen=True)
class Kind:
    """what: "a PDF".   cure: what to do instead.   unsafe: whether reading it could run code."""

    what: str
    cure: str
    unsafe: bool = False


def of_bytes(start: bytes) -> Kind | None:
    """What a file is that begins so, where that tells."""
    for magic, what, cure in _FIRST:
        if start.startswith(magic) and not (magic in (b"MZ", b"ORC", b"ID3") and _printable(start)):
            return Kind(what, cure)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05" and len(start) > 2:
        return Kind("a Python pickle (.pkl, .joblib)", _PICKLE, unsafe=True)
    if start[:4] == b"RIFF":
        what = {b"WAVE": "a WAV sound", b"AVI ": "an AVI film", b"WEBP": "a WebP picture"}.get(
            start[8:12], "a RIFF file"
        )
        return Kind(what, "give a folder of pictures or sounds")
    if start[4:8] == b"ftyp":
        what = (
            "an HEIC or AVIF picture"
            if start[8:12] in (b"heic", b"heix", b"mif1", b"avif")
            else "a film or sound (MP4)"
        )
        cure = (
            "save it as JPEG, one of many in a folder"
            if "picture" in what
            else "save its frames as pictures, or its sound as WAV"
        )
        return Kind(what, cure)
    if start[8:12] == b"DUCK":
        return Kind("a DuckDB database", "give it the suffix .duckdb")
    if start[257:262] == b"ustar":
        return Kind("a tar archive", "unpack it and give the folder")
    if start[:1] in b"\x71\x72\x73" and start[1:4] in (b"\x01\x01\0", b"\x02\x01\0") and start:
        return Kind("a Stata table (.dta)", "export it as CSV, or read it with pandas.read_stata")
    plain = start.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    for mark, what, cure in _WRITTEN:
        if plain.startswith(mark):
            return Kind(what, cure)
    return None


def _printable(start: bytes) -> bool:
    """Whether this is text after all, which may begin with letters that also begin a program."""
    return not any(byte < 9 or 13 < byte < 32 for byte in start[:64])


def of_file(path: Path) -> Kind | None:
    """What a file is; a zip by what lies in it. None where its bytes do not tell."""
    try:
        with path.open("rb") as file:
            start = file.read(_HEAD)
    except OSError:
        return None
    if not start.startswith(b"PK\x03\x04"):
        return of_bytes(start)
    try:
        with zipfile.ZipFile(path) as found:
            names = found.namelist()
            if "mimetype" in names and found.getinfo("mimetype").file_size < 200:
                kind = _OPEN_DOCUMENT.get(found.read("mimetype").strip())
                if kind is not None:
                    return Kind(*kind)
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return Kind("a zip archive that cannot be looked into", "pack or download it again")
    for mark, what, cure in _INSIDE:
        if any(name.startswith(mark) if mark.endswith("/") else name.endswith(mark) for name in names):
            return Kind(what, cure, unsafe=mark == "data.pkl")
    if names and all(name.endswith(".npy") for name in names):
        return Kind("NumPy arrays (.npz)", "give it the suffix .npz where they are pictures, or save them as CSV")
    return Kind("a zip archive", "unpack it and give the folder, or the file in it")
