"""Names of months in other languages than English, as dates are written with them. `%[de]B` is the name, `%[de]b` the short one."""

from __future__ import annotations

_LONG = {
    "de": "Januar Februar März April Mai Juni Juli August September Oktober November Dezember",
    "at": "Jänner Februar März April Mai Juni Juli August September Oktober November Dezember",
    "fr": "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "es": "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "pt": "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
}
_SHORT = {
    "de": "Jan Feb Mär Apr Mai Jun Jul Aug Sep Okt Nov Dez",
    "fr": "janv. févr. mars avr. mai juin juil. août sept. oct. nov. déc.",
    "es": "ene feb mar abr may jun jul ago sep oct nov dic",
    "it": "gen feb mar apr mag giu lug ago set ott nov dic",
    "pt": "jan fev mar abr mai jun jul ago set out nov dez",
    "nl": "jan feb mrt apr mei jun jul aug sep okt nov dec",
}

# By their tokens in a format.
NAMES = {f"%[{at}]{kind}": names.split() for kind, of in (("B", _LONG), ("b", _SHORT)) for at, names in of.items()}
_FORMS = ("%d. {} %Y", "%d {} %Y", "%d de {} de %Y", "%d-{}-%Y", "%d. {} %y", "%d {} %y", "{} %Y")
DATES = tuple(form.format(name) for form in _FORMS for name in NAMES)
