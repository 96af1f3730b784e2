"""Shows the type of an option alone where it is annotated with how the command line spells it. An extension of griffe."""

from typing import Any

import griffe


class Plain(griffe.Extension):
    """`Annotated[int, Parameter(...)]` is `int` on the page."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        given = attr.annotation
        if isinstance(given, griffe.ExprSubscript) and str(given.left).rpartition(".")[2] == "Annotated":
            inner = given.slice
            attr.annotation = inner.elements[0] if isinstance(inner, griffe.ExprTuple) else inner
