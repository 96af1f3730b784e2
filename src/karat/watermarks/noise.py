"""Pictures by diffusion: the signs of the noise that each begins with are a word of a keyed code, found by going back to it.

After Gaussian Shading (https://arxiv.org/abs/2404.04956), whose one message would make pictures of one key alike: here each picture
has a word of its own, drawn by chance. The code is linear and its columns are different and of odd weight, so that of one key the
signs of any three places are independent, each place being normal as ever: means, covariances and third moments of the noise are
those without a mark; over all keys one draw has the very distribution of an unmarked one. All words are tried at once by a fast
Hadamard transform. Of noise in pixels the low frequencies carry the mark, which is what a picture keeps of it.

The test of one picture is the sum of what was found, each with the sign of the word: the key's signs are fair coins whatever the
picture is. Several pictures may have much in common, which goes with one key better than with another; so their test is the
place of the run's key among others that nobody used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.fft import dctn, idctn
from torch import Tensor

from karat.request import Request
from karat.watermarks.detection import Detection, best_of, detection
from karat.watermarks.images import ImageWatermark
from karat.watermarks.keyed import signs, words
from karat.watermarks.lattice import sum_of_signs

CARRIERS = 1024  # places of noise in pixels that carry the mark, at most
CLIP = 2.5  # standard deviations of the noise that one place counts for, at most
KINDS = 1  # that a picture is tried as, the likeliest
OTHERS = 1999  # keys among which the run's has to be one of the first two
TOGETHER, SUMS = 256, 1 << 17  # pictures that are put to one test, and sums of them for each key, at most
AT_ONCE = 128


@dataclass(frozen=True)
class NoiseWatermark(ImageWatermark):
    """model: the generator (`families.generator`) that drew the pictures, where they are to be found again."""

    technique = "signs of the noise that a picture begins with"
    model: Any = None

    def note(self) -> str | None:
        return None

    def asked(self, request: Request) -> Request:
        return replace(request, start=self.begun)

    def embedded(self, records: Any, rng: np.random.Generator) -> Any:
        """As they are: the mark is in them since they were drawn."""
        return records

    def begun(self, noise: Tensor, rng: torch.Generator) -> Tensor:
        """Normal noise [n, ...] with the signs of words that are drawn by `rng`; how large it is in each place stays."""
        carried = carriers(noise)
        code = Code.of(self.key, carried.shape[1])
        which = torch.randint(1 << code.bits, (len(noise),), generator=rng, device=rng.device).cpu().numpy()
        signed = carried.abs().cpu() * torch.from_numpy(code.words(which))
        return carrying(noise, signed.to(noise))

    def detect(self, records: Any) -> Detection:
        """records: pictures [h, w, channels] of any sizes.   Equal pictures count once where all are put together."""
        records = self.bare(records)
        _, first = np.unique([one.tobytes() for one in records], return_index=True)
        found = self.found(records)
        p, different = self.chances(found), np.sort(first)
        if len(different) <= 1:
            return detection(self.technique, p, p[different], items=len(different))
        some = different[: min(TOGETHER, max(1, SUMS >> Code.of(self.key, found.shape[1]).bits))]
        return detection(self.technique, p, np.array([self.together(found[some])]), items=len(some))

    def each(self, records: Any) -> np.ndarray:
        return self.chances(self.found(self.bare(records)))

    def found(self, records: Any) -> np.ndarray:
        """float32 [n, carriers]: what may be the noise of pictures of any sizes, as far as it carries a mark."""
        assert self.model is not None, "who detects has the model"
        parts = [
            carriers(self.model.noise(self._points(records[k : k + AT_ONCE]).to(self.model.device), KINDS)[:, 0])
            for k in range(0, len(records), AT_ONCE)
        ]
        return torch.cat(parts).clamp(-CLIP, CLIP).cpu().numpy() if parts else np.zeros((0, 1), np.float32)

    def chances(self, found: np.ndarray) -> np.ndarray:
        """The p values [n] of noise [n, carriers], each by itself."""
        code = Code.of(self.key, found.shape[1])
        total = code.sums(found).max(1)
        return best_of(sum_of_signs(total, np.abs(found).astype(np.float64)), 1 << code.bits)

    def together(self, found: np.ndarray) -> float:
        """The p value of noise [n, carriers] of several pictures: the share of keys of which it has as much."""
        own = self._evidence(self.key, found)
        others = [self._evidence(b"other" + bytes(words(self.key, f"other {k}", 4)), found) for k in range(OTHERS)]
        return (1 + sum(other >= own for other in others)) / (1 + OTHERS)

    @staticmethod
    def _evidence(key: bytes, found: np.ndarray) -> float:
        """By how much likelier noise [n, carriers] is where each has the signs of some word of a key, up to a constant."""
        sums = Code.of(key, found.shape[1]).sums(found)
        top = sums.max(1)
        return float((top + np.log(np.exp(sums - top[:, None]).mean(1))).sum())

    def _points(self, records: Any) -> Tensor:
        """[n, channels, height, width] in [-1, 1] of pictures of any sizes."""
        out = torch.empty(len(records), self.codec.channels, self.codec.height, self.codec.width)
        for into, record in zip(out, records, strict=True):
            x = torch.from_numpy(record.astype(np.float32)).movedim(2, 0) * (2 / np.iinfo(record.dtype).max) - 1
            if len(x) != len(into):
                x = (x[:3] if len(x) > 2 else x[:1]).mean(0, keepdim=True).expand(len(into), -1, -1)
            if x.shape[1:] != into.shape[1:]:
                x = F.interpolate(x[None], into.shape[1:], mode="bicubic", antialias=True)[0]
            into.copy_(x.clamp(-1, 1))
        return out


@dataclass(frozen=True)
class Code:
    """columns: int [d], which bits of a message each sign is the parity of.   base: float32 [d], what that is multiplied by."""

    bits: int
    columns: np.ndarray
    base: np.ndarray

    @classmethod
    def of(cls, key: bytes, size: int) -> Code:
        bits = max(1, (size - 1).bit_length()) + 1
        odd = np.flatnonzero(np.bitwise_count(np.arange(1 << bits)) & 1)
        order = np.random.default_rng(words(key, "noise columns", 4)).permutation(len(odd))[:size]
        return cls(bits, odd[order], signs(key, "noise signs", size))

    def words(self, messages: np.ndarray) -> np.ndarray:
        """float32 [n, d] of -1 and 1."""
        parity = np.bitwise_count(messages[:, None] & self.columns) & 1
        return np.asarray((1 - 2 * parity.astype(np.float32)) * self.base)

    def sums(self, found: np.ndarray) -> np.ndarray:
        """[n, 1 << bits]: the sum of `found` [n, d], each with the sign of a word, for all words."""
        x = np.zeros((len(found), 1 << self.bits), np.float32)
        x[:, self.columns] = found * self.base
        half = 1
        while half < x.shape[1]:
            pairs = x.reshape(len(x), -1, 2, half)
            x = np.stack([pairs[:, :, 0] + pairs[:, :, 1], pairs[:, :, 0] - pairs[:, :, 1]], 2).reshape(len(x), -1)
            half *= 2
        return x


def carriers(noise: Tensor) -> Tensor:
    """[n, d] of noise [n, ...]: of latents all of them; of pixels the lowest frequencies of each channel."""
    if noise.dim() == 2:
        return noise
    x = torch.from_numpy(dctn(noise.cpu().double().numpy(), axes=(2, 3), norm="ortho"))
    return x.flatten(1)[:, lowest(tuple(noise.shape[1:]))].to(noise)


def carrying(noise: Tensor, carried: Tensor) -> Tensor:
    """The same noise with `carried` [n, d] in place of what `carriers` finds."""
    if noise.dim() == 2:
        return carried
    x = dctn(noise.cpu().double().numpy(), axes=(2, 3), norm="ortho")
    flat = x.reshape(len(x), -1)
    flat[:, lowest(tuple(noise.shape[1:]))] = carried.cpu().numpy()
    return torch.from_numpy(idctn(flat.reshape(x.shape), axes=(2, 3), norm="ortho")).to(noise)


def lowest(shape: tuple[int, ...]) -> np.ndarray:
    """Places int [d] in a flat grid [channels, h, w] of cosines, those of the lowest frequencies."""
    channels, h, w = shape
    u, v = np.mgrid[:h, :w]
    far = np.broadcast_to(np.hypot(u / h, v / w), (channels, h, w)).ravel()
    return np.sort(np.argsort(far, kind="stable")[: min(CARRIERS, channels * h * w)])
