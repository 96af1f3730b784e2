"""The studio: pages for people, over the same runs, jobs and engine as the API.

pages/      one file for each screen, each with a ROUTER; a page is a URL over the run folder, so that a reload shows the truth
templates/  Jinja, with the report's look
static/     one stylesheet, one small script, htmx
"""

from __future__ import annotations

from fastapi import APIRouter

ROUTERS: tuple[APIRouter, ...] = ()  # of all screens
