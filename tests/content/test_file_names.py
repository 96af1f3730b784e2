"""What names of files and folders say of pictures and sounds, and transparency."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from drawings import pictures, save_pictures
from PIL import Image
from small import TINY
from sounds import save_tones

import karat
from karat.content.file_names import NamePattern
from karat.data import load, survey
from karat.errors import DataError, FitError


@pytest.mark.parametrize(
    ("text", "names", "wanted"),
    [
        ("{label}_{speaker}_{n}", ["7_theo_12.wav", "a/8_lucas_1.wav"], {"label": "7", "speaker": "theo", "n": "12"}),
        (
            "{alphabet}/{character}",
            ["Greek/07/a.png"] * 3,
            {"alphabet": "Greek", "character": "07", "label": "Greek/07"},
        ),
        (
            "{alphabet}/{character}",
            ["x/y/Greek/07/a.png"] * 3,
            {"alphabet": "Greek", "character": "07", "label": "Greek/07"},
        ),
        ("{label}/{patient}_{n}", ["sick/p3_1.png", "well/p3_2.png"], {"label": "sick", "patient": "p3", "n": "1"}),
        ("{alphabet}/{label}", [f"Greek/07/{i}.png" for i in range(9)], {"alphabet": "Greek", "label": "07"}),
        ("{label}/{n}", ["cat/1.png", "cat/2.png", "dog/3.png", "dog/4.png"], {"label": "cat", "n": "1"}),
    ],
)
def test_a_pattern_reads_names_or_folders(text: str, names: list[str], wanted: dict[str, str]) -> None:
    assert NamePattern.fitting(text, names, "here").parts(names[0]) == wanted


def test_a_pattern_that_fits_few_names_names_some_that_it_does_not() -> None:
    with pytest.raises(
        DataError, match=r"names of 2 of 3 files are not as --labels says \(\{a\}_\{b\}\): x.png, y.png"
    ):
        NamePattern.fitting("{a}_{b}", ["x.png", "y.png", "1_2.png"], "here")


def nested(folder: Path) -> Path:
    made = iter(pictures(80, 8, 8, 1))
    for alphabet in ("Greek", "Latin"):
        for character in ("01", "02"):
            place = folder / "all" / alphabet / character
            place.mkdir(parents=True)
            for i in range(20):
                Image.fromarray(next(made)[:, :, 0]).save(place / f"p{i % 4}_{i}.png")
    return folder


def test_look_says_which_of_nested_folders_is_the_class_and_labels_chooses(tmp_path: Path) -> None:
    told = survey(load(nested(tmp_path)))
    assert told["classes"] == {"Greek": 40, "Latin": 40}
    note = next(note for note in told["warnings"] if "nested" in note)
    assert "first of the nested folders (2 classes, 4 folders in them)" in note and '--labels "{a}/{b}"' in note
    both = load(tmp_path, options={"labels": "{alphabet}/{character}"})
    assert both.classes == ("Greek/01", "Greek/02", "Latin/01", "Latin/02")
    assert not any("nested" in note for note in survey(both)["warnings"])
    assert load(tmp_path, options={"labels": "{a}/{label}/{n}"}).classes == ("01", "02")


def test_patients_are_held_out_by_what_the_names_say(tmp_path: Path) -> None:
    data = load(nested(tmp_path), options={"labels": "{label}/{patient}_{n}"}, holdout="patient=p3")
    names = np.array(data.contents.names)
    assert len(data.holdout) == 20 and all("/p3_" in name for name in names[data.holdout])
    assert not any("/p3_" in name for name in names[data.train])
    with pytest.raises(FitError, match="there are: patient, n"):
        load(tmp_path, options={"labels": "{label}/{patient}_{n}"}, holdout="diagnostics=x")


def test_names_are_read_again_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("karat.content.image.gather.WORTH_KEEPING", 1)
    nested(tmp_path)
    first, again = (load(tmp_path, options={"labels": "{label}/{patient}_{n}"}) for _ in range(2))
    assert first.fingerprint == again.fingerprint
    assert (first.contents.facets["patient"] == again.contents.facets["patient"]).all()
    assert load(tmp_path).classes == ("Greek", "Latin"), "another pattern is another place in the cache"


def test_names_of_one_file_cannot_be_read(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pictures(40, 8, 8))
    with pytest.raises(FitError, match="--labels reads the names of files"):
        load(tmp_path / "x.npy", options={"labels": "{label}_{n}"})


# Transparency -----------------------------------------------------------------------------------------------------


def stamps(folder: Path, count: int = 40, kind: str = "RGBA") -> np.ndarray:
    """Discs on nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.mgrid[:16, :16]
    out = []
    rng = np.random.default_rng(0)
    for i in range(count):
        inside = (y - rng.uniform(5, 11)) ** 2 + (x - rng.uniform(5, 11)) ** 2 < rng.uniform(9, 25)
        rgba = np.zeros((16, 16, 4), np.uint8)
        rgba[..., :3] = rng.integers(0, 255, 3)
        rgba[..., 3] = inside * 255
        out.append(rgba)
        Image.fromarray(rgba).convert(kind).save(folder / f"{i}.png")
    return np.stack(out)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "PA"])
def test_transparency_is_laid_on_white_and_said_or_kept_when_asked(tmp_path: Path, kind: str) -> None:
    stamps(tmp_path, kind="RGBA" if kind == "PA" else kind)
    if kind == "PA":
        for path in tmp_path.glob("*.png"):
            with Image.open(path) as picture:
                few = picture.quantize(16)
            few.save(path)
    flat = load(tmp_path)
    assert flat.contents.records.shape[3] == (1 if kind == "LA" else 3)
    assert any(
        "40 of 40 pictures have an alpha channel" in note and "data.alpha=keep" in note
        for note in survey(flat)["warnings"]
    )
    kept = load(tmp_path, options={"alpha": "keep"})
    records = np.asarray(kept.contents.records)
    assert records.shape == (40, 16, 16, 4) and 0.05 < (records[..., 3] == 255).mean() < 0.6
    assert (records[records[..., 3] == 0][:, :3] == 255).all(), "what cannot be seen is not learned"
    assert not any("alpha" in note for note in survey(kept)["warnings"])


def test_alpha_is_kept_only_where_all_pictures_have_it(tmp_path: Path) -> None:
    stamps(tmp_path)
    save_pictures(tmp_path / "more", 8)
    with pytest.raises(DataError, match="8 of 48 pictures have no alpha channel"):
        load(tmp_path, options={"alpha": "keep"})
    assert any("40 of 48" in note for note in survey(load(tmp_path))["warnings"])
    with pytest.raises(FitError, match="data.alpha is 'yes'; there are flatten, keep, auto"):
        load(tmp_path, options={"alpha": "yes"})


def test_arrays_of_four_channels_are_kept_when_asked(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", stamps(tmp_path / "s"))
    assert load(tmp_path / "x.npy").contents.records.shape[3] == 3
    assert load(tmp_path / "x.npy", options={"alpha": "keep"}).contents.records.shape[3] == 4


def test_transparent_pictures_are_made_and_judged_as_such(tmp_path: Path) -> None:
    stamps(tmp_path / "data", 60)
    run = karat.train(tmp_path / "data", steps=5, set=["data.alpha=keep", *TINY], out=tmp_path / "run", threads=1)
    made = [p for p in karat.make(run, n=4, out=tmp_path / "made", threads=1) if p.suffix == ".png"]
    for path in made:
        with Image.open(path) as picture:
            assert picture.mode == "RGBA"
    found = karat.assay(
        real=tmp_path / "data", made=tmp_path / "data", set=["data.alpha=keep"], out=tmp_path / "a", threads=1
    )
    assert found.report is not None and found.report.is_file()


# Sounds -----------------------------------------------------------------------------------------------------------


def test_steady_tones_of_one_pitch_are_no_near_duplicates(tmp_path: Path) -> None:
    import soundfile

    rng, t = np.random.default_rng(0), np.arange(3200) / 8000
    for i in range(60):
        wave = rng.uniform(0.1, 0.5) * np.sin(2 * np.pi * 220 * 2 ** ((i % 6) / 12) * t + rng.uniform(0, 6))
        soundfile.write(tmp_path / f"{i}.wav", wave * np.exp(-rng.uniform(1, 4) * t), 8000)
    wave = soundfile.read(tmp_path / "7.wav")[0]
    soundfile.write(tmp_path / "soft.wav", 0.5 * wave, 8000)
    near = survey(load(tmp_path))["near_duplicates"]
    assert {frozenset(pair) for pair in near["examples"]} == {frozenset(("7.wav", "soft.wav"))}


def test_sounds_of_which_no_two_are_alike_are_looked_at(tmp_path: Path) -> None:
    import soundfile

    rng = np.random.default_rng(0)
    for i in range(40):
        soundfile.write(tmp_path / f"{i}.wav", 0.1 * rng.standard_normal(2400), 8000)
    assert survey(load(tmp_path))["near_duplicates"]["records"] == 0


def test_folders_of_sounds_are_read_by_a_pattern_too(tmp_path: Path) -> None:
    for who in ("ann", "bob"):
        save_tones(tmp_path / who / "takes", 20, seed=ord(who[0]))
    data = load(tmp_path, options={"labels": "{speaker}/{what}"})
    assert data.classes == ("ann/takes", "bob/takes") and set(data.contents.facets) == {"speaker", "what"}
