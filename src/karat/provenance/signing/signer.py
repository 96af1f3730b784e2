"""Who signs what is made, last of all: a manifest in forms that hold one, for all other files a signature beside them."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from karat.provenance.containers import container_of
from karat.provenance.content import digest_of_open
from karat.provenance.label import Label
from karat.provenance.reading import found_in
from karat.provenance.signing.detached import BESIDE, INSIDE, number_of, sign_files
from karat.provenance.signing.keys import Key, Trust
from karat.provenance.signing.manifest import TYPES, available, embed, read_manifest


@dataclass(frozen=True)
class Signer:
    """A key, and what is signed with it.   version: of karat.   stamp: address of a time-stamping service, asked only then."""

    key: Key
    version: str
    stamp: str | None = None

    def inside(self, name: str, blob: bytes, label: Label) -> bytes | None:
        """The file with this label and a manifest; None where its form can hold none, or c2pa-python is not there.

        The label refers to the manifest: a digest of the rest of the file would not outlive it.
        """
        suffix, container = Path(name).suffix.lower(), container_of(name)
        if suffix not in TYPES or container is None or not available():
            return None
        blob = container.write(blob, label, lambda *_: "c2pa")
        says = {"content": digest_of_open(io.BytesIO(blob), name), "label": number_of(found_in(container.words(blob)))}
        return embed(blob, suffix, self.key, says, self.version, _now(), self.stamp)

    def beside(self, files: Sequence[Path], root: Path) -> bytes | None:
        """The signature file of those files in or below `root` that hold no manifest; None where all do."""
        bare = [path for path in files if read_manifest(path, Trust()) is None]
        return json.dumps(sign_files(bare, root, self.key, _now()), indent=1).encode() if bare else None

    @staticmethod
    def place(goal: Path) -> Path:
        """Where the signature of a file lies, or of the files in a folder."""
        return goal / INSIDE if goal.is_dir() else goal.with_name(goal.name + BESIDE)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
