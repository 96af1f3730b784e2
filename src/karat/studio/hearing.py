"""What other parts say in English, said in the language of a page (`karat.languages.hearing`)."""

from __future__ import annotations

from markupsafe import Markup, escape

from karat.languages import Language, hearing
from karat.server.problems import in_fields

FORMS = (in_fields,)  # flags, and the fields of a form in their place


def again(said: Language, text: str) -> str | None:
    """The text in this language; None where it is no sentence that is known."""
    return hearing.again(said, text, FORMS)


def shown(said: Language, text: str) -> Markup:
    """The text as a page has it: in its language, else as it is and marked as English, which a reading program then says so."""
    found = again(said, str(text))
    return Markup('<span lang="en">{}</span>').format(text) if found is None else Markup(escape(found))
