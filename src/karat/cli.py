"""The command line: a face of the verbs. Each option is a verb's parameter and its docstring the help."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import platform
import re
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from cyclopts import App, Parameter

SYSTEM = {  # what the machine refuses, and no line of ours could help: a full or failing disk, no right, too many files
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EBADF,
    errno.ENXIO,
    errno.ENODEV,
    errno.ESTALE,
    errno.EFBIG,
    errno.ENAMETOOLONG,
    errno.ELOOP,
    errno.ETXTBSY,
}
FAULT = 70  # EX_SOFTWARE of sysexits.h: a fault of karat's own, not of its input

APP = App(
    name="karat",
    help="Train a generative model on your own data, find out what it is worth, and label what it makes.",
    help_epilogue=(
        "With any verb: --quiet says nothing but errors; --json writes the result as JSON on standard output, and all that is "
        "said on standard error.\n\n"
        "Exit codes: 0 done; 1 a requirement (--require, --strict) does not hold; 2 bad input or usage, or the system refused; "
        "70 a fault of karat's own; 128+n stopped by signal n (130 by Ctrl-C)."
    ),
    help_format="plaintext",  # or what stands in angle brackets and underscores would be read as a style
    version_flags=["--version"],
    default_parameter=Parameter(negative=()),  # no --no-overwrite, --no-no-real, --empty-set; what has one says so
)
VERBS = {
    "look": "Say what is in the data, which recipes fit, and what each would cost.",
    "train": "Train a generator on data, or continue a run.",
    "assay": "Find out what a generator is worth: findings and a verdict.",
    "make": "Make new content as ordinary, labelled files.",
    "review": "Look at made things one by one and say which may be used.",
    "check": "Say where files come from, and whether they are as they were made.",
    "key": "Make a key to sign what you make.",
    "serve": "Serve runs over HTTP: an API for programs, a studio for people.",
    "demo": "All of it on data that comes with the install, in about a minute.",
}
for verb, help_text in VERBS.items():
    APP.command(f"karat.verbs:{verb}", name=verb, help=help_text)
APP.register_install_completion_command(help="Let the shell complete verbs and options: bash, zsh or fish.")
GLOBAL = {"--quiet": "quiet", "--json": "json"}  # said of any verb, wherever they stand


def main(tokens: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Exit codes: 0 done, 1 a requirement fails, 2 bad input, 70 a fault of karat's own (a report of it is written), 128+n
    stopped by signal n.
    """
    if tokens is None and not sys.warnoptions:  # what a library warns its programmers of says nothing to a person
        warnings.simplefilter("ignore")
    try:
        _run(list(sys.argv[1:] if tokens is None else tokens))
    except KeyboardInterrupt:  # at any moment: while modules are imported, or while an error is told
        sys.exit(130)
    finally:
        if tokens is None:
            gc.freeze()  # the process ends: looking through all of torch for cycles would take a third of a second more


def _run(given: list[str]) -> None:
    from cyclopts import CycloptsError

    from karat.errors import FitError, KaratError
    from karat.limits import exhausted
    from karat.terminal import OUTPUT_MODE, OutputMode, shown, tolerant

    tolerant()
    if not re.fullmatch(
        r"\d{1,11}", os.environ.get("SOURCE_DATE_EPOCH", "0")
    ):  # libraries read it when imported, and fail
        del os.environ["SOURCE_DATE_EPOCH"]
    # torch makes a folder for its compiler, which is never used here, in the one for temporary files: that may be read-only,
    # full, or hold something of that name that another user laid. A folder that is there already is left as it is.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", sys.prefix)
    asked = {GLOBAL[token] for token in given if token in GLOBAL}
    given = [token for token in given if token not in GLOBAL]
    mode = OUTPUT_MODE.set(OutputMode("quiet" in asked, "json" in asked))
    try:
        if "json" in asked and "--stream" in given:
            raise FitError("--stream and --json both write to standard output; give one of them.")
        with _stopped_by_signals():
            result = APP(given, result_action="return_value", exit_on_error=False, print_error=False)
            if "json" in asked and _verb(given) and not {"--help", "-h"} & set(given):
                sys.stdout.write(_json_line(_verb(given).strip(), result))
            sys.stdout.flush()
    except CycloptsError as error:  # an unknown option, a wrong type
        _complain(f"{shown(_lacking(error, _verb(given)) or str(error))} See `karat {_verb(given)}--help`.")
        sys.exit(2)
    except KaratError as error:
        _complain(shown(str(error)))
        sys.exit(getattr(error, "code", 2))
    except BrokenPipeError:
        os._exit(141)
    except OSError as error:
        _give_up_output()
        if "temporary directory" in str(error):  # a library wanted one
            _complain("there is no temporary folder that can be written to. Let TMPDIR name one.")
            sys.exit(2)
        if error.errno not in SYSTEM:
            _complain(_fault(error, given))
            sys.exit(FAULT)
        where = "" if error.filename is None else f" ({error.filename})"
        _complain(
            shown(f"the system refused to read or write: {error.strerror}{where}. Nothing that was finished is lost.")
        )
        sys.exit(2)
    except Exception as error:
        if (advice := exhausted(error)) is not None:
            _complain(advice)
            sys.exit(2)
        _complain(_fault(error, given))
        sys.exit(FAULT)
    finally:
        OUTPUT_MODE.reset(mode)
    if getattr(result, "failed", ()):
        sys.exit(1)


def _lacking(error: Exception, verb: str) -> str:
    """What a verb wants that was not given; "" where the error is another."""
    from cyclopts import MissingArgumentError

    if not isinstance(error, MissingArgumentError) or error.keyword is not None or error.argument is None:
        return ""
    what = error.argument.name.lstrip("-").upper()
    return f"{verb}wants {what}: `karat {verb}{what}`."


def _json_line(verb: str, result: Any) -> str:
    """What a verb found or made, as one line of JSON."""
    from karat.verbs.results import result_of

    return json.dumps({"verb": verb, **result_of(result)}) + "\n"


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the verb as Ctrl-C does, so that its books are closed and nothing half written stays.

    The first one raises SystemExit(128+n) wherever the verb is; the second one ends the process at once.
    """
    heard: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if heard:
            os._exit(128 + number)
        heard.append(number)
        raise SystemExit(128 + number)

    kept = {}
    with contextlib.suppress(ValueError):  # not in the main thread: the caller's signals are not ours to take
        for name in ("SIGTERM", "SIGHUP"):
            number = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is signal.SIG_DFL:  # nohup ignores SIGHUP: it stays so
                kept[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _complain(message: str) -> None:
    with contextlib.suppress(OSError):  # nobody can be told; the exit code says it
        print(f"karat: {message}", file=sys.stderr, flush=True)


def _give_up_output() -> None:
    """Where standard output takes nothing more, what is left of it goes nowhere, so that the end of Python cannot fail."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())
            os.close(nowhere)


def _verb(given: Sequence[str]) -> str:
    return next((f"{word} " for word in given[:1] if word in VERBS), "")


def _fault(error: Exception, given: Sequence[str]) -> str:
    """Writes a report of an exception that nobody foresaw and says where it is; never raises."""
    from karat.terminal import shown

    what = shown(f"{type(error).__name__}: {error}".splitlines()[0][:300])
    report = _report(error, given)
    for folder in _report_folders():
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(".txt", "karat-fault-", folder)  # private: mode 0600
            with open(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(report)
        except OSError:
            continue
        return (
            f"a fault of karat's own, {what}. Nothing that was finished is lost. {name} says where; please open an issue "
            "with it (read it first: it holds your command, not your data)."
        )
    return f"a fault of karat's own, {what}. Please open an issue with this:\n{report}"


def _report_folders() -> Iterator[Path]:
    with contextlib.suppress(RuntimeError):  # no home
        yield Path(os.environ.get("KARAT_CACHE", "~/.cache/karat")).expanduser() / "faults"
    with contextlib.suppress(OSError):
        yield Path(tempfile.gettempdir())


def _report(error: Exception, given: Sequence[str]) -> str:
    import karat

    command = re.sub(r"://[^@/\s]+@", "://...@", " ".join(["karat", *given]))  # a database's password
    lines = [
        f"karat {karat.__version__}, Python {platform.python_version()}, {platform.platform()}, {platform.machine()}",
        *(f"{name} {sys.modules[name].__version__}" for name in ("torch", "numpy", "pyarrow") if name in sys.modules),
        datetime.now(UTC).isoformat(timespec="seconds"),
        command,
        "",
        re.sub(r"://[^@/\s]+@", "://...@", "".join(traceback.format_exception(error))),
    ]
    return "\n".join(lines)


__all__ = ["APP", "main"]


if __name__ == "__main__":
    main()
