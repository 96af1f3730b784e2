"""Runs that are loaded, one queue, and requests that are drawn together.

engine.py   what routes ask: `await engine.draw(...)`
drawn.py    what they get; files.py, files of it
leaving.py  clients that go before they are answered
ticket.py   a request on its way; line.py, the line in which it waits, and who is next
drawing.py  the one thread that draws; work.py, what it does for a request, step by step;
            apart.py, steps that give way in the middle
shelf.py    runs that are loaded, let go when memory is short
book.py     what was made and what that cost, in the ledgers; meters.py, the same for Prometheus
"""

from karat.server.engine.drawn import Drawn as Drawn
from karat.server.engine.drawn import File as File
from karat.server.engine.drawn import Partial as Partial
from karat.server.engine.engine import Engine as Engine
from karat.server.engine.leaving import unless_gone as unless_gone
from karat.server.engine.shelf import Loaded as Loaded
