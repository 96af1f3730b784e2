"""Codec and model, ready: what is drawn from, whatever the content and the family."""

from karat.synthesizer.hierarchical import Hierarchical
from karat.synthesizer.loading import load, load_codec, new
from karat.synthesizer.single import Single
from karat.synthesizer.synthesizer import Synthesizer

__all__ = ["Hierarchical", "Single", "Synthesizer", "load", "load_codec", "new"]
