"""`karat look`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from karat.options import LookOptions, takes_fields
from karat.verbs.entry import terminal


@takes_fields(LookOptions)
def look(options: LookOptions) -> dict[str, Any]:
    """Say what is in the data, what is wrong with it, which recipes fit, and what each would cost."""
    from karat.output import Output
    from karat.training import loop
    from karat.workflow import probing

    loop.tune_machine(options.threads)
    schema, write_schema = options.schema, options.write_schema
    written = Output(options.overwrite, [Path(x) for x in (options.data, schema) if isinstance(x, str | Path)])
    if write_schema is not None:
        written.check(Path(write_schema))
        _check_toml(Path(write_schema))
    found, info = probing.surveyed(options)
    console = terminal()
    probing.show(info, console)
    info["recipes"] = probing.suited(found, options)
    if info["recipes"]:
        probing.show_recipes(info, console)
    if write_schema is not None:
        written.write(Path(write_schema), found.declared(info.get("between", ())).encode())
        console.print(f"schema: {write_schema}; correct it and give it back as --schema", soft_wrap=True)
    return info


def _check_toml(path: Path) -> None:
    """RunError where `path` holds something that is no TOML: a schema replaces a schema, and no other file of a person's."""
    import tomllib

    from karat.errors import RunError

    if not path.is_file():
        return
    try:
        tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        raise RunError(f"{path} is there and holds no schema; choose another --write-schema.") from None
