"""A person's data: read once, fingerprinted, freed of exact copies, split before anything learns, served in batches."""

from karat.data.batches import batches
from karat.data.dataset import DATABASES, TEXTS, Data, load
from karat.data.duplicates import near_duplicates
from karat.data.survey import survey

__all__ = ["DATABASES", "Data", "TEXTS", "batches", "load", "near_duplicates", "survey"]
