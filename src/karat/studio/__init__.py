"""The studio: pages for people, over the same runs, jobs and engine as the API.

pages/      one file for each screen, each with a ROUTER; a page is a URL over the run folder, so that a reload shows the truth
page.py     how a page is made: `page(request, template, command=...)`, in the language and for the role of who looks
subject.py  a run that a page is about: `run_page(request, subject(request, name), template, tab, command=...)`
shelf.py    the list of runs, from their small files
desk.py     reviews under way; training.py, the nearest records that a run learned from; showing.py, things as a page has them
templates/  Jinja, with the report's look; all that is said is a key `studio.*` of `karat.languages`
static/     one stylesheet, one small script, htmx
"""

from __future__ import annotations

import importlib
import pkgutil

from fastapi import APIRouter

from karat.studio import pages
from karat.studio.page import failure as failure

ROUTERS: tuple[APIRouter, ...] = tuple(  # of all screens, which are found by themselves
    importlib.import_module(f"{pages.__name__}.{screen.name}").ROUTER for screen in pkgutil.iter_modules(pages.__path__)
)
