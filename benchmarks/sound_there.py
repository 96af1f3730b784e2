"""What the way of recordings to mel spectrograms and back changes: length, loudness, brightness, pitch.

python benchmarks/sound_there.py --real $KARAT_DATA/audio/fsdd --labels "{label}_{speaker}_{n}" --holdout "n<5" --count 1500
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from karat.data import load
from karat.training import pace

FRAME = 0.016  # seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--real", required=True)
    parser.add_argument("--labels", default="{label}_{speaker}_{n}")
    parser.add_argument("--holdout", default="n<5")
    parser.add_argument("--count", type=int, default=1500)
    args = parser.parse_args()
    print(f"processor: {pace.processor()}", flush=True)
    torch.set_num_threads(1)
    data = load(args.real, options={"labels": args.labels}, holdout=args.holdout)
    codec = data.codec
    few = np.sort(np.random.default_rng(0).choice(data.train, args.count, replace=False))
    records = data.contents.records[few]
    back = codec.decode(codec.encode(records), codec.spaces[0], np.random.default_rng(0))
    before, after = codec.descriptors(records), codec.descriptors(back)
    for name, was in before.items():
        change = np.asarray(after[name], float) - was
        print(
            f"{name}: median change {np.nanmedian(abs(change)):.3g}, mean {np.nanmean(change) / np.nanmean(was):+.1%}"
        )
    length = abs(np.asarray(after["length (s)"], float) - before["length (s)"])
    for frames in (1, 2):
        print(f"ends within {frames} frame(s): {(length <= frames * FRAME + 1e-4).mean():.1%}")


if __name__ == "__main__":
    main()
