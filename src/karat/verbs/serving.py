"""`karat serve`."""

from __future__ import annotations

from karat.options import ServeOptions, takes_fields


@takes_fields(ServeOptions)
def serve(options: ServeOptions) -> None:
    """Serve runs over HTTP, to programs and to people."""
    from karat.errors import FitError

    try:
        import uvicorn

        from karat.server.app import application
        from karat.studio import ROUTERS
    except ImportError as error:
        raise FitError(f"karat serve needs {error.name}; install it with: pip install 'karat[serve]'") from None
    uvicorn.run(
        application(options, ROUTERS if options.studio else ()),
        host=options.host,
        port=options.port,
        log_level="warning",
    )
