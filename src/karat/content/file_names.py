"""What the names of files say of them: a pattern such as "{label}_{speaker}_{n}" or "{alphabet}/{character}" is read in each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from karat.errors import DataError, FitError

FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
LABEL = "label"
MOST_UNMATCHED = 0.1  # fraction of the files whose names may be otherwise


@dataclass(frozen=True)
class NamePattern:
    """A pattern that was found to fit the names: to their ends without suffix, or (`folders`) to the folders they lie in.

    Without slashes it is the file's own name that is read; with k of them, the last k folders as well, or the last k + 1
    folders. `label` is the class; a pattern of folders that names no label has them together as the class.
    """

    text: str
    fields: tuple[str, ...]
    regex: re.Pattern[str]
    folders: bool = False

    @classmethod
    def read(cls, text: str) -> NamePattern:
        """FitError where `text` names nothing, or one thing twice."""
        fields = FIELD.findall(text)
        if not fields or len(set(fields)) < len(fields) or re.search(r"[{}]", FIELD.sub("", text)):
            raise FitError(
                f"--labels {text!r}: wanted a pattern of the files' names with each part in braces once, such as "
                '"{label}_{speaker}_{n}"; the part called label is the class.'
            )
        parts = FIELD.split(text)
        body = "".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
        return cls(text, tuple(fields), re.compile(body, re.DOTALL))

    @classmethod
    def fitting(cls, text: str, names: Sequence[str], where: str) -> NamePattern:
        """The pattern as it fits most of `names`; DataError, with some that it does not fit, where it fits too few."""
        plain = cls.read(text)
        ways = [plain] if "/" not in text else [plain, cls(text, plain.fields, plain.regex, folders=True)]
        if LABEL not in plain.fields:
            ways.reverse()  # who names no label and writes a slash means folders
        fits = [[way.parts(name) for name in names] for way in ways]
        counts = [sum(found is not None for found in part) for part in fits]
        best = 0
        if len(ways) > 1 and counts[1] >= (1 - MOST_UNMATCHED) * len(names):
            labels = {found[LABEL] for found in fits[0] if found is not None and LABEL in found}
            if counts[0] < (1 - MOST_UNMATCHED) * len(names) or 2 * len(labels) > counts[0]:
                best = 1  # as the file's own name it would be a class for each file
        if counts[best] < (1 - MOST_UNMATCHED) * len(names):
            unmatched = [name for name, found in zip(names, fits[best], strict=True) if found is None]
            raise DataError(
                f"{where}: the names of {len(unmatched)} of {len(names)} files are not as --labels says ({text}): "
                f"{', '.join(unmatched[:5])}{', ...' if len(unmatched) > 5 else ''}. Change the pattern."
            )
        return ways[best]

    def parts(self, name: str) -> dict[str, str] | None:
        """What is read in the name of a file, path and all; None where it is otherwise. `label` is among it where it is known."""
        path = PurePosixPath(name)
        pieces = list(path.parent.parts) if self.folders else [*path.parent.parts, path.stem]
        count = self.text.count("/") + 1
        if len(pieces) < count:
            return None
        match = self.regex.fullmatch("/".join(pieces[-count:]))
        if match is None or any("/" in part for part in match.groups()):
            return None
        found = match.groupdict()
        if self.folders and LABEL not in found:
            found[LABEL] = "/".join(match.groups())
        return found
