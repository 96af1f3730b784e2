"""The command line: a face of the verbs. Each option is a verb's parameter and its docstring the help."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App

APP = App(
    name="karat",
    help="Train a generative model on your own data, find out what it is worth, and label what it makes.",
    version_flags=["--version"],
)
for verb, help_text in (
    ("look", "Say what is in the data, which recipes fit, and what each would cost."),
    ("train", "Train a generator on data, or continue a run."),
    ("assay", "Find out what a generator is worth: findings and a verdict."),
    ("make", "Make new content as ordinary, labelled files."),
    ("demo", "All of it on data that comes with the install, in about a minute."),
):
    APP.command(f"karat.verbs:{verb}", name=verb, help=help_text)


def main(tokens: Sequence[str] | None = None) -> None:
    """Runs the command line. Exit codes: 0 done, 1 a requirement fails, 2 bad input, 128+n stopped by a signal."""
    from cyclopts import CycloptsError

    from karat.errors import KaratError

    try:
        result = APP(tokens, result_action="return_value", exit_on_error=False)
    except CycloptsError:  # already printed: an unknown option, a wrong type
        sys.exit(2)
    except KaratError as error:
        print(f"karat: {error}", file=sys.stderr)
        sys.exit(getattr(error, "code", 2))
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        os._exit(141)
    if getattr(result, "failed", ()):
        sys.exit(1)


__all__ = ["APP", "main"]


if __name__ == "__main__":
    main()
