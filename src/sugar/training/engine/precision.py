"""The floating-point type that a stage trains in: bfloat16 where the hardware computes it natively, else float32."""

import os
import platform
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch

from sugar.training.engine.config import PrecisionSetting
from sugar.training.environment import cpu_name

PrecisionName = Literal["float32", "bf16", "fp16"]
DTYPES: dict[PrecisionName, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

ONEDNN_CAPS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
# Native bfloat16 took 0.4 of float32's time for the products below, emulated bfloat16 2 to 40 times as long (AMD EPYC
# 9004, torch 2.13): between them noise does not change the choice.
FASTER = 0.8
# Rows, inner, columns: the widths of stage 1 and of the built-in LLM.
SIZES = ((3200, 64, 64), (256, 256, 256))


@dataclass(frozen=True)
class Precision:
    """What the forward pass is computed in, and why."""

    name: PrecisionName
    reason: str

    @property
    def dtype(self) -> torch.dtype:
        """Torch's type of that name."""
        return DTYPES[self.name]


def resolve_precision(setting: PrecisionSetting, device: torch.device) -> Precision:
    """The precision that ``setting`` stands for; ``auto`` is decided once per process and kind of device."""
    return _choose(device.type) if setting == "auto" else Precision(setting, "set by loop.precision")


@cache
def _choose(device: str) -> Precision:
    if device == "cuda":
        name, native = torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(including_emulation=False)
        return _by_flag(name, native)
    if device != "cpu":
        return _measure(device, f"{device} does not say whether it has bfloat16")
    cpu, native = cpu_name(), _cpu_flag()
    if native is None:
        return _measure(device, f"{cpu} does not say whether it has bfloat16")
    if native and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX", "AVX2") and not _is_arm():
        return Precision("float32", f"torch is limited to instructions without bfloat16 on {cpu} (ATEN_CPU_CAPABILITY)")
    caps = [f"{variable}={os.environ[variable]}" for variable in ONEDNN_CAPS if os.environ.get(variable)]
    if native and caps:
        return _measure(device, f"{caps[0]} limits the instructions of {cpu}")
    return _by_flag(cpu, native)


def _by_flag(hardware: str, native: bool) -> Precision:
    if native:
        return Precision("bf16", f"{hardware} has native bfloat16")
    return Precision("float32", f"{hardware} has no native bfloat16")


def _is_arm() -> bool:
    return platform.machine().lower() in ("aarch64", "arm64")


def _cpu_flag() -> bool | None:
    """Whether the CPU has instructions for bfloat16; None where it cannot be asked."""
    if _is_arm():
        cpuinfo = Path("/proc/cpuinfo")  # Linux only
        features = (
            [line for line in cpuinfo.read_text().splitlines() if line.startswith("Features")]
            if cpuinfo.exists()
            else []
        )
        return "bf16" in features[0].split() if features else None
    # Private in every version of torch so far, so that one without them is possible.
    asked = [getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")]
    return any(ask() for ask in asked if ask is not None) if all(asked) else None


def _measure(device: str, doubt: str) -> Precision:
    """bfloat16 if its matrix products are faster than float32's."""
    try:
        ratio = _time_ratio(torch.device(device))
    except (RuntimeError, TypeError):  # no such product on this device
        return Precision("float32", f"{doubt}; it has no bfloat16 products")
    name: PrecisionName = "bf16" if ratio < FASTER else "float32"
    return Precision(name, f"{doubt}; bfloat16 products took {ratio:.2g} of float32's time")


def _time_ratio(device: torch.device, repeats: int = 5) -> float:
    """Time of bfloat16 products over that of float32 ones."""
    total = {torch.float32: 0.0, torch.bfloat16: 0.0}
    for rows, inner, columns in SIZES:
        best = dict.fromkeys(total, float("inf"))
        # By turns and the best of several: other processes disturb both types alike. The first of each warms up.
        for repeat in range(repeats + 1):
            for dtype in total:
                left = torch.ones(rows, inner, dtype=dtype, device=device)
                right = torch.ones(inner, columns, dtype=dtype, device=device)
                _wait(device)
                start = time.perf_counter()
                left @ right
                _wait(device)
                if repeat:
                    best[dtype] = min(best[dtype], time.perf_counter() - start)
        for dtype in total:
            total[dtype] += best[dtype]
    return total[torch.bfloat16] / total[torch.float32]


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()
