"""What a company or a law asks besides: findings that have to be fine, other thresholds, and what somebody has to sign.

A TOML file, or one of the packs beside this file by its name ("eu", "cn").
"""

from __future__ import annotations

import datetime
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from karat.assays.keys import KEYS
from karat.errors import FitError
from karat.provenance.label import LAWS, Law
from karat.words import listed, said, term
from karat.worth.reasons import Reason, called

if TYPE_CHECKING:  # the assays need torch; money and pages do not
    from karat.assays.finding import Finding

PACKS = Path(__file__).with_name("policies")
CHEAPER = 0.9  # probabilities and limits of reference E4
PAYS = 0.8


@dataclass(frozen=True)
class Signature:
    """What has to be signed; by whom and when it was, if it was, and until when that holds.   personal: only where
    records may be about a person."""

    what: str
    who: str = ""
    when: datetime.date | None = None
    until: datetime.date | None = None
    personal: bool = False

    def holds(self, today: datetime.date) -> bool:
        signed = bool(self.who.strip()) and self.when is not None and self.when <= today
        return signed and (self.until is None or today <= self.until)


@dataclass(frozen=True)
class Policy:
    """fine: keys of findings.   pays, cheaper: probabilities, at least, before it is gold.   labels: whose rules the labels of
    what is made follow (see `karat.provenance.label.Label`)."""

    title: str = ""
    fine: tuple[str, ...] = ()
    signatures: tuple[Signature, ...] = ()
    pays: float = PAYS
    cheaper: float = CHEAPER
    labels: Law = "both"

    @classmethod
    def load(cls, named: str | Path | None) -> Policy:
        """The policy of a file, or of a pack, or one that asks nothing; FitError that says what is wrong with it."""
        if named is None:
            return cls()
        path = {pack.stem: pack for pack in PACKS.glob("*.toml")}.get(str(named), Path(named))
        try:
            return cls.from_mapping(tomllib.loads(path.read_text(encoding="utf-8-sig")), str(path))
        except OSError as error:
            packs = ", ".join(sorted(p.stem for p in PACKS.glob("*.toml")))
            raise FitError(
                f"the policy {named} cannot be read ({error.strerror}); name a file, or one of {packs}."
            ) from error
        except FitError:
            raise
        except (ValueError, RecursionError) as error:
            raise FitError(f"{path} is not TOML: {error}. Compare it with {PACKS / 'eu.toml'}.") from error

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any], source: str) -> Policy:
        """The policy of a table of keys; FitError for a key that is none and a value that cannot be."""
        _known(given, {"title", "fine", "thresholds", "signatures", "labels"}, source)
        title, fine = _of(given, "title", str, "text", source), _of(given, "fine", list, "a list", source)
        limits = _of(given, "thresholds", dict, "a table", source)
        _known(limits, {"pays", "cheaper"}, f"{source}: thresholds")
        if unknown := [key for key in fine if not isinstance(key, str) or key not in KEYS]:
            raise FitError(f"{source}: fine names {unknown[0]!r}, which is no finding; docs/findings.md has them all.")
        for name, value in limits.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise FitError(f"{source}: {name} is {value!r}; a probability is wanted.")
        signed = tuple(_signature(x, source) for x in _of(given, "signatures", list, "[[signatures]]", source))
        labels = given.get("labels", "both")
        if labels not in LAWS:
            raise FitError(f"{source}: labels is {labels!r}; one of {', '.join(LAWS)} is wanted.")
        return cls(title, tuple(fine), signed, **limits, labels=labels)

    def reasons(self, findings: Sequence[Finding], personal: str | None, today: datetime.date) -> list[Reason]:
        """One gate: fails by a finding that is raised and has to be fine; unknown for what is not measured or not signed."""
        if not self.fine and not self.signatures:
            return []
        mine = {key: [f for f in findings if f.key == key] for key in self.fine}
        if raised := [called(f) for found in mine.values() for f in found if f.raised]:
            text = said("{policy}: {names} would have to be fine", policy=term(self.title), names=listed(raised))
            return [Reason("gate", "policy", "fail", text)]
        wanted = [s for s in self.signatures if not (s.personal and personal == "none")]
        # a finding that is not there has nothing to find: there are no classes, or no groups
        open_ = [called(f) for found in mine.values() for f in found if f.state == "cannot tell"]
        if unsigned := [s.what for s in wanted if not s.holds(today)]:
            text = said("{policy}: nobody has signed that {what}", policy=term(self.title), what=term(unsigned[0]))
            text += said(", and {n} more", n=len(unsigned) - 1) if len(unsigned) > 1 else ""
            return [Reason("gate", "policy", "unknown", text, "unsigned")]
        if open_:
            text = said(
                "{policy}: {names} cannot tell, and would have to", policy=term(self.title), names=listed(open_)
            )
            return [Reason("gate", "policy", "unknown", text, "undecided")]
        by = listed(list(dict.fromkeys(said("{who} on {day}", who=s.who, day=s.when) for s in wanted)))
        text = said("{policy}: all that is asked is met", policy=term(self.title))
        text += said(", signed by {by}", by=by) if by else ""
        return [Reason("gate", "policy", "pass", text)]


def _signature(given: Any, source: str) -> Signature:
    if not isinstance(given, Mapping) or "what" not in given:
        raise FitError(f"{source}: a signature is {given!r}; say `what` it is about, and `who` signed it `when`.")
    _known(given, {"what", "who", "when", "until", "personal"}, f"{source}: a signature")
    for key, kind, word in (("what", str, "text"), ("who", str, "text"), ("personal", bool, "true or false")):
        _of(given, key, kind, word, f"{source}: a signature")
    for key in ("when", "until"):
        if type(given.get(key)) not in (datetime.date, type(None)):
            raise FitError(f"{source}: {key} is {given[key]!r}; a date is wanted, as 2027-01-31, without quotes.")
    return Signature(**given)


def _of(given: Mapping[str, Any], key: str, kind: type, word: str, source: str) -> Any:
    """What stands under `key`, or an empty one; FitError where it is of another kind."""
    value = given.get(key, kind())
    if not isinstance(value, kind):
        raise FitError(f"{source}: {key} is {value!r}; {word} is wanted.")
    return value


def _known(given: Mapping[str, Any], known: set[str], source: str) -> None:
    if unknown := sorted(set(given) - known):
        raise FitError(f"{source} has a key {unknown[0]!r} that is not known; there are: {', '.join(sorted(known))}.")
