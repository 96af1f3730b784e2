"""A person's data: read once, fingerprinted, freed of exact copies, split before anything learns, served in batches.

The k-th batch is a pure function of (seed, k), so that a run can be continued exactly where it stopped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from karat import limits
from karat.content import Codec, recognise
from karat.content.codec import Contents
from karat.content.relational.relations import alone
from karat.errors import DataError, FitError
from karat.privacy import CODEC, Asked, Budget
from karat.space import JUDGED, Batches, Space
from karat.views import Known, View
from karat.words import several

FEWEST = 32  # different records; fewer teach nothing
WANTED = 200
FACET = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|!=|<|>|=)\s*(.+?)\s*")
TEXTS = {  # settings of the data whose values are texts, whatever they look like
    "schema", "labels", "label", "table", "query", "entity", "order", "text", "target", "encoding", "sheet",
}  # fmt: skip
DATABASES = ("postgresql://", "postgres://")
HOLDOUT_MOST = 10_000
RESIDENT = 2**30  # bytes of encoded points that are kept on the device as one tensor

Part = Literal["train", "holdout"]


@dataclass(frozen=True)
class Data:
    """Records at a path, and the two disjoint parts of them: what may be learned from, and what only the judge may see.

    fingerprint: sha256 of records, labels and the publisher's split.   train, holdout: sorted int64 rows of
    `contents.records`.   duplicates: exact copies dropped.   notes: what a person should know, in plain sentences.
    """

    path: str
    codec: Codec
    contents: Contents
    fingerprint: str
    train: np.ndarray
    holdout: np.ndarray
    duplicates: int
    notes: tuple[str, ...] = ()
    budget: Budget | None = None  # of privacy: what the codec spent of it

    @property
    def space(self) -> Space:
        return self.codec.spaces[0]

    @property
    def classes(self) -> tuple[str, ...]:
        return self.contents.classes

    @property
    def target(self) -> str | None:
        """The column that a model would predict, where a person named one."""
        named: str | None = self.contents.facts.get("target")
        return named

    def rows(self, part: Part, limit: int | None = None, seed: int = 0) -> np.ndarray:
        """Sorted rows of a part; with a limit, that many of them drawn with `seed`."""
        rows = self.train if part == "train" else self.holdout
        if limit is None or limit >= len(rows):
            return rows
        drawn = np.random.default_rng(seed & 2**63 - 1).choice(len(rows), limit, replace=False)
        return np.asarray(rows[np.sort(drawn)])

    def records(self, part: Part, limit: int | None = None, seed: int = 0) -> Any:
        """The records of `rows(part, limit, seed)`."""
        return self.contents.records[self.rows(part, limit, seed)]

    def points(self, part: Part, limit: int | None = None, seed: int = 0, space: Space | None = None) -> Tensor:
        """Encoded points `[n, *space.shape]` of `rows(part, limit, seed)`; of the codec's first space by default."""
        return self.codec.encode(self.records(part, limit, seed), space)

    def view(self, part: Part, limit: int | None = None, seed: int = 0) -> View:
        """How a judge sees `rows(part, limit, seed)`, with what is known of them."""
        rows = self.rows(part, limit, seed)
        return self.codec.view(self.contents.records, rows).known(self.known(rows))

    def known(self, rows: np.ndarray) -> Known:
        """What is known of the records at `rows`."""
        labels, groups = self.contents.labels, self.contents.groups
        facets = {name: values[rows] for name, values in self.contents.facets.items()}
        mine = None if labels is None else labels[rows]
        return Known(mine, self.classes, facets, None if groups is None else groups[rows])

    def labels(self, part: Part, limit: int | None = None, seed: int = 0) -> Tensor | None:
        """int64 `[n]` of `rows(part, limit, seed)`, or None where there are no classes."""
        if self.contents.labels is None:
            return None
        return torch.from_numpy(self.contents.labels[self.rows(part, limit, seed)])


def load(
    source: Any,
    *,
    size: int | None = None,
    options: Mapping[str, Any] | None = None,
    holdout: float | str = 0.1,
    seed: int = 0,
    cache: Path | None = None,
    codec: Codec | None = None,
    private: Asked | None = None,
) -> Data:
    """The data at a path or a database's address, or in a data frame, split; DataError when it cannot be learned from.

    options: what the kind of content knows, such as a table's schema; `size` is that of pictures. The publisher's split
    is kept where there is one. Otherwise a record's own content and `seed` decide its side, so that the same record
    falls on the same side whatever is added or taken away around it.
    holdout: the share set aside; "last:0.1", the last of the records as they stand; or what is known of them, "n<5",
    "speaker=theo" (see `Contents.facets`).
    codec: one that was fitted to these data before.   private: fit it with differential privacy, of which it spends the
    share `privacy.CODEC`.
    """
    share, rule = _share(holdout)
    place = source
    if isinstance(source, str | Path) and not str(source).startswith(DATABASES):
        if "://" in str(source):
            raise DataError(
                f"{source} is an address; nothing is downloaded. Download it yourself and give the file or folder."
            )
        place = Path(source).expanduser()
    known = dict(options) if options is not None else {}
    for name in sorted(TEXTS & set(known)):
        if known[name] is not None and not isinstance(known[name], str | Path):
            raise FitError(f"data.{name}={str(known[name])[:60]}: a text was wanted.")
    place = alone(place)
    kind = recognise(place, known)
    if size is not None:
        known["size"] = size
    if cache is not None:
        known["cache"] = cache
    for name in sorted(set(known) - {*kind.settings, "cache"}):
        raise FitError(f"data.{name}: {kind.name} data has the settings {', '.join(kind.settings)}.")
    if rule == "last" and "last" in kind.settings:  # content that can be cut anywhere is cut there
        known["last"] = share
    contents = kind.read(place, known)
    if rule is not None and "last" not in known:
        contents = replace(contents, holdout=_aside(contents, rule, share))
    path = str(kind.place(source))

    digests = kind.digests(contents.records)
    if kind.repeats:
        unique = kept = np.arange(len(digests))
        enough, found = len(unique) >= FEWEST, f"{len(unique):,} row{'s' if len(unique) != 1 else ''}"
    else:
        unique, kept = _unique(digests, contents.holdout)
        enough, found = len(unique) >= FEWEST, f"{len(contents.records):,} records, of which {len(unique)} differ"
    if not enough:
        different = "" if kind.repeats else " different ones"
        raise DataError(f"{path} holds {found}; a generator needs about {WANTED}{different}. Add more.")
    sides = _occurrences(digests) if kind.repeats else digests
    if contents.groups is not None:
        sides = _together(digests, contents.groups)
    train, aside, notes = _split(sides, unique, contents.holdout, share, seed, asked=rule is not None)
    budget = None
    if codec is None and private is not None:
        budget = Budget.of(private.epsilon, private.delta_of(len(train))).part(CODEC)
        codec = kind.fit_discreetly(contents, train, budget, private.source())
    return Data(
        path=path,
        codec=kind.fit(contents, train) if codec is None else codec,
        contents=contents,
        fingerprint=_fingerprint(kind, contents, digests),
        train=train,
        holdout=aside,
        duplicates=len(kept) - len(unique),
        notes=(*contents.facts.get("notes", ()), *notes, *_contradictions(contents.labels, kept)),
        budget=budget,
    )


def _share(holdout: float | str) -> tuple[float, str | None]:
    """The share to set aside, and the rule by which: None, "last", or a comparison with a facet."""
    rule, text = None, str(holdout)
    if isinstance(holdout, str) and holdout.startswith("last:"):
        rule, text = "last", holdout.removeprefix("last:")
    elif isinstance(holdout, str) and FACET.fullmatch(holdout):
        return 0.1, holdout
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 < share < 1:
        raise FitError(
            f"holdout is {holdout}; a share between 0 and 1 is kept for the judge, usually 0.1; or last:0.1, or a "
            "comparison such as n<5 with what --labels reads in the names."
        )
    return share, rule


def _aside(contents: Contents, rule: str, share: float) -> np.ndarray:
    """bool [n]: the records that `rule` sets aside; FitError where it sets aside none or all."""
    n = len(contents.records)
    if rule == "last":
        return np.arange(n) >= round(n * (1 - share))
    match = FACET.fullmatch(rule)
    assert match is not None
    name, sign, wanted = match.groups()
    if name not in contents.facets:
        known = ", ".join(contents.facets) if contents.facets else "none, for want of --labels"
        raise FitError(f"--holdout {rule!r}: nothing called {name!r} is known of these records; there are: {known}.")
    have = contents.facets[name]
    if sign in ("=", "!="):
        aside: np.ndarray = (have == wanted) == (sign == "=")
    else:
        try:
            numbers, least = have.astype(float), float(wanted)
        except ValueError:
            raise FitError(f"--holdout {rule!r}: {name} is not a number in every name; compare it with =.") from None
        aside = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}[sign](numbers, least)
    if not 0 < aside.sum() < n:
        raise FitError(f"--holdout {rule!r} sets aside {int(aside.sum())} of {n} records; some were wanted, not all.")
    return aside


def _together(digests: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """`digests` [n, 2] with those of each group's first record in place of its others'."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return np.ascontiguousarray(digests[first][inverse])


def _occurrences(digests: np.ndarray) -> np.ndarray:
    """`digests` [n, 2] with the second half mixed with how many equal ones came before: equal rows fall on both sides."""
    keys = np.ascontiguousarray(digests).view("V16")[:, 0]
    order = np.argsort(keys, kind="stable")
    new = np.concatenate([[True], keys[order][1:] != keys[order][:-1]]) if len(keys) else np.zeros(0, bool)
    begun = np.maximum.accumulate(np.where(new, np.arange(len(keys)), 0))
    count = np.empty(len(keys), np.uint64)
    count[order] = (np.arange(len(keys)) - begun).astype(np.uint64)
    return np.stack([digests[:, 0], digests[:, 1] + count * np.uint64(0x9E3779B97F4A7C15)], 1)


def _fingerprint(kind: type[Codec], contents: Contents, digests: np.ndarray) -> str:
    """sha256 over the digests of the records, their form, the labels, and the publisher's split."""
    total = hashlib.sha256()
    total.update(repr((*kind.form(contents.records), contents.classes)).encode())
    total.update(digests.tobytes())
    if contents.labels is not None:
        total.update(b"labels" + contents.labels.astype("<i8").tobytes())
    if contents.holdout is not None:
        total.update(b"holdout" + np.packbits(contents.holdout).tobytes())
    return total.hexdigest()


def _unique(digests: np.ndarray, aside: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Sorted first rows of each set of equals, a row to learn from before one set aside; and the first of each row."""
    order = np.arange(len(digests)) if aside is None else np.argsort(aside, kind="stable")
    keys = np.ascontiguousarray(digests[order]).view("V16")[:, 0]
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    kept = np.empty(len(digests), np.int64)
    kept[order] = order[first][inverse]
    return np.sort(order[first]), kept


def _contradictions(labels: np.ndarray | None, kept: np.ndarray) -> list[str]:
    """A sentence, where exact copies of a record carry another class."""
    wrong = 0 if labels is None else int((labels != labels[kept]).sum())
    return [f"{wrong:,} exact copies carry another class than the record kept."] if wrong else []


def _split(
    digests: np.ndarray, unique: np.ndarray, aside: np.ndarray | None, share: float, seed: int, *, asked: bool = False
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Train and holdout rows, sorted and disjoint, of the unique records; as many of each as a judge needs, where there are.

    Records with equal digests fall on one side.   asked: `aside` is what a person asked for, and stays as it is.
    """
    notes: list[str] = []
    if aside is not None:
        train, held = unique[~aside[unique]], unique[aside[unique]]
        if asked and (len(train) < FEWEST // 2 or not len(held)):
            raise FitError(
                f"--holdout leaves {len(train)} to learn from and {len(held)} for the judge; wanted at least {FEWEST // 2} and 1, "
                f"and {JUDGED} of each for an assay."
            )
        if asked or min(len(held), len(train)) >= JUDGED:
            return train, held, _unjudged(train, held)
        notes.append(
            f"The publisher's split leaves {len(train)} to learn from and {len(held)} aside, "
            f"too few of one of them, so all was split anew."
        )
    salt = seed.to_bytes(16, "little", signed=True)
    chance = np.array(
        [
            int.from_bytes(hashlib.blake2b(digest.tobytes(), digest_size=8, key=salt).digest(), "little")
            for digest in digests[unique]
        ],
        np.uint64,
    )
    order = np.argsort(chance, kind="stable")
    below = int((chance < np.uint64(int(share * 2**64))).sum())
    count = _between_groups(chance[order], min(max(below, JUDGED), HOLDOUT_MOST, len(unique) - JUDGED))
    train, held = np.sort(unique[order[count:]]), np.sort(unique[order[:count]])
    return train, held, [*notes, *_unjudged(train, held)]


def _between_groups(chance: np.ndarray, count: int) -> int:
    """`count`, or the nearest place in the sorted `chance` where no group, of equal chances, is cut and both sides are enough."""
    first = int(np.searchsorted(chance, chance[count], "left"))
    if first == count or first >= JUDGED:
        return first
    last = int(np.searchsorted(chance, chance[count], "right"))
    return last if len(chance) - last >= JUDGED else count


def _unjudged(train: np.ndarray, held: np.ndarray) -> list[str]:
    """A sentence, where a judge will have too little to judge by."""
    if min(len(train), len(held)) >= JUDGED:
        return []
    return [
        f"{len(train)} to learn from and {len(held)} set aside: no assay will be possible, for the judge needs at least "
        f"{JUDGED} of each. Give at least {2 * JUDGED} different records, or another --holdout."
    ]


def batches(data: Data, size: int, seed: int, device: torch.device, space: Space | None = None) -> Batches:
    """What there is to learn from, on the device; its k-th batch, points `[size, *space.shape]` and labels, is pure in k.

    Batches are consecutive slices of shuffled epochs laid end to end, so every record is seen once before any is seen
    twice. Points of up to 1 GiB are encoded once and stay on the device; more are encoded batch by batch.
    """
    if size < 1:
        raise FitError(f"The batch size is {size}; at least 1 was wanted.")
    goal = data.space if space is None else space
    limits.need(size * (8.0 * goal.numel + 16), f"a batch of {size:,}", "Lower --set train.batch.")
    rows = data.train
    n = len(rows)
    every = data.labels("train")
    labels = None if every is None else every.to(device)
    resident = n * goal.numel * 4 <= RESIDENT
    points = data.codec.encode(data.contents.records[rows], goal).to(device) if resident else None

    @lru_cache(maxsize=2)
    def shuffled(epoch: int) -> Tensor:
        # torch's CPU generator uses only 32 bits of its seed, so (seed, epoch) is mixed down to 32 first.
        mixed = np.random.SeedSequence((seed & 2**64 - 1, epoch)).generate_state(1)
        return torch.randperm(n, generator=torch.Generator().manual_seed(int(mixed[0])))

    def some(most: int) -> tuple[Tensor, Tensor | None]:
        chosen = np.arange(n) if most >= n else np.arange(most) * n // most
        x = data.codec.encode(data.contents.records[rows[chosen]], goal) if points is None else points[chosen]
        return x.to(device), None if labels is None else labels[chosen]

    def sized(size: int) -> Batches:
        def batch(k: int) -> tuple[Tensor, Tensor | None]:
            start, parts, wanted = k * size, [], size
            while wanted:
                epoch, at = divmod(start, n)
                part = shuffled(epoch)[at : at + wanted]
                parts.append(part)
                start, wanted = start + len(part), wanted - len(part)
            chosen = torch.cat(parts)
            there = chosen.to(device)
            if points is not None:
                x = points.index_select(0, there)
            else:
                x = data.codec.encode(data.contents.records[rows[chosen.numpy()]], goal).to(device)
            return x, None if labels is None else labels.index_select(0, there)

        return Batches(n, batch, some, sized)

    return sized(size)


NEAR = 0.995  # cosine of two centred thumbnails; saving as JPEG again stays above it, another take of a scene does not
NEAR_MOST = 20_000  # records compared, each with each
EXAMPLES = 20


def survey(data: Data) -> dict[str, Any]:
    """What a person should know of his data before training, as JSON; `warnings` are plain sentences."""
    contents = data.contents
    used = np.concatenate([data.train, data.holdout])
    counts: dict[str, int] = {}
    if contents.labels is not None:
        found = np.bincount(contents.labels[used], minlength=len(data.classes))
        counts = {name: int(n) for name, n in zip(data.classes, found, strict=True)}
    imbalance = max(counts.values()) / max(1, min(counts.values())) if counts else None
    facts = {key: value for key, value in contents.facts.items() if key not in ("notes", "doubt")}
    told = {
        "path": data.path,
        "kind": data.codec.name,
        "what": data.codec.phrase(),
        "fingerprint": data.fingerprint,
        "count": len(contents.records),
        "train": len(data.train),
        "holdout": len(data.holdout),
        "split": "the publisher's" if contents.holdout is not None else "by content",
        "classes": counts,
        "imbalance": imbalance,
        **data.codec.traits(),
        "exact_duplicates": data.duplicates,
        "near_duplicates": near_duplicates(data) if data.codec.compared else None,
        "skipped": [list(row) for row in contents.skipped],
        **facts,
    }
    return {**told, "warnings": [*data.notes, *_warnings(told, data.codec.thing)]}


def _warnings(told: dict[str, Any], thing: str) -> list[str]:
    said = []
    different = told["train"] + told["holdout"]
    if different < WANTED:
        what = thing if told["near_duplicates"] is None else f"different {thing}"
        said.append(f"There are only {several(different, what)}; a generator needs about {WANTED}.")
    if told["skipped"]:
        names = ", ".join(name for name, _ in told["skipped"][:3])
        said.append(
            f"Skipped, for they could not be read: {several(len(told['skipped']), 'file')}: {names}{_more(told['skipped'])}."
        )
    if told.get("ignored"):
        kinds = ", ".join(f"{count} {kind}" for kind, count in list(told["ignored_kinds"].items())[:4])
        said.append(f"Left alone: {several(told['ignored'], 'other file')} ({kinds}).")
    if told["exact_duplicates"]:
        said.append(f"Dropped: {several(told['exact_duplicates'], 'exact duplicate')}.")
    near = told["near_duplicates"]
    if near is not None and near["records"] > 0.01 * near["examined"]:
        said.append(f"{near['records']:,} of {near['examined']:,} {thing}s compared have a near duplicate.")
    if near is not None and near["across"] > 0.001 * near["examined"]:
        said.append(
            f"Near duplicates on different sides of the split: {several(near['across'], 'pair')}; copying will look common."
        )
    if told["imbalance"] is not None and told["imbalance"] > 3:
        least, most = min(told["classes"], key=told["classes"].get), max(told["classes"], key=told["classes"].get)
        ratio = f"{told['imbalance']:.3g} times as many"
        said.append(f"{most!r} has {ratio} {thing}s as {least!r}; a generator will learn the small class worse.")
    scarce = [name for name, count in told["classes"].items() if count < 50]
    if scarce:
        listed = ", ".join(repr(name) for name in scarce[:5])
        said.append(
            f"Fewer than 50 {thing}s in {several(len(scarce), 'class', 'classes')}: {listed}{_more(scarce, 5)}."
        )
    return said


def _more(things: list[Any], shown: int = 3) -> str:
    return f" and {len(things) - shown} more" if len(things) > shown else ""


def near_duplicates(data: Data, most: int = NEAR_MOST) -> dict[str, Any]:
    """Pairs of different records that are nearly the same: the codec's `doubles`, or where it leaves that to thumbnails,
    those whose grey 16 x 16 thumbnails have a cosine of at least 0.995, contrast aside.

    records: how many have such a partner; pairs: how many pairs; across: pairs with one record on each side of the
    split; examples: up to 20 pairs of names, nearest first in each stretch; examined: how many records were compared.
    """
    rows = np.sort(np.concatenate([data.train, data.holdout]))
    if len(rows) > most:
        rows = rows[np.arange(most) * len(rows) // most]
    held = torch.from_numpy(np.isin(rows, data.holdout))
    names = data.contents.names
    found = data.codec.doubles(data.contents.records[rows])
    if found is not None:
        return {
            "records": len(np.unique(found)),
            "pairs": len(found),
            "across": int((held[found[:, 0]] != held[found[:, 1]]).sum()),
            "examined": len(rows),
            "examples": [[_name(names, int(rows[a])), _name(names, int(rows[b]))] for a, b in found[:EXAMPLES]],
        }
    thumbs = torch.cat([_centred(data.codec.thumbnails(part)) for part in _blocks_of(data.contents.records, rows)])
    partnered = torch.zeros(len(rows), dtype=torch.bool)
    pairs, across = 0, 0
    examples: list[tuple[int, int]] = []
    for start in range(0, len(rows), 1024):
        near = torch.triu(thumbs[start : start + 1024] @ thumbs[start:].T, diagonal=1)
        a, b = torch.nonzero(near >= NEAR, as_tuple=True)
        if not len(a):
            continue
        if len(examples) < EXAMPLES:
            order = near[a, b].argsort(descending=True)[: EXAMPLES - len(examples)]
            examples += [(int(a[i]) + start, int(b[i]) + start) for i in order]
        a, b = a + start, b + start
        pairs, across = pairs + len(a), across + int((held[a] != held[b]).sum())
        partnered[a] = True
        partnered[b] = True
    return {
        "records": int(partnered.sum()),
        "pairs": pairs,
        "across": across,
        "examined": len(rows),
        "examples": [[_name(names, int(rows[a])), _name(names, int(rows[b]))] for a, b in examples],
    }


def _name(names: tuple[str, ...], row: int) -> str:
    return names[row] if names else f"record {row}"


def _blocks_of(records: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), 1024):
        yield records[rows[start : start + 1024]]


def _centred(small: Tensor) -> Tensor:
    """`small` [n, d], centred and of length 1 (0 for a blank record)."""
    centred = small - small.mean(1, keepdim=True)
    return F.normalize(centred, dim=1, eps=1e-3)
