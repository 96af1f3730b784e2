"""A signature in a file beside what it signs, for forms that hold no manifest: of one file, or of all of a folder.

It signs for each file the digest of its content (`content.py`) and its label, so that a change of either is told apart.
ECDSA on P-256 with SHA-256, over the JSON of all but the signature itself, with sorted keys and no spaces.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from karat.errors import DataError
from karat.provenance.content import content_digest
from karat.provenance.files import read_json
from karat.provenance.reading import Found, read_label
from karat.provenance.signing.keys import Key, Trust, installed
from karat.provenance.signing.signed import Signature

FORM, INSIDE, BESIDE = "karat signature 1", "signature.json", ".signature.json"


def sign_files(files: Iterable[Path], root: Path, key: Key, when: str) -> dict[str, Any]:
    """The signature, as JSON holds it, of files in or below the folder `root`."""
    says: dict[str, Any] = {"form": FORM, "when": when}
    says["certificates"] = key.certificates.decode()
    says["files"] = {
        path.relative_to(root).as_posix(): {"content": content_digest(path), "label": number_of(read_label(path))}
        for path in files
    }
    return {**says, "signature": base64.b64encode(key.sign(_message(says))).decode()}


def read_signature(path: Path, trust: Trust) -> Signature | None:
    """The signature of a file, beside it or in its folder; None where none names it."""
    places = [(path.with_name(path.name + BESIDE), path.name), (path.parent / INSIDE, path.name)]
    places.append((path.parent.parent / INSIDE, f"{path.parent.name}/{path.name}"))
    for place, name in places:
        found = read_json(place)
        files = found.get("files") if isinstance(found, dict) and found.get("form") == FORM else None
        if isinstance(files, dict) and name in files:
            return _checked(found, files[name], path, trust) if installed() else Signature("signature", "unchecked")
    return None


def _checked(found: Mapping[str, Any], said: Any, path: Path, trust: Trust) -> Signature:
    try:
        when = datetime.fromisoformat(found["when"])
        trusted, signer, root, public = trust.vouches(found["certificates"].encode(), when)
        held = _holds(public, found)
        same, labelled = said["content"] == content_digest(path), said["label"] == number_of(read_label(path))
    except (DataError, KeyError, TypeError, ValueError, AttributeError):
        return Signature("signature", "invalid", fault="it is damaged, or the file is")
    fault = None if held and same and labelled else "signature" if not held else "content" if not same else "label"
    state = "invalid" if fault else "trusted" if trusted else "valid"
    return Signature("signature", state, signer, root, found["when"], fault)  # type: ignore[arg-type]


def _holds(public: Any, found: Mapping[str, Any]) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    try:
        public.verify(base64.b64decode(found["signature"]), _message(found), ECDSA(SHA256()))
    except (InvalidSignature, binascii.Error, TypeError, KeyError):
        return False
    return True


def _message(says: Mapping[str, Any]) -> bytes:
    return json.dumps(
        {k: v for k, v in says.items() if k != "signature"}, sort_keys=True, separators=(",", ":")
    ).encode()


def number_of(label: Found | None) -> list[str]:
    """What a signature says of a label: whose it is, and its number."""
    return [] if label is None else [label.fields.get("ContentProducer", ""), label.fields.get("ProduceID", "")]
