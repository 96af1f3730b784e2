"""Energy as the hardware counts it: RAPL for the CPU package, NVML for NVIDIA cards; None where it does not tell."""

from __future__ import annotations

import ctypes
from pathlib import Path

POWERCAP = Path("/sys/class/powercap")


class CpuMeter:
    """Joules drawn by all CPU packages since it was made."""

    def __init__(self, powercap: Path = POWERCAP) -> None:
        # Only whole packages (intel-rapl:0): their parts (intel-rapl:0:1) are counted in them already.
        zones = [z for z in sorted(powercap.glob("intel-rapl:*")) if z.name.count(":") == 1]
        self._zones = [(z, _read(z / "max_energy_range_uj")) for z in zones]
        self._start = [_read(z / "energy_uj") for z, _ in self._zones]

    def joules(self) -> float | None:
        """None where a package does not tell (there is none, or only root may read it)."""
        if not self._zones:
            return None
        total = 0.0
        for (zone, limit), start in zip(self._zones, self._start, strict=True):
            now = _read(zone / "energy_uj")
            if now is None or start is None:
                return None
            if now < start:  # the counter wrapped round; one that wrapped twice cannot be told
                if limit is None:
                    return None
                now += limit
            total += (now - start) / 1e6
        return total


class GpuMeter:
    """Joules drawn by all NVIDIA cards since it was made (nvmlDeviceGetTotalEnergyConsumption, Volta and later)."""

    def __init__(self) -> None:
        self._start = _nvml_joules()

    def joules(self) -> float | None:
        """None where there is no card, no driver, or an older card."""
        now = _nvml_joules()
        return None if now is None or self._start is None else now - self._start


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _nvml_joules() -> float | None:
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        count = ctypes.c_uint()
        if nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0 or count.value == 0:
            return None
        total = 0.0
        for index in range(count.value):
            device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
            if nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)) != 0:
                return None
            if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)) != 0:
                return None
            total += millijoules.value / 1e3
        return total
    finally:
        nvml.nvmlShutdown()
