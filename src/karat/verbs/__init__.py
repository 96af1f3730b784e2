"""Everything a person can ask. The command line and the Python API are these functions; their docstrings are the help.

Nothing heavy is imported until a verb is used, so that `karat --help` answers at once.
"""

from __future__ import annotations

from karat.verbs.assaying import assay as assay
from karat.verbs.checking import check as check
from karat.verbs.checking import key as key
from karat.verbs.demonstrating import demo as demo
from karat.verbs.looking import look as look
from karat.verbs.making import make as make
from karat.verbs.opened import Opened as Opened
from karat.verbs.opened import open_run as open_run
from karat.verbs.reviewing import review as review
from karat.verbs.serving import serve as serve
from karat.verbs.training import train as train
