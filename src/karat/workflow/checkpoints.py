"""What a run is continued from: the model's weights and the state of the loop, as one safetensors file."""

from __future__ import annotations

import json

import safetensors.torch

from karat.errors import RunError
from karat.families.generator import Learned
from karat.synthesizer.building import line_of, put, weights_of
from karat.training import loop as training


def checkpoint(model: Learned, state: training.State) -> bytes:
    """Everything to continue from, as one safetensors file."""
    tensors = {f"model.{k}": v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    tensors |= {k: v.contiguous() for k, v in state.tensors().items()}
    return safetensors.torch.save(tensors, {"state": json.dumps(state.numbers())})


def restore(blob: bytes, model: Learned, precision: training.Precision) -> training.State:
    """Puts a checkpoint's weights into `model` and gives its state."""
    tensors = weights_of(blob)
    put(model, {k[6:]: v for k, v in tensors.items() if k.startswith("model.")})
    training.lay_out(model, precision)
    try:
        length = int.from_bytes(blob[:8], "little")
        numbers = json.loads(json.loads(blob[8 : 8 + length])["__metadata__"]["state"])
        return training.State.restore(model, numbers, tensors)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise RunError(f"the checkpoint is damaged ({type(error).__name__}: {line_of(error)}); train anew.") from None
