"""What stands in front of every route: keys, scopes, quotas, hosts, limits of bodies, request ids, logs.

middleware.py  the way of a request through all of it
access.py      which scope each route asks for; what is not listed is not served
keys.py        hashed keys in a file
spending.py    what each key has made of its quota; who is logged in
base.py        the small SQLite files that the server keeps
rates.py       how many requests a minute a key may send
hosts.py       where the server listens, which hosts and origins it answers
bodies.py      how long and how slow a body may be
shedding.py    refusals for want of room, before a request is read
headers.py     headers of every response
meters.py      requests in Prometheus' format
"""

from __future__ import annotations

from karat.server.guard.access import routes_of as routes_of
from karat.server.guard.guard import LOCAL as LOCAL
from karat.server.guard.guard import Caller as Caller
from karat.server.guard.guard import Guard as Guard
from karat.server.guard.guard import caller_of as caller_of
from karat.server.guard.middleware import Middleware as Middleware
