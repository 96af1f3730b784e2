"""Pictures come in as a person has them, become points, and come back."""

from __future__ import annotations

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import pictures, save_pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from karat.content import Images, recognise
from karat.content.codec import Contents
from karat.content.image.images import contact_sheet
from karat.data import load
from karat.errors import DataError, FitError
from karat.provenance.content import digest_of_open
from karat.space import Grid


def read(path: Path, **options: object) -> Contents:
    assert recognise(path) is Images
    return Images.read(path, options)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".TIF", ".PNG"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    made = save_pictures(tmp_path / "p", suffix=suffix)
    contents = read(tmp_path / "p")
    assert (contents.records == made).all()
    assert contents.records.dtype == np.uint8
    assert contents.names[:2] == (f"000{suffix}", f"001{suffix}")
    assert contents.facts["sizes"] == {"12x12": 40}
    assert contents.labels is None and contents.holdout is None


@pytest.mark.parametrize(("suffix", "form"), [(".jpg", "JPEG"), (".jpeg", "JPEG"), (".webp", "WEBP"), (".gif", "GIF")])
def test_lossy_formats_come_back_nearly(tmp_path: Path, suffix: str, form: str) -> None:
    made = save_pictures(tmp_path / "p", suffix=suffix)
    contents = read(tmp_path / "p")
    assert np.abs(contents.records.astype(int) - made).mean() < 16
    assert contents.facts["formats"] == {form: 40}


def test_the_first_frame_of_a_gif_is_taken(tmp_path: Path) -> None:
    made = pictures(80, channels=1)[..., 0]
    for i in range(40):
        first, second = Image.fromarray(made[i]), Image.fromarray(made[i + 40])
        first.save(tmp_path / f"{i:02}.gif", save_all=True, append_images=[second])
    records = read(tmp_path).records
    assert records.shape == (40, 12, 12, 1)
    assert (records[..., 0] == made[:40]).all()


def test_a_sixteen_bit_grey_folder_stays_sixteen_bit_and_is_written_so(tmp_path: Path) -> None:
    made = np.random.default_rng(0).integers(0, 65536, (40, 9, 10), dtype=np.uint16)
    for i, picture in enumerate(made):
        Image.fromarray(picture).save(tmp_path / f"{i:02}.{'png' if i % 2 else 'tiff'}")
    contents = read(tmp_path)
    assert contents.records.dtype == np.uint16
    assert (contents.records[..., 0] == made).all()
    codec = Images.fit(contents, np.arange(40))
    assert codec == Images(1, 9, 10, bits=16)
    assert (codec.decode(codec.encode(contents.records)) == contents.records).all()
    paths = codec.write(contents.records, tmp_path / "out", [f"{i:02}" for i in range(40)])
    assert (read(tmp_path / "out").records == contents.records).all()
    with Image.open(paths[0]) as image:
        assert image.mode == "I;16"
    assert codec.show(contents.records).shape == (40, 9, 10, 3)


def test_eight_and_sixteen_bits_together_are_eight(tmp_path: Path) -> None:
    save_pictures(tmp_path, 40, channels=1)
    Image.fromarray(np.full((12, 12), 257 * 100, np.uint16)).save(tmp_path / "deep.png")
    records = read(tmp_path).records
    assert records.dtype == np.uint8 and (records[-1] == 100).all()


def test_sixteen_bit_pictures_are_resized_smoothly(tmp_path: Path) -> None:
    for i in range(40):
        Image.fromarray(np.full((20 + i, 30), 1000 * i, np.uint16)).save(tmp_path / f"{i:02}.png")
    records = read(tmp_path).records
    assert records.dtype == np.uint16 and records.shape[1:] == (24, 24, 1)
    assert (records[:, 0, 0, 0] == 1000 * np.arange(40)).all()


def _one_of_each_mode() -> dict[str, Image.Image]:
    rgb = Image.new("RGB", (12, 12), (200, 30, 40))
    clear = Image.new("RGBA", (12, 12), (0, 0, 0, 0))
    key = Image.new("L", (12, 12), 7)
    return {
        "rgb.png": rgb,
        "clear.png": clear,
        "solid.png": Image.new("RGBA", (12, 12), (200, 30, 40, 255)),
        "half.png": Image.new("RGBA", (12, 12), (0, 0, 0, 128)),
        "palette.png": rgb.quantize(4),
        "grey.png": Image.new("L", (12, 12), 90),
        "greya.png": Image.new("LA", (12, 12), (0, 0)),
        "bit.png": Image.new("1", (12, 12), 1),
        "cmyk.jpg": Image.new("CMYK", (12, 12), (0, 0, 0, 0)),
        "cmyk.tif": Image.new("CMYK", (12, 12), (255, 255, 255, 255)),
        "deep.png": Image.fromarray(np.full((12, 12), 257 * 50, np.uint16)),
        "key.png": key,
    }


def test_a_folder_of_mixed_modes_becomes_colour_on_white(tmp_path: Path) -> None:
    save_pictures(tmp_path / "p")
    for name, image in _one_of_each_mode().items():
        extra = {"transparency": 7} if name == "key.png" else {}
        image.save(tmp_path / "p" / name, **extra)
    contents = read(tmp_path / "p")
    assert contents.records.shape[1:] == (12, 12, 3)
    found = {Path(n).name: contents.records[i, 5, 5].tolist() for i, n in enumerate(contents.names)}
    assert found["rgb.png"] == found["solid.png"] == found["palette.png"] == [200, 30, 40]
    assert found["clear.png"] == found["greya.png"] == found["bit.png"] == found["key.png"] == [255, 255, 255]
    assert found["half.png"] == [127, 127, 127]
    assert found["grey.png"] == [90, 90, 90] and found["deep.png"] == [50, 50, 50]
    assert found["cmyk.jpg"] == [255, 255, 255] and found["cmyk.tif"] == [0, 0, 0]
    assert contents.facts["modes"]["CMYK"] == 2


def test_a_grey_palette_is_grey(tmp_path: Path) -> None:
    made = pictures(40, channels=1)
    for i, picture in enumerate(made):
        Image.fromarray(picture[..., 0]).convert("P").save(tmp_path / f"{i:02}.png")
    assert (read(tmp_path).records == made).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_as_exif_says(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = Image.new("L", (24, 16), 0)
    upright.paste(255, (0, 0, 12, 8))  # white in the top left quarter
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpose that makes the stored form from the upright one
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    for i in range(33):
        stored.convert("RGB").save(tmp_path / f"{i:02}{suffix}", exif=exif)
    record = read(tmp_path).records[0]
    assert record.shape == (16, 24, 3)
    assert record[2:6, 2:10].min() > 200 and record[10:, :].max() < 60 and record[:, 14:].max() < 60


def test_mixed_sizes_are_cut_square_from_the_middle(tmp_path: Path) -> None:
    for i in range(40):
        wide = np.zeros((50, 150 + i, 3), np.uint8)
        wide[:, 50 : 100 + i] = (250, 20, 20)
        Image.fromarray(wide).save(tmp_path / f"{i:02}.png")
    contents = read(tmp_path)
    assert contents.records.shape == (40, 48, 48, 3)
    assert (np.abs(contents.records[:, :, 8:-8].astype(int) - (250, 20, 20)) < 12).all()
    assert read(tmp_path, size=16).records.shape == (40, 16, 16, 3)
    assert len(contents.facts["sizes"]) == 20


def test_resizing_does_not_alias(tmp_path: Path) -> None:
    stripes = np.zeros((256, 256), np.uint8)
    stripes[:, ::2] = 255
    for i in range(33):
        Image.fromarray(np.roll(stripes, i, 0)).save(tmp_path / f"{i:02}.png")
    records = read(tmp_path).records
    assert records.shape[1:] == (64, 64, 1)
    assert np.abs(records[:, :, 2:-2].astype(int) - 127).max() <= 2


@pytest.mark.parametrize(
    ("shape", "wanted"), [((40, 30), (40, 30)), ((128, 128), (128, 128)), ((129, 200), (64, 64)), ((5, 5), (16, 16))]
)
def test_one_small_size_is_left_as_it_is(tmp_path: Path, shape: tuple[int, int], wanted: tuple[int, int]) -> None:
    for i in range(33):
        Image.new("L", shape[::-1], i).save(tmp_path / f"{i:02}.png")
    assert read(tmp_path).records.shape[1:3] == wanted


def test_class_folders_with_any_name_become_labels(tmp_path: Path) -> None:
    for name in ("10", "9", "猫", "🐶 dogs and more"):
        save_pictures(tmp_path / name, 20, seed=len(name))
    contents = read(tmp_path)
    assert contents.classes == ("10", "9", "猫", "🐶 dogs and more")
    assert np.bincount(contents.labels).tolist() == [20] * 4
    assert contents.names[0] == "10/000.png"


def test_classes_that_are_numbers_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    for name in range(12):
        save_pictures(tmp_path / str(name), 4, seed=name)
    assert read(tmp_path).classes == tuple(map(str, range(12)))


def test_a_publishers_split_is_kept(tmp_path: Path) -> None:
    for side in ("train", "test"):
        for name in ("a", "b"):
            save_pictures(tmp_path / "set" / side / name, 20)
    contents = read(tmp_path)
    assert contents.classes == ("a", "b")
    assert contents.holdout is not None and contents.holdout.sum() == 40
    assert all(name.startswith("set/test/") for name in np.array(contents.names)[contents.holdout])


def test_pictures_without_a_class_in_the_publishers_test_are_left_out_and_said(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_pictures(tmp_path / "train" / name, 20)
    save_pictures(tmp_path / "test", 20)
    contents = read(tmp_path)
    assert len(contents.records) == 40 and contents.labels is not None
    assert contents.facts["notes"] == ["20 pictures set aside by the publisher have no class and were left out."]


def test_stray_pictures_beside_class_folders_are_said(tmp_path: Path) -> None:
    save_pictures(tmp_path / "a", 20)
    save_pictures(tmp_path / "b", 20)
    save_pictures(tmp_path, 2)
    contents = read(tmp_path)
    assert contents.labels is None and len(contents.records) == 42
    assert "2 pictures lie beside the class folders" in contents.facts["notes"][0]


def test_other_files_are_counted_and_left_alone(tmp_path: Path) -> None:
    save_pictures(tmp_path / "p")
    for name in ("README.txt", ".DS_Store", "Thumbs.db", "meta.json", "list.csv", "._000.png"):
        (tmp_path / "p" / name).write_text("x")
    contents = read(tmp_path / "p")
    assert len(contents.records) == 40
    assert contents.facts["ignored"] == 6
    assert contents.facts["ignored_kinds"][".csv"] == 1


def test_grey_pictures_stored_in_colour_are_said(tmp_path: Path) -> None:
    for i, picture in enumerate(pictures(33, channels=1)):
        Image.fromarray(picture.repeat(3, 2)).save(tmp_path / f"{i}.png")
    contents = read(tmp_path)
    assert contents.records.shape[3] == 3 and "grey but stored in colour" in contents.facts["notes"][0]
    save_pictures(tmp_path, 1)
    assert read(tmp_path).facts["notes"] == []


def test_a_telephones_two_frame_jpeg_and_odd_names_are_read(tmp_path: Path) -> None:
    save_pictures(tmp_path, 40)
    first, second = (Image.fromarray(p) for p in pictures(2, seed=5))
    first.save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=[second])
    with open(os.fsencode(tmp_path) + b"/\xff\xfe.png", "wb") as file:
        file.write((tmp_path / "000.png").read_bytes())
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    contents = read(tmp_path)
    assert len(contents.records) == 42 and contents.facts["formats"]["JPEG"] == 1
    json.dumps(contents.names).encode()


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    made = save_pictures(tmp_path / "real")
    (tmp_path / "p").mkdir()
    for i in range(40):
        (tmp_path / "p" / f"{i:02}.png").symlink_to(tmp_path / "real" / f"{i:03}.png")
    (tmp_path / "p" / "again").symlink_to(tmp_path / "p")
    assert (read(tmp_path / "p").records == made).all()


CODECS = [Images(1, 28, 28), Images(3, 20, 30), Images(1, 9, 8, bits=16)]


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_decode_undoes_encode(codec: Images) -> None:
    levels = np.arange(65536 if codec.bits == 16 else 256)
    shape = (64, codec.height, codec.width, codec.channels)
    records = np.resize(levels, shape).astype(np.uint16 if codec.bits == 16 else np.uint8)
    points = codec.encode(records)
    assert points.shape == (64, *codec.spaces[0].shape) and points.dtype == torch.float32
    assert points.min() == -1 and points.max() <= 1
    assert (codec.decode(points) == records).all()


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_decode_of_anything_is_a_picture(codec: Images) -> None:
    noise = torch.randn(4, *codec.spaces[0].shape, generator=torch.Generator().manual_seed(0)) * 3
    noise[0].fill_(float("nan"))
    noise[1].fill_(float("inf"))
    noise[2].fill_(float("-inf"))
    records = codec.decode(noise)
    assert records.shape == (4, codec.height, codec.width, codec.channels)
    assert (records[1] == codec.top).all() and (records[2] == 0).all() and records[0].min() == records[0].max()
    assert (codec.decode(noise.to(torch.bfloat16)).shape) == records.shape


@given(st.floats(width=32))
def test_decode_takes_the_nearest_level(value: float) -> None:
    level = int(Images(1, 8, 8).decode(torch.full((1, 1, 8, 8), value))[0, 0, 0, 0])
    bounded = min(1.0, max(-1.0, value)) if value == value else 0.0
    assert abs(level - (bounded + 1) * 127.5) <= 0.5 + 1e-4


def test_halves_go_to_the_even_level() -> None:
    points = torch.tensor([0.5, 1.5, 2.5, 127.5]).div(127.5).sub(1)
    exact = (points + 1) * 127.5
    decoded = Images(1, 1, 4).decode(points.view(1, 1, 1, 4))[0, 0, :, 0]
    assert decoded.tolist() == exact.round().to(torch.uint8).tolist()
    assert decoded[3] == 128


@pytest.mark.parametrize("codec", CODECS, ids=str)
def test_state_survives_json(codec: Images) -> None:
    assert Images.restore(json.loads(json.dumps(codec.state()))) == codec


def test_what_is_written_reads_back(tmp_path: Path) -> None:
    made, codec = pictures(40), Images(3, 12, 12)
    paths = codec.write(made, tmp_path / "new" / "folder", [f"{i:05}" for i in range(40)])
    assert [path.name for path in paths[:2]] == ["00000.png", "00001.png"]
    assert (read(tmp_path / "new" / "folder").records == made).all()


def test_the_judge_sees_at_most_64_pixels() -> None:
    codec = Images(3, 100, 200)
    half = np.zeros((2, 100, 200, 3), np.uint8)
    half[:, :, 100:] = 255
    seen = codec.view(half).points
    assert seen.shape == (2, 3, 32, 64)
    assert (seen[..., :32] == -1).all() and (seen[..., 32:] == 1).all()
    assert torch.equal(Images(1, 28, 28).view(np.zeros((1, 28, 28, 1), np.uint8)).points, -torch.ones(1, 1, 28, 28))


def test_encode_refuses_what_the_codec_was_not_made_for() -> None:
    codec = Images(1, 28, 28)
    with pytest.raises(FitError, match=r"Grid\(channels=3"):
        codec.encode(np.zeros((1, 28, 28, 1), np.uint8), Grid(3, (28, 28)))
    with pytest.raises(DataError, match=r"uint8 \[1, 8, 8, 1\].*\[n, 28, 28, 1\] was wanted"):
        codec.encode(np.zeros((1, 8, 8, 1), np.uint8))


def test_a_contact_sheet_shows_each_picture_in_its_place() -> None:
    codec = Images(1, 5, 7)
    shown = codec.show(np.arange(5, dtype=np.uint8).repeat(35).reshape(5, 5, 7, 1))
    sheet = np.asarray(contact_sheet(shown, 3))
    assert sheet.shape == (2 * 7 + 2, 3 * 9 + 2, 3)
    assert (sheet[2:7, 2:9] == 0).all() and (sheet[9:14, 11:18] == 4).all() and (sheet[9:14, 20:27] == 255).all()


def test_unknown_options_and_senseless_sizes_are_refused(tmp_path: Path) -> None:
    for options, said in (({"sise": 3}, "no option 'sise'"), ({"size": 0}, "size is 0"), ({"limit": 0}, "limit is 0")):
        with pytest.raises(FitError, match=said):
            Images.read(Path("digits"), options)


def test_pictures_of_few_grey_levels_are_decoded_to_those_levels() -> None:
    data = load("digits")
    assert isinstance(data.codec, Images) and len(data.codec.levels) == 17
    noise = torch.rand(8, *data.space.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    made = data.codec.decode(noise)
    assert set(np.unique(made)) <= set(data.codec.levels)
    assert (np.abs(made.astype(int) - np.asarray((noise.movedim(1, 3) + 1) * 127.5)) <= 9).all()
    again = Images.restore(json.loads(json.dumps(data.codec.state())))
    assert again == data.codec and (again.decode(noise) == made).all()


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("form", [".png", ".webp", ".jpg", ".tif"])
def test_what_a_picture_s_file_holds_is_known_without_reading_it_again(form: str, channels: int) -> None:
    codec, records = Images(channels, 9, 7), pictures(5, channels=channels, height=9, width=7)
    held = codec.held(records, form)
    assert (held is None) == (form not in (".png", ".webp"))
    for blob, known in zip(codec.blobs(records, form), held or (), strict=False):
        assert digest_of_open(io.BytesIO(blob), f"x{form}") == hashlib.sha256(known).hexdigest()
    deep = np.zeros((1, 9, 7, 1), np.uint16)
    assert Images(1, 9, 7, 16).held(deep, ".png") is None
