"""The device that a training runs on, chosen and named."""

from __future__ import annotations

import torch

from karat.errors import FitError
from karat.training import pace


def choose_device(name: str) -> torch.device:
    """The device of that name, or for "auto" the best there is: CUDA, then MPS, then the CPU."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise FitError(
            f"device {name!r} cannot be used here ({str(error).splitlines()[0]}). Use --device cpu."
        ) from None
    return device


def describe(device: torch.device) -> str:
    """The device in words."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)} (CUDA)"
    if device.type == "mps":
        return "Apple GPU (MPS)"
    return f"CPU, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''} of {pace.processor()}"
