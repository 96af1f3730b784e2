"""What a signature of a file says, however it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["trusted", "valid", "invalid", "unchecked"]


@dataclass(frozen=True)
class Signature:
    """A signature that was found.

    state: trusted where it holds and its certificate leads to one that is trusted; valid where it holds and that is unknown;
    invalid where the file, the label or the signature was changed; unchecked where what is needed to check is not installed.
    what: "c2pa" or "signature".   signer: the name in the certificate.   root: the name of the one that vouches for it.
    when: ISO 8601, as the signer says.   fault: what does not hold: "content", "label" or the verifier's own word.
    """

    what: Literal["c2pa", "signature"]
    state: State
    signer: str | None = None
    root: str | None = None
    when: str | None = None
    fault: str | None = None
