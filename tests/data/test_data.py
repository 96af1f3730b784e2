"""Data is read once, split before anything learns, and served in batches that are pure in k."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import pictures, save_pictures
from PIL import Image
from sounds import save_tones

import karat
from karat.content import Images
from karat.content.codec import Contents
from karat.data import Data, batches, load, near_duplicates, survey
from karat.data.split import rows_aside, split, together
from karat.errors import DataError, FitError
from karat.space import JUDGED, Grid

CPU = torch.device("cpu")


def saved(folder: Path, array: np.ndarray, **arrays: np.ndarray) -> Path:
    path = folder / "set.npz"
    np.savez(path, images=array, **arrays)
    return path


def test_the_split_is_disjoint_whole_and_sorted(tmp_path: Path) -> None:
    data = load(saved(tmp_path, pictures(400)))
    assert sorted([*data.train, *data.holdout]) == list(range(400))
    assert (np.diff(data.train) > 0).all() and (np.diff(data.holdout) > 0).all()
    assert data.train.dtype == np.int64 and JUDGED <= len(data.holdout) <= 80
    assert data.space == Grid(3, (12, 12)) and data.classes == ()
    assert data.labels("train") is None


def test_the_split_is_decided_by_content_and_seed(tmp_path: Path) -> None:
    made = pictures(600)
    data = load(saved(tmp_path, made))
    held = {made[i].tobytes() for i in data.holdout}
    turned = load(saved(tmp_path, made[::-1]))
    assert {made[::-1][i].tobytes() for i in turned.holdout} == held
    fewer = load(saved(tmp_path, made[:500]))
    assert {made[i].tobytes() for i in fewer.holdout} == {made[i].tobytes() for i in data.holdout if i < 500}
    again, other = load(saved(tmp_path, made)), load(saved(tmp_path, made), seed=1)
    assert (again.holdout == data.holdout).all()
    assert other.fingerprint == data.fingerprint and not np.array_equal(other.holdout, data.holdout)


def test_the_holdout_has_what_a_judge_needs_and_at_most_10000_records(tmp_path: Path) -> None:
    assert len(load(saved(tmp_path, pictures(40))).holdout) == JUDGED
    many = np.random.default_rng(0).integers(0, 256, (30_000, 8, 8), dtype=np.uint8)
    assert len(load(saved(tmp_path, many), holdout=0.5).holdout) == 10_000
    share = len(load(saved(tmp_path, many), holdout=0.1).holdout) / 30_000
    assert abs(share - 0.1) < 6 * (0.1 * 0.9 / 30_000) ** 0.5
    for wrong in (0.0, 1.0, -1.0):
        with pytest.raises(FitError, match="holdout is"):
            load(saved(tmp_path, many), holdout=wrong)


def test_exact_duplicates_are_dropped_and_the_first_is_kept(tmp_path: Path) -> None:
    made = pictures(50)
    labels = np.r_[np.arange(50) % 2, np.arange(50) % 2]
    labels[60] = 1 - labels[60]
    data = load(saved(tmp_path, np.concatenate([made, made]), labels=labels))
    assert data.duplicates == 50
    assert sorted([*data.train, *data.holdout]) == list(range(50))
    assert data.notes == ("1 exact copies carry another class than the record kept.",)


def test_a_publishers_split_is_kept_without_copies_of_what_is_learned(tmp_path: Path) -> None:
    learned, tested = pictures(60), pictures(40, seed=1)
    for folder, records in (("train", learned), ("test", np.concatenate([tested, learned[:10], tested[:5]]))):
        (tmp_path / "p" / folder).mkdir(parents=True)
        for i, picture in enumerate(records):
            Image.fromarray(picture).save(tmp_path / "p" / folder / f"{i:02}.png")
    data = load(tmp_path / "p")
    assert len(data.train) == 60 and len(data.holdout) == 40 and data.duplicates == 15
    names = data.contents.names
    assert all(names[i].startswith("train/") for i in data.train)
    assert all(names[i].startswith("test/") for i in data.holdout)
    known = {r.tobytes() for r in data.records("train")}
    assert not any(r.tobytes() in known for r in data.records("holdout"))


def test_a_publishers_split_that_leaves_too_little_is_made_anew(tmp_path: Path) -> None:
    made = pictures(200)
    np.savez(tmp_path / "set.npz", x_train=made[:195], x_test=made[195:])
    data = load(tmp_path / "set.npz")
    assert len(data.holdout) >= JUDGED and "split anew" in data.notes[0]


def test_too_few_different_records_are_refused(tmp_path: Path) -> None:
    made = np.concatenate([pictures(31)] * 10)
    with pytest.raises(DataError, match=r"set.npz holds 310 records, of which 31 differ; a generator needs about 200"):
        load(saved(tmp_path, made))


def test_the_fingerprint_is_of_records_and_labels_alone(tmp_path: Path) -> None:
    made, labels = pictures(64), np.arange(64) % 2
    first = load(saved(tmp_path, made, labels=labels)).fingerprint
    assert len(first) == 64 and int(first, 16) > 0
    (tmp_path / "other").mkdir()
    assert load(saved(tmp_path / "other", made, labels=labels)).fingerprint == first
    changed = made.copy()
    changed[63, 11, 11, 2] ^= 1
    seen = {first}
    for records, y in (
        (changed, labels),
        (made, 1 - labels),
        (made[::-1], labels),
        (made.reshape(64, 6, 24, 3), labels),
    ):
        seen.add(load(saved(tmp_path, records, labels=y), size=8 if records.shape[1] == 6 else None).fingerprint)
    assert len(seen) == 5


def test_fit_never_sees_the_holdout(tmp_path: Path) -> None:
    data = load(saved(tmp_path, pictures(100)))
    spoiled = np.array(data.contents.records)
    spoiled[data.holdout] = 255 - spoiled[data.holdout]
    contents = type(data.contents)(spoiled)
    assert Images.fit(contents, data.train) == data.codec


def _data(tmp_path: Path, n: int = 100) -> Data:
    made = pictures(n)
    made[:, 0, 0, 0] = np.arange(n)  # each record says which it is
    return load(saved(tmp_path, made, labels=np.arange(n) % 3))


def _which(data: Data, x: torch.Tensor) -> list[int]:
    return [int(i) for i in data.codec.decode(x)[:, 0, 0, 0]]


@pytest.mark.parametrize("size", [1, 7, 32, 90, 500])
def test_batches_cover_each_epoch_exactly_once(tmp_path: Path, size: int) -> None:
    data = _data(tmp_path)
    n, batch = len(data.train), batches(data, size, 3, CPU)
    seen: list[int] = []
    for k in range(3 * n // size + 1):
        x, y = batch(k)
        assert x.shape == (size, 3, 12, 12) and x.dtype == torch.float32
        assert y is not None and y.dtype == torch.int64
        assert y.tolist() == [i % 3 for i in _which(data, x)]
        seen += _which(data, x)
    for epoch in range(len(seen) // n):
        assert sorted(seen[epoch * n : (epoch + 1) * n]) == data.train.tolist()
    assert len(seen) >= 3 * n
    assert n < 8 or seen[:n] != seen[n : 2 * n], "each epoch has an order of its own; of so few it may be the same"


def test_the_kth_batch_depends_on_seed_and_k_alone(tmp_path: Path) -> None:
    data = _data(tmp_path)
    forward, fresh = batches(data, 16, 5, CPU), batches(data, 16, 5, CPU)
    ahead = [forward(k)[0] for k in range(30)]
    assert all(torch.equal(fresh(k)[0], ahead[k]) for k in (29, 0, 13, 13, 1))
    torch.manual_seed(0)
    torch.rand(3)
    assert torch.equal(batches(data, 16, 5, CPU)(7)[0], ahead[7])
    for other in (6, 5 + 2**32, -5):
        assert not torch.equal(batches(data, 16, other, CPU)(0)[0], ahead[0])


def test_batches_that_do_not_fit_in_memory_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = _data(tmp_path)
    resident = batches(data, 16, 5, CPU)
    monkeypatch.setattr(importlib.import_module("karat.data.batches"), "RESIDENT", 0)
    streamed = batches(data, 16, 5, CPU)
    for k in (0, 4, 11):
        assert torch.equal(resident(k)[0], streamed(k)[0])
        assert torch.equal(resident(k)[1], streamed(k)[1])  # type: ignore[arg-type]


def test_a_senseless_batch_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FitError, match="batch size is 0"):
        batches(_data(tmp_path), 0, 0, CPU)


def test_points_labels_and_views_of_a_part_go_together(tmp_path: Path) -> None:
    data = _data(tmp_path, 200)
    points, labels = data.points("train", limit=20, seed=4), data.labels("train", limit=20, seed=4)
    assert labels is not None and [i % 3 for i in _which(data, points)] == labels.tolist()
    assert torch.equal(points, data.points("train", limit=20, seed=4))
    assert not torch.equal(points, data.points("train", limit=20, seed=5))
    assert torch.equal(data.view("holdout").points, data.points("holdout"))
    assert len(data.points("holdout", limit=10**6)) == len(data.holdout)


def test_the_survey_says_what_is_wrong(tmp_path: Path) -> None:
    save_pictures(tmp_path / "many", 150)
    made = save_pictures(tmp_path / "few", 20, seed=1)
    Image.fromarray(made[0]).save(tmp_path / "few" / "twin.png")
    nearly = np.clip(made[1].astype(int) + 2, 0, 255).astype(np.uint8)
    Image.fromarray(nearly).save(tmp_path / "few" / "nearly.png")
    (tmp_path / "few" / "broken.png").write_text("no")
    (tmp_path / "few" / "notes.txt").write_text("no")
    found = survey(load(tmp_path))
    assert json.loads(json.dumps(found)) == found
    assert found["classes"] == {"few": 21, "many": 150}
    assert (found["count"], found["exact_duplicates"], found["train"] + found["holdout"]) == (172, 1, 171)
    assert (found["size"], found["channels"], found["bits"]) == ([12, 12], 3, 8)
    assert found["skipped"] == [["few/broken.png", "is not a picture, or its head is damaged"]]
    assert found["imbalance"] == pytest.approx(150 / 21)
    assert found["near_duplicates"]["records"] == 2
    assert sorted(found["near_duplicates"]["examples"][0]) == ["few/001.png", "few/nearly.png"]
    said = " ".join(found["warnings"])
    for part in ("171 different pictures", "broken.png", "1 exact duplicate.", "7.14 times", "'few'", "1 .txt"):
        assert part in said, part


def test_near_duplicates_are_pictures_saved_again_not_alike_ones(tmp_path: Path, data_dir: Path) -> None:
    digits = near_duplicates(load(data_dir / "images" / "mnist"), most=6000)
    assert digits["examined"] == 6000 and digits["records"] < 10
    made = pictures(100, 32, 32)
    for i, picture in enumerate(made):
        image = Image.fromarray(picture)
        (tmp_path / "p").mkdir(exist_ok=True)
        image.save(tmp_path / "p" / f"{i:02}.png")
        if i < 30:
            image.save(tmp_path / "p" / f"{i:02}-again.jpg", quality=75)
    near = survey(load(tmp_path / "p"))["near_duplicates"]
    assert near["records"] == 60 and near["pairs"] == 30
    assert Counter(a[:2] == b[:2] for a, b in near["examples"]) == {True: 20}


@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
@pytest.mark.exam
def test_large_archives_are_read_in_little_memory(tmp_path: Path, data_dir: Path) -> None:
    # VmHWM and not ru_maxrss, which a process inherits from whoever started it
    script = (
        "import sys; from pathlib import Path; from karat.content import Images\n"
        "def peak(): return int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
        "before = peak()\n"
        "c = Images.read(Path(sys.argv[1]), {'limit': 800, 'cache': Path(sys.argv[2])})\n"
        "print(len(c.records), len(c.classes), peak() - before, peak())"
    )
    source = str(Path(karat.__file__).parents[1])
    zipped = str(data_dir / "images" / "cifar10-train.zip")
    ran = subprocess.run(
        [sys.executable, "-c", script, zipped, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": source, "OMP_NUM_THREADS": "1"},
    )
    count, classes, kilobytes, peak = map(int, ran.stdout.split())
    assert (count, classes) == (800, 10) and kilobytes < 250_000
    assert peak < 1_000_000


def test_the_last_records_are_set_aside_as_they_stand(tmp_path: Path) -> None:
    data = load(saved(tmp_path, pictures(400)), holdout="last:0.25")
    assert data.holdout.tolist() == list(range(300, 400))


@pytest.mark.parametrize("wrong", ["last:2", "last:", "first:0.1", "speaker=theo", "n<5"])
def test_a_holdout_that_cannot_be_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(FitError, match="holdout"):
        load(saved(tmp_path, pictures(400)), holdout=wrong)


def test_what_is_known_of_records_sets_them_aside() -> None:
    known = {"n": np.array(["0", "4", "5", "11"]), "speaker": np.array(["theo", "ann", "theo", "ann"])}
    contents = Contents(np.zeros((4, 1)), facets=known)
    assert rows_aside(contents, "n<5", 0.1).tolist() == [True, True, False, False]
    assert rows_aside(contents, "speaker=theo", 0.1).tolist() == [True, False, True, False]
    with pytest.raises(FitError, match="is not a number"):
        rows_aside(contents, "speaker<5", 0.1)
    with pytest.raises(FitError, match="sets aside 0 of 4"):
        rows_aside(contents, "speaker=jim", 0.1)


def test_records_of_one_group_fall_on_one_side() -> None:
    digests = np.random.default_rng(0).integers(0, 2**63, (400, 2)).astype(np.uint64)
    groups = np.arange(400) // 8
    train, held, _ = split(together(digests, groups), np.arange(400), None, 0.2, 0)
    assert not set(groups[train]) & set(groups[held])


def sized(kind: str, folder: Path, n: int) -> Data:
    """`n` records of a kind of content, each different."""
    rng = np.random.default_rng(n)
    if kind == "pictures":
        save_pictures(folder / "pictures", n)
        return load(folder / "pictures")
    if kind == "arrays":
        return load(saved(folder, pictures(n)))
    if kind == "rows":
        rows = [f"{rng.normal():.4f},{rng.integers(5)}" for _ in range(n)]
        (folder / "t.csv").write_text("\n".join(["a,b", *rows]))
        return load(folder / "t.csv")
    if kind == "text":
        words = [a + b + c for a in "bdk" for b in "aei" for c in "mnrst"]
        lines = [" ".join(rng.choice(words, 12)) + "." for _ in range(n)]
        (folder / "t.jsonl").write_text("\n".join(json.dumps({"text": line}) for line in lines))
        return load(folder / "t.jsonl", options={"text": "text"})
    assert kind == "sounds"
    save_tones(folder / "sounds", n)
    return load(folder / "sounds")


@pytest.mark.parametrize("n", [40, 41, 120, 240])
@pytest.mark.parametrize("kind", ["pictures", "arrays", "rows", "text", "sounds"])
def test_what_trains_can_be_assayed(kind: str, n: int, tmp_path: Path) -> None:
    data = sized(kind, tmp_path, n)
    assert len(data.train) >= JUDGED and len(data.holdout) >= JUDGED
    assert len(data.train) + len(data.holdout) == n
    assert not any("no assay" in note for note in data.notes)


@pytest.mark.parametrize("kind", ["arrays", "rows", "text"])
@pytest.mark.parametrize("n", [32, 39])
def test_too_few_for_an_assay_is_said_before_training(kind: str, n: int, tmp_path: Path) -> None:
    (note,) = [note for note in sized(kind, tmp_path, n).notes if "no assay will be possible" in note]
    assert f"at least {JUDGED} of each" in note


def test_a_holdout_that_a_person_asks_for_stays_though_no_judge_has_enough(tmp_path: Path) -> None:
    data = load(saved(tmp_path, pictures(100)), holdout="last:0.05")
    assert data.holdout.tolist() == list(range(95, 100))
    assert "5 set aside: no assay will be possible" in data.notes[0]
    with pytest.raises(FitError, match="leaves 5 to learn from and 95"):
        load(saved(tmp_path, pictures(100)), holdout="last:0.95")
    assert len(load(saved(tmp_path, pictures(100)), holdout=0.01).holdout) == JUDGED
    assert len(load(saved(tmp_path, pictures(100)), holdout=0.99).train) == JUDGED


@pytest.mark.parametrize("size", [3, 25, 60])
def test_making_a_side_large_enough_cuts_no_group(size: int) -> None:
    digests = np.random.default_rng(0).integers(0, 2**63, (240, 2)).astype(np.uint64)
    groups = np.arange(240) // size
    for share in (0.01, 0.1, 0.9):
        train, held, _ = split(together(digests, groups), np.arange(240), None, share, 0)
        assert min(len(train), len(held)) >= JUDGED
        assert not set(groups[train]) & set(groups[held])
    one, other, _ = split(together(digests, np.zeros(240, int)), np.arange(240), None, 0.1, 0)
    assert min(len(one), len(other)) >= JUDGED, "of one group alone there is no other way"


def test_a_name_that_is_misspelled_is_answered_with_the_one_that_is_meant(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text("a\n1\n")
    with pytest.raises(
        DataError, match=r"oders\.csv does not exist; did you mean '.*orders\.csv'\? `karat look --help`"
    ):
        load(tmp_path / "oders.csv")
    with pytest.raises(DataError, match=r"photos does not exist\. `karat look --help`"):
        load(tmp_path / "nowhere" / "photos")
