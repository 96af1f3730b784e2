"""`karat serve`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from karat.errors import FitError
from karat.options import ServeOptions, takes_fields
from karat.terminal import OUTPUT_MODE
from karat.verbs.entry import terminal, write

if TYPE_CHECKING:
    from fastapi import FastAPI


@takes_fields(ServeOptions)
def serve(options: ServeOptions) -> dict[str, str] | None:
    """Serve runs over HTTP, to programs and to people."""
    try:
        from karat.server import on_ray, running
        from karat.server.app import catalogue_of
        from karat.server.guard.guard import keys_of
    except ImportError as error:
        raise FitError(f"karat serve needs {error.name}; install it with: pip install 'karat[serve]'") from None
    keys = keys_of(catalogue_of(options).root)
    if options.add_key is not None and options.revoke_key is not None:
        raise FitError("--add-key and --revoke-key are two things; do one after the other.")
    if options.add_key is not None:
        text = keys.add(options.add_key, options.items, options.money, options.days, options.rate)
        terminal(aside=True).print(f"the key, which is shown this once; its hash is in {keys.path}:", soft_wrap=True)
        if not OUTPUT_MODE.get().aside:
            write(f"{text}\n")
        return {"key": text}
    if options.revoke_key is not None:
        keys.revoke(options.revoke_key)
        terminal().print(f"{options.revoke_key} is revoked, also where a server runs", soft_wrap=True)
        return None
    if not (options.items is options.money is options.rate is options.days is None):
        raise FitError("--items, --money, --rate and --days are of the key that --add-key makes; give that too.")
    if options.on not in (None, "ray"):
        raise FitError(f"--on {options.on!r} is no place to serve on; there is ray, or this machine without it.")
    (running if options.on is None else on_ray).run(options, _application, _say)
    return None


def _application(options: ServeOptions) -> FastAPI:
    from karat.server.app import application
    from karat.studio import ROUTERS, failure

    return application(options, ROUTERS, failure) if options.studio else application(options)


def _say(line: str) -> None:
    if not OUTPUT_MODE.get().quiet:
        print(line, file=sys.stderr if OUTPUT_MODE.get().aside else sys.stdout, flush=True)
