"""One picture's bytes, from anybody, turned into an array or refused before it costs memory."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from karat.errors import UnsafeFile

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif")
PIXELS = 64 * 2**20  # per picture; a 64-megapixel telephone stays inside
ORIENTATION = 0x0112  # the EXIF tag
DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")


@dataclass(frozen=True)
class Header:
    """What a picture says of itself before it is decoded; width and height are as a person sees them."""

    width: int
    height: int
    grey: bool
    bits: int
    mode: str
    format: str
    alpha: bool = False


def _open(file: BinaryIO, name: str) -> Image.Image:
    try:
        image = Image.open(file, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        pixels = re.search(r"\d+(?= pixels)", str(error))
        found = f"It has {int(pixels[0]):,} pixels" if pixels else str(error)
        raise UnsafeFile(_too_large(name, found)) from error
    if image.width * image.height > PIXELS:
        raise UnsafeFile(_too_large(name, f"It is {image.width} x {image.height} pixels"))
    return image


def _too_large(name: str, found: str) -> str:
    limit = f"{PIXELS // 2**20} megapixels"
    return f"{name} is too large to decode safely. {found}; the limit is {limit}. Make it smaller or take it out."


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "P":
        palette = np.array(image.getpalette("RGB"), np.uint8).reshape(-1, 3)
        return bool((palette == palette[:, :1]).all())
    return image.mode in ("1", "L", "LA", "La", *DEEP)


def peek(file: BinaryIO, name: str) -> Header:
    """The header alone; raises UnsafeFile over the pixel cap, and whatever Pillow raises for what is no picture."""
    with _open(file, name) as image:
        if image.mode == "F":
            raise ValueError("holds floating-point pixels; save it with 8 or 16 bits")
        # Pillow turns TIFF by itself, and would decode a whole PNG to look for EXIF that stands behind the pixels.
        turned = image.format in ("JPEG", "MPO", "WEBP") or (image.format == "PNG" and "exif" in image.info)
        width, height = image.size
        if turned and image.getexif().get(ORIENTATION, 1) in (5, 6, 7, 8):
            width, height = height, width
        bits = 16 if image.mode in DEEP else 8
        form = "JPEG" if image.format == "MPO" else str(image.format)
        return Header(width, height, _is_grey(image), bits, image.mode, form, _has_alpha(image))


def decode(file: BinaryIO, name: str, size: tuple[int, int], channels: int, bits: int) -> np.ndarray:
    """uint8, or uint16 for 16 `bits`: `[height, width, channels]`, upright, of `size` (width, height); on white, or RGBA."""
    with _open(file, name) as image:
        side = 2 * max(size)
        image.draft(image.mode, (side, side))  # a JPEG far larger than wanted is decoded at 1/2, 1/4 or 1/8
        image.load()
        return _finish(ImageOps.exif_transpose(image), size, channels, bits)


def _finish(image: Image.Image, size: tuple[int, int], channels: int, bits: int) -> np.ndarray:
    if image.mode in DEEP:
        deep = np.asarray(image).astype(np.int64)
        if deep.min() < 0 or deep.max() > 65535:
            raise ValueError("holds pixels of 32 bits; save it with 8 or 16")
        grey = fit_square(Image.fromarray(deep.astype(np.float32)), size)
        return _to_depth(np.asarray(grey), channels, bits)
    if (
        channels == 4
    ):  # what cannot be seen is white, so that nothing invisible is learned; Pillow resizes premultiplied
        pixels = np.array(fit_square(image.convert("RGBA"), size)).reshape(size[1], size[0], 4)
        pixels[pixels[..., 3] == 0, :3] = 255
        return pixels
    if _has_alpha(image):
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    image = fit_square(image.convert("L" if channels == 1 else "RGB"), size)
    pixels = np.asarray(image).reshape(size[1], size[0], channels)
    return pixels.astype(np.uint16) * 257 if bits == 16 else pixels


def _to_depth(grey: np.ndarray, channels: int, bits: int) -> np.ndarray:
    top = np.clip(grey, 0, 65535)
    flat = np.rint(top).astype(np.uint16) if bits == 16 else np.rint(top / 257).astype(np.uint8)
    return np.repeat(flat[:, :, None], channels, 2)


def fit_square(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The largest centred part of `image` with the shape of `size` (width, height), resized without aliasing."""
    if image.size == size:
        return image
    scale = min(image.width / size[0], image.height / size[1])
    width, height = scale * size[0], scale * size[1]
    left, top = (image.width - width) / 2, (image.height - height) / 2
    return image.resize(size, Image.Resampling.LANCZOS, (left, top, left + width, top + height))


WRITTEN: dict[str, tuple[str, dict[str, Any]]] = {  # how Pillow writes a picture, by its suffix
    ".png": ("PNG", {}),
    **dict.fromkeys((".jpg", ".jpeg"), ("JPEG", {"quality": 95, "subsampling": 0})),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    **dict.fromkeys((".tif", ".tiff"), ("TIFF", {"compression": "tiff_deflate"})),
    ".gif": ("GIF", {}),
}
SHALLOW = (".jpg", ".jpeg", ".webp", ".gif")  # hold 8 bits
OPAQUE = (".jpg", ".jpeg", ".gif")  # hold no alpha, or one bit of it
LOSSLESS = (".png", ".webp")  # hold every point of 8 bits


def rgba(record: np.ndarray) -> bytes:
    """The points of a record `[h, w, c]`, uint8, as `content_digest` takes them from its file."""
    out = np.full((*record.shape[:2], 4), 255, np.uint8)
    out[..., : 4 if record.shape[2] == 4 else 3] = record
    return f"RGBA {(record.shape[1], record.shape[0])}".encode() + out.tobytes()


def file_of(record: np.ndarray, channels: int, suffix: str) -> bytes:
    """The file of a record `[h, w, c]` in the form of `suffix`; on white where that has no alpha."""
    image = Image.fromarray(np.ascontiguousarray(record[:, :, 0] if channels == 1 else record))
    if channels == 4 and suffix in OPAQUE:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    (form, how), out = WRITTEN[suffix], io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def resize_record(record: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A record `[h, w, c]`, uint8 or uint16, brought to `size` (width, height)."""
    if record.dtype == np.uint16:
        planes = [fit_square(Image.fromarray(p.astype(np.float32)), size) for p in np.moveaxis(record, 2, 0)]
        return np.stack([np.rint(np.clip(np.asarray(p), 0, 65535)).astype(np.uint16) for p in planes], 2)
    image = Image.fromarray(record[:, :, 0] if record.shape[2] == 1 else record)
    return np.asarray(fit_square(image, size)).reshape(size[1], size[0], record.shape[2])
