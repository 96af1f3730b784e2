"""What can be asked of each verb: one frozen dataclass each, the one place where options, defaults and their help are written.

The command line reads its flags off these fields and their help off these docstrings, and functions of the workflow take the
objects themselves. `takes_fields` gives a verb the signature of its options, so that `karat.train("adult.csv", minutes=1)` is
a call with names and types that an editor, a type checker and `help` know, and nothing is written twice.
"""

from __future__ import annotations

from karat.options.asking import takes_fields as takes_fields
from karat.options.assay import AssayOptions as AssayOptions
from karat.options.check import CheckOptions as CheckOptions
from karat.options.check import KeyOptions as KeyOptions
from karat.options.demo import DemoOptions as DemoOptions
from karat.options.look import LookOptions as LookOptions
from karat.options.make import MakeOptions as MakeOptions
from karat.options.review import ReviewOptions as ReviewOptions
from karat.options.serve import ServeOptions as ServeOptions
from karat.options.train import TrainOptions as TrainOptions
