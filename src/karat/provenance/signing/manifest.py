"""C2PA manifests in pictures and sounds (https://spec.c2pa.org, 2.2), written and read by c2pa-python, never with a network.

Beside the action `c2pa.created` of a trained model the manifest holds what the file holds and its label, so that an edit and
another label are told apart where the hash over all of the file only says that it is no longer the same.
"""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from karat.errors import DataError, FitError
from karat.provenance.files import open_plain
from karat.provenance.label import SOURCE_TYPE
from karat.provenance.signing.keys import MISSING, Key, Trust
from karat.provenance.signing.signed import Signature, State

TYPES = {  # FLAC is not among them: the manifest would stand in an ID3 tag before it, which few readers of FLAC expect
    ".png": "image/png",
    **dict.fromkeys((".jpg", ".jpeg"), "image/jpeg"),
    ".webp": "image/webp",
    **dict.fromkeys((".tif", ".tiff"), "image/tiff"),
    ".gif": "image/gif",
    ".wav": "audio/wav",
    ".mp3": "audio/mpeg",
}
OWN = "io.karat.label"
MARK = b"c2pa"  # in every manifest


def embed(
    data: bytes, suffix: str, key: Key, says: dict[str, Any], version: str, when: str, stamp: str | None
) -> bytes:
    """The file with a manifest.   says: digest of its content, and its label.   stamp: address of a time-stamping service."""
    c2pa = _c2pa()
    tool = {"name": "karat", "version": version}
    action = {"action": "c2pa.created", "when": when, "softwareAgent": tool, "digitalSourceType": SOURCE_TYPE}
    assertions = [{"label": "c2pa.actions.v2", "data": {"actions": [action]}}, {"label": OWN, "data": says}]
    manifest = {"claim_generator_info": [tool], "assertions": assertions}
    signer = c2pa.Signer.from_info(
        c2pa.C2paSignerInfo(b"es256", key.certificates, key.private, None if stamp is None else stamp.encode())
    )
    out = io.BytesIO()
    try:
        builder = c2pa.Builder(json.dumps(manifest), _context(c2pa, Trust()))
        builder.sign(signer, TYPES[suffix], io.BytesIO(data), out)
    except c2pa.C2paError as error:
        raise FitError(f"this file cannot be signed ({error}).") from None
    return out.getvalue()


def read_manifest(path: Path, trust: Trust) -> tuple[Signature, dict[str, Any] | None] | None:
    """The signature in a file, and what it says of content and label; None where it has no manifest."""
    suffix = path.suffix.lower()
    if suffix not in TYPES:
        return None
    with open_plain(path) as file:
        data = file.read()
    if MARK not in data:
        return None
    try:
        c2pa = _c2pa()
    except FitError:
        return Signature("c2pa", "unchecked"), None
    try:
        reader = c2pa.Reader(TYPES[suffix], io.BytesIO(data), context=_context(c2pa, trust))
        active, state = reader.get_active_manifest(), reader.get_validation_state()
        faults = list(_faults(reader.get_validation_results()))
    except c2pa.C2paError as error:
        none = "ManifestNotFound" in type(error).__name__ or "ManifestNotFound" in str(error)
        return None if none else (Signature("c2pa", "invalid", fault=str(error)[:80]), None)
    signed = (active or {}).get("signature_info", {})
    states: dict[str, State] = {"Trusted": "trusted", "Valid": "valid"}
    own = next((found["data"] for found in (active or {}).get("assertions", ()) if found.get("label") == OWN), None)
    whole = all(fault.startswith(HASHES) for fault in faults)  # only then does it still say what was signed
    when = next(_actions(active or {}), {}).get("when")
    fault = faults[0] if faults else None
    name = signed.get("issuer")
    return Signature("c2pa", states.get(str(state), "invalid"), name, name, when, fault), own if whole else None


HASHES = ("assertion.dataHash", "assertion.boxesHash", "signingCredential.untrusted")


def _faults(results: Any) -> Iterator[str]:
    found = (results or {}).get("activeManifest", {}).get("failure", ())
    yield from (str(one.get("code")) for one in found if one.get("code") != "signingCredential.untrusted")


def _actions(active: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for found in active.get("assertions", ()):
        if str(found.get("label")).startswith("c2pa.actions"):
            yield from found.get("data", {}).get("actions", ())


def _context(c2pa: Any, trust: Trust) -> Any:
    verify = {"verify_after_sign": False, "verify_trust": True, "remote_manifest_fetch": False, "ocsp_fetch": False}
    settings: dict[str, Any] = {"builder": {"thumbnail": {"enabled": False}}, "verify": verify}
    if trust.roots.strip():
        settings["trust"] = {"user_anchors": trust.roots.decode()}
    try:
        return c2pa.Context.from_dict(settings)
    except c2pa.C2paError as error:
        raise DataError(f"the certificates that are to be trusted cannot be read ({error}).") from None


def available() -> bool:
    """Whether manifests can be written and read here."""
    return importlib.util.find_spec("c2pa") is not None


def _c2pa() -> Any:
    try:
        import c2pa
    except ImportError:
        raise FitError(MISSING) from None
    return c2pa
