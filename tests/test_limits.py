"""What is refused before it is allocated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from karat import limits
from karat.errors import TooLarge


def test_what_fits_is_let_through_and_what_does_not_is_refused_with_the_figures(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KARAT_MEMORY_GB", "1")
    limits.need(5e8, "a table", "Give fewer rows.")
    with pytest.raises(TooLarge, match=r"a table would need about 2\.0 GB of memory, and 1\.0 GB are available\. Give"):
        limits.need(2e9, "a table", "Give fewer rows.")


def test_the_machine_says_how_much_memory_it_has() -> None:
    assert 2**26 < limits.available() < 2**50
    assert limits.words(limits.available())[-2:] in ("MB", "GB", "TB")


@pytest.mark.parametrize(
    "error, wanted",
    [
        (MemoryError("Unable to allocate 3.64 TiB for an array with shape (1000,) and data type float64"), "4.0 TB"),
        (MemoryError("malloc of size 2000000000 bytes failed"), "2.0 GB"),  # pyarrow
        (
            RuntimeError(
                "[enforce fail] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000000000 bytes. "
                "Error code 12 (Cannot allocate memory)"
            ),
            "4.0 GB",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has 1 GiB"), "21.0 MB"),
        (MemoryError(), ""),
    ],
)
def test_every_library_that_runs_out_of_memory_is_understood(error: Exception, wanted: str) -> None:
    told = limits.exhausted(error)
    assert told is not None and (f"for {wanted} more" in told if wanted else "memory. Give" in told)
    assert "\n" not in told and "-n" in told


def test_other_errors_are_not_taken_for_a_lack_of_memory() -> None:
    assert limits.exhausted(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert limits.exhausted(ValueError("out of memory lane")) is None
    with pytest.raises(MemoryError) as real:
        np.empty(2**59, dtype=np.uint8)
    assert "for 5.8e+05 TB more" in (limits.exhausted(real.value) or "")
    with pytest.raises(RuntimeError) as torchs:
        torch.empty(2**45, dtype=torch.uint8)
    assert "for 35.2 TB more" in (limits.exhausted(torchs.value) or "")


def test_what_is_little_is_let_through_without_the_system_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KARAT_MEMORY_GB", "1e-6")
    limits.need(limits.LITTLE, "a small picture", "Give a smaller one.")
    with pytest.raises(TooLarge, match="a picture would need"):
        limits.need(limits.LITTLE + 1, "a picture", "Give a smaller one.")
