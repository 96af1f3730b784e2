"""Differential privacy: what noise costs, who may still spend how much of it, and noise drawn without floating point."""

from karat.privacy.accountant import (
    CODEC,
    INFERRED,
    PUBLIC,
    Budget,
    Target,
    composed,
    default_delta,
    epsilon_of,
    gaussian_delta,
    gaussian_epsilon,
    rho_of,
    tail,
)
from karat.privacy.mechanisms import choose, cuts, known, noise_width, noisy_counts
from karat.privacy.noise import Source, discrete_gaussian

__all__ = [
    "CODEC",
    "INFERRED",
    "PUBLIC",
    "Target",
    "Budget",
    "Source",
    "choose",
    "cuts",
    "default_delta",
    "discrete_gaussian",
    "epsilon_of",
    "gaussian_delta",
    "gaussian_epsilon",
    "known",
    "noise_width",
    "noisy_counts",
    "rho_of",
    "tail",
    "composed",
]
