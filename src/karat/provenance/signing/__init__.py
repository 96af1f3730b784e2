"""Signatures of made files: keys, C2PA manifests inside files that can hold one, and signature files beside the others."""

from __future__ import annotations

from karat.provenance.signing.keys import CERTIFICATES, PRIVATE, ROOT, Key, Trust, key_folder, make_key
from karat.provenance.signing.signed import Signature
from karat.provenance.signing.signer import Signer

__all__ = ["CERTIFICATES", "Key", "PRIVATE", "ROOT", "Signature", "Signer", "Trust", "key_folder", "make_key"]
