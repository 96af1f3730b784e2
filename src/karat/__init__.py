"""Karat trains a generative model on your own data, finds out what it is worth, and labels what it makes."""

from karat.errors import KaratError
from karat.verbs import Opened as Run
from karat.verbs import assay, check, demo, key, look, make, train
from karat.verbs import open_run as open

__version__ = "0.1.0"
__all__ = ["KaratError", "Run", "assay", "check", "demo", "key", "look", "make", "open", "train"]
