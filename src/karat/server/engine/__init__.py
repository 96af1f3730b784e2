"""Runs that are loaded, one queue, and requests that are drawn together.

engine.py   what routes ask: `await engine.draw(...)`
drawn.py    what they get
"""

from karat.server.engine.drawn import Drawn as Drawn
from karat.server.engine.drawn import File as File
from karat.server.engine.drawn import Partial as Partial
from karat.server.engine.engine import Engine as Engine
from karat.server.engine.leaving import unless_gone as unless_gone
