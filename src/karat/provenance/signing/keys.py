"""A key to sign with: a private key, its certificate, and the root certificate that vouches for it and is handed to who checks.

Two certificates (X.509 v3, RFC 5280) with what the C2PA specification (2.2, section 14.5) asks of them: ECDSA on P-256; the
signer's is for digital signatures and e-mail protection, is no authority, and is not signed by itself.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from karat.errors import DataError, FitError
from karat.provenance.files import open_plain

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

PRIVATE, CERTIFICATES, ROOT = "key.pem", "certificates.pem", "root.pem"
DAYS = 825
MOST = 1 << 20  # bytes of a file of certificates
PURPOSES = {  # for which a certificate may sign content: e-mail, documents (RFC 9336), C2PA's own
    *("1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.36", "1.3.6.1.4.1.62558.2.1")
}
MISSING = "signing wants the packages of karat[sign]: pip install 'karat[sign]'."


def key_folder() -> Path:
    """Where this user's key is kept: $XDG_CONFIG_HOME/karat, by default ~/.config/karat."""
    configured = os.environ.get("XDG_CONFIG_HOME", "")
    return (Path(configured) if os.path.isabs(configured) else Path.home() / ".config") / "karat"


def make_key(name: str, days: int = DAYS) -> dict[str, bytes]:
    """The files of a new key, by name: `key.pem` is secret, `root.pem` is for who checks.   name: who signs, as others will
    read it.
    """
    if not 0 < len(name) <= 64 or not name.isprintable():
        raise FitError(f"--name {name!r}: wanted 1 to 64 characters that can be printed.")
    if not 1 <= days <= 3650:
        raise FitError(f"--days {days}: wanted 1 to 3650.")
    need()
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def named(role: str) -> x509.Name:
        pairs = ((NameOID.ORGANIZATION_NAME, name), (NameOID.COMMON_NAME, f"{name} {role}"[:64]))
        return x509.Name([x509.NameAttribute(oid, text) for oid, text in pairs])

    now = datetime.now(UTC).replace(microsecond=0)
    above, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    usage = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )

    def certificate(role: str, key: ec.EllipticCurvePrivateKey, authority: bool) -> Certificate:
        used = ("key_cert_sign", "crl_sign") if authority else ("digital_signature", "content_commitment")
        builder = (
            x509.CertificateBuilder()
            .subject_name(named(role))
            .issuer_name(named("root"))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(authority, 0 if authority else None), critical=True)
            .add_extension(x509.KeyUsage(**{**usage, **dict.fromkeys(used, True)}), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), critical=False)
        )
        if not authority:
            purposes = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purposes, critical=False)
        return builder.sign(above, hashes.SHA256())

    root, leaf = (
        found.public_bytes(serialization.Encoding.PEM)
        for found in (certificate("root", above, True), certificate("signer", own, False))
    )
    private = own.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        PRIVATE: private,
        CERTIFICATES: leaf + root,
        ROOT: root,
    }  # the root's own key is forgotten: it vouches for one


@dataclass(frozen=True)
class Key:
    """What one signs with.   certificates: the signer's, then those above it (PEM)."""

    private: bytes
    certificates: bytes

    @classmethod
    def read(cls, folder: Path) -> Key:
        """That in a folder; FitError where there is none, or others may read it."""
        place = folder / PRIVATE
        try:
            if os.name == "posix" and place.stat().st_mode & 0o077:
                raise FitError(f"{place} can be read by others; let only its owner: chmod 600 {place}.")
            with open_plain(place) as private, open_plain(folder / CERTIFICATES) as certificates:
                found = cls(private.read(MOST), certificates.read(MOST))
        except OSError as error:
            raise FitError(
                f"{folder} holds no key ({error.strerror or error}). Make one with `karat key --out {folder}`."
            ) from None
        found.sign(b"")
        return found

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256, as DER; FitError where the files hold no such key."""
        need()
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        try:
            key = serialization.load_pem_private_key(self.private, None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
        except (ValueError, TypeError, AssertionError):
            raise FitError(
                "the key is none on the curve P-256 without a password; make one with `karat key`."
            ) from None
        return bytes(key.sign(message, ec.ECDSA(hashes.SHA256())))

    @property
    def mark(self) -> str:
        """SHA-256 (hex) of the certificates: which key it is."""
        return hashlib.sha256(self.certificates).hexdigest()


@dataclass(frozen=True)
class Trust:
    """The certificates that are trusted (PEM): one's own root, and those that were named."""

    roots: bytes = b""

    @classmethod
    def of(cls, named: Sequence[Path] = ()) -> Trust:
        """Own root, where there is one, and what is named: files of certificates, or folders with a `root.pem`."""
        places = [path / ROOT if path.is_dir() else path for path in named]
        own = key_folder() / ROOT
        found = []
        for place in [*places, *([own] if own.is_file() else [])]:
            try:
                with open_plain(place) as file:
                    found.append(file.read(MOST))
                if installed():  # else what is wrong here would be said of the files that are checked
                    from cryptography import x509

                    x509.load_pem_x509_certificates(found[-1])
            except OSError as error:
                raise FitError(f"--trust {place}: {error.strerror or error}. Give a root.pem.") from None
            except ValueError:
                raise FitError(f"{place}, which is to be trusted, holds no certificates. Give a root.pem.") from None
        return cls(b"\n".join(found))

    def vouches(self, certificates: bytes, when: datetime) -> tuple[bool, str | None, str | None, object]:
        """Whether one of the roots vouches for a chain at that time; the names in its first and last; its public key.

        DataError where they are no certificates.
        """
        need()
        from cryptography import x509
        from cryptography.exceptions import UnsupportedAlgorithm

        try:
            chain = x509.load_pem_x509_certificates(certificates)
            roots = (
                {_raw(found) for found in x509.load_pem_x509_certificates(self.roots)} if self.roots.strip() else set()
            )
            held = _signs(chain[0]) and all(
                _issued(*pair, k) for k, pair in enumerate(zip(chain, chain[1:], strict=False))
            )
            in_time = all(c.not_valid_before_utc <= when <= c.not_valid_after_utc for c in chain)
            known = any(_raw(found) in roots for found in chain[1:])
            return held and in_time and known, _name(chain[0]), _name(chain[-1]), chain[0].public_key()
        except (ValueError, IndexError, UnsupportedAlgorithm) as error:
            raise DataError(f"no certificates ({error})") from None


def _signs(leaf: Certificate) -> bool:
    """Whether a certificate is one to sign content with (C2PA 2.2, section 14.5.1), and no authority's and no web server's."""
    from cryptography.x509 import BasicConstraints, ExtendedKeyUsage, ExtensionNotFound, KeyUsage

    try:
        used = leaf.extensions.get_extension_for_class(KeyUsage).value.digital_signature
        purposes = {oid.dotted_string for oid in leaf.extensions.get_extension_for_class(ExtendedKeyUsage).value}
    except ExtensionNotFound:
        return False
    authority = any(isinstance(e.value, BasicConstraints) and e.value.ca for e in leaf.extensions)
    return bool(used and purposes & PURPOSES and not authority)


def _issued(low: Certificate, high: Certificate, between: int) -> bool:
    """Whether `high` vouches for `low`, and may, with so many other authorities below it."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.x509 import BasicConstraints, ExtensionNotFound, KeyUsage

    try:
        low.verify_directly_issued_by(high)
        limits = high.extensions.get_extension_for_class(BasicConstraints).value
        used = high.extensions.get_extension_for_class(KeyUsage).value.key_cert_sign
        return bool(limits.ca and used and (limits.path_length is None or between <= limits.path_length))
    except (ValueError, TypeError, InvalidSignature, ExtensionNotFound):
        return False


def _raw(certificate: Certificate) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return bytes(certificate.public_bytes(Encoding.DER))


def _name(certificate: Certificate) -> str:
    from cryptography.x509.oid import NameOID

    found = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else certificate.subject.rfc4514_string()


def installed() -> bool:
    """Whether signatures can be made and checked here."""
    return importlib.util.find_spec("cryptography") is not None


def need() -> None:
    """FitError where they cannot."""
    if not installed():
        raise FitError(MISSING)
