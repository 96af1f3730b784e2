"""`karat serve`."""

from __future__ import annotations

import sys

from karat.errors import FitError
from karat.options import ServeOptions, takes_fields
from karat.terminal import OUTPUT_MODE
from karat.verbs.entry import terminal, write


@takes_fields(ServeOptions)
def serve(options: ServeOptions) -> dict[str, str] | None:
    """Serve runs over HTTP, to programs and to people."""
    try:
        from karat.server.app import catalogue_of
        from karat.server.guard.guard import keys_of
        from karat.server.running import run
        from karat.studio import ROUTERS
    except ImportError as error:
        raise FitError(f"karat serve needs {error.name}; install it with: pip install 'karat[serve]'") from None
    keys = keys_of(catalogue_of(options).root)
    if options.add_key is not None and options.revoke_key is not None:
        raise FitError("--add-key and --revoke-key are two things; do one after the other.")
    if options.add_key is not None:
        text = keys.add(options.add_key, options.items, options.money, options.days)
        terminal(aside=True).print(f"the key, which is shown this once; its hash is in {keys.path}:", soft_wrap=True)
        if not OUTPUT_MODE.get().aside:
            write(f"{text}\n")
        return {"key": text}
    if options.revoke_key is not None:
        keys.revoke(options.revoke_key)
        terminal().print(f"{options.revoke_key} is revoked, also where a server runs", soft_wrap=True)
        return None
    if not (options.items is options.money is options.days is None):
        raise FitError("--items, --money and --days are of the key that --add-key makes; give that too.")
    run(options, ROUTERS if options.studio else (), _say)
    return None


def _say(line: str) -> None:
    if not OUTPUT_MODE.get().quiet:
        print(line, file=sys.stderr if OUTPUT_MODE.get().aside else sys.stdout, flush=True)
