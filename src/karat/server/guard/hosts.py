"""Where the server listens, and which hosts and origins it answers.

Without keys whoever reaches the server may do all, so it listens on loopback alone, and answers only requests that were sent
to loopback by name: a page whose name was made to point at 127.0.0.1 (DNS rebinding) still sends its own name as Host.
"""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
from collections.abc import Mapping
from functools import lru_cache

from karat.errors import FitError

HOST = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::(\d{1,5}))?")
PORTS = {"http": "80", "https": "443"}


@lru_cache(maxsize=256)
def loopback(host: str) -> bool:
    """Whether `host` is reached from this machine alone: an address of loopback, also one mapped into IPv6, or localhost."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool(address.is_loopback if mapped is None else mapped.is_loopback)


def bound(host: str, port: int) -> socket.socket:
    """A socket that is bound and does not listen yet; FitError where the port is taken or the host is none of this machine.

    What it is bound to says whether it is loopback, whatever name was given.
    """
    if not 0 <= port <= 65535:
        raise FitError(f"--port {port} is no port; give one of 1 to 65535, or 0 for a free one.")
    try:
        found = socket.getaddrinfo(host or "?", port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise FitError(f"--host {host!r} is no address of this machine; give one such as 127.0.0.1.") from None
    family, kind, protocol, _, address = min(found, key=lambda info: info[0] != socket.AF_INET)
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        why = {
            errno.EADDRINUSE: f"port {port} of {host} is taken; choose another with --port, or a free one with --port 0.",
            errno.EACCES: f"port {port} is kept for the system; choose one above 1023 with --port.",
            errno.EADDRNOTAVAIL: f"--host {host} is no address of this machine; give one such as 127.0.0.1.",
        }
        raise FitError(why.get(error.errno or 0, f"cannot listen on {host}, port {port}: {error.strerror}.")) from None
    return listener


def url_of(address: str, port: int) -> str:
    return f"http://{f'[{address}]' if ':' in address else address}:{port}"


def split(value: str) -> tuple[str, str] | None:
    """Host and port ("" where none is named) of a Host header; None where it is none."""
    found = HOST.fullmatch(value)
    return None if found is None else (found[1].lower().rstrip("."), found[2] or "")


def same_site(headers: Mapping[str, str], host: str, method: str) -> bool:
    """Whether no page of another site sent this request, as far as a browser says.

    A browser names the page's site in Origin with every request that changes something, and in Sec-Fetch-Site with all where
    the connection is trustworthy; other clients send neither. A link from elsewhere may open a page, and do no more.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    if origin is not None:
        scheme, _, rest = origin.partition("://")
        here, there = split(host), split(rest)
        standard = PORTS.get(scheme)
        if standard is None or here is None or there is None:
            return False
        if (here[0], here[1] or standard) != (there[0], there[1] or standard):
            return False
    if site in ("same-origin", "none"):
        return True
    opens = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return opens and method in ("GET", "HEAD")
