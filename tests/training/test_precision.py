"""`precision: auto`: what it chooses, by which evidence, where that is recorded, and what a resume does with it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import values
from torch import Tensor, nn

from sugar.config import parse_config
from sugar.datasets.store.store import write_store
from sugar.datasets.synthetic import SEEN_CLASSES, generate
from sugar.errors import InputError
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.engine import precision as module
from sugar.training.engine.checkpoint import Checkpoint, checkpoint_path
from sugar.training.engine.config import LoopConfig, OptimizationConfig
from sugar.training.engine.fit import FitResult, Objective, fit
from sugar.training.engine.precision import Precision, resolve_precision
from sugar.training.run import train

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def undecided(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No choice of another test, and no limits from outside."""
    for variable in (*module.ONEDNN_CAPS, "ATEN_CPU_CAPABILITY"):
        monkeypatch.delenv(variable, raising=False)
    clear = module._choose.cache_clear  # a test may have put another function in its place at the end
    clear()
    yield
    clear()


def machine(monkeypatch: pytest.MonkeyPatch, *, flag: bool | None, capability: str = "AVX512") -> list[str]:
    """An x86 CPU that is not this one. Returns the devices that were measured, as they are; each looks fast."""
    measured: list[str] = []

    def ratio(device: torch.device) -> float:
        measured.append(device.type)
        return 0.4

    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(module, "cpu_name", lambda: "Some CPU")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"):
        if flag is None:
            monkeypatch.delattr(torch.cpu, name, raising=False)
        else:
            monkeypatch.setattr(torch.cpu, name, lambda: flag, raising=False)
    monkeypatch.setattr(module, "_time_ratio", ratio)
    return measured


@pytest.mark.parametrize(("flag", "chosen"), [(True, "bf16"), (False, "float32")])
def test_a_clear_flag_decides_without_a_measurement(flag: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = machine(monkeypatch, flag=flag)
    precision = resolve_precision("auto", CPU)
    assert precision.name == chosen
    assert precision.reason == f"Some CPU has {'' if flag else 'no '}native bfloat16"
    assert not measured


@pytest.mark.parametrize("capability", ["AVX2", "DEFAULT"])
def test_a_limited_torch_gets_float32(capability: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = machine(monkeypatch, flag=True, capability=capability)
    precision = resolve_precision("auto", CPU)
    assert precision.name == "float32"
    assert "ATEN_CPU_CAPABILITY" in precision.reason
    assert not measured


def test_a_measurement_settles_doubt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = machine(monkeypatch, flag=None)
    precision = resolve_precision("auto", CPU)
    assert precision == Precision(
        "bf16", "Some CPU does not say whether it has bfloat16; bfloat16 products took 0.4 of float32's time"
    )
    monkeypatch.setattr(module, "_time_ratio", lambda device: 2.0)
    assert resolve_precision("auto", CPU) is precision
    assert measured == ["cpu"]


@pytest.mark.parametrize("variable", module.ONEDNN_CAPS)
def test_a_limited_onednn_is_measured(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = machine(monkeypatch, flag=True)
    monkeypatch.setenv(variable, "AVX512_CORE")
    monkeypatch.setattr(module, "_time_ratio", lambda device: measured.append(device.type) or 2.0)
    precision = resolve_precision("auto", CPU)
    assert precision.name == "float32"
    assert precision.reason.startswith(f"{variable}=AVX512_CORE limits")
    assert measured == ["cpu"]


def test_a_gpu_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    for native in (True, False):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=native: answer)
        module._choose.cache_clear()
        assert resolve_precision("auto", torch.device("cuda")).name == ("bf16" if native else "float32")


def test_a_device_without_the_products_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(device: torch.device) -> float:
        raise TypeError("BFloat16 is not supported")

    monkeypatch.setattr(module, "_time_ratio", fails)
    assert resolve_precision("auto", torch.device("mps")).name == "float32"


def test_what_is_set_is_taken() -> None:
    for name in module.DTYPES:
        assert resolve_precision(name, CPU).name == name
    with pytest.raises(InputError, match=r"alignment\.loop\.precision"):
        parse_config(RunConfig, {"alignment": {"loop": {"precision": "no"}}}, where="FILE")


def test_a_measurement_draws_no_random_number() -> None:
    state = torch.get_rng_state()
    assert module._time_ratio(CPU, repeats=1) > 0
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    "limits",
    [
        {"ATEN_CPU_CAPABILITY": "avx2"},
        {"ATEN_CPU_CAPABILITY": "default"},
        {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    ],
    ids=lambda limits: "+".join(f"{key}={value}" for key, value in limits.items()),
)
def test_a_limited_process_chooses_float32(limits: dict[str, str]) -> None:
    if module._is_arm():
        pytest.skip("names instructions of x86")
    code = (
        "import torch; from sugar.training.engine.precision import resolve_precision;"
        "print(resolve_precision('auto', torch.device('cpu')).name)"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=os.environ | limits, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["float32"]


class Batch:
    def __init__(self, inputs: Tensor) -> None:
        self.inputs = inputs

    def to(self, device: torch.device) -> "Batch":
        return self


class Layer(Objective):
    """Says in which type its product was computed."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 1)
        self.computed: set[torch.dtype] = set()

    def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        output = self.layer(batch.inputs)
        self.computed.add(output.dtype)
        return output.float().square().mean(), {}


def fitted(folder: Path, objective: Objective, *, resume: bool = False, **loop: Any) -> FitResult:
    return fit(
        objective,
        [torch.ones(3)] * 4,
        lambda items: Batch(torch.stack(items)),
        loop=replace(LoopConfig(epochs=2, tensorboard="off"), **loop),
        optimization=OptimizationConfig(),
        seed=0,
        folder=folder,
        resume=resume,
        name="layer",
    )


def choose(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Let ``auto`` be ``name`` from now on."""
    monkeypatch.setattr(module, "_choose", lambda device: Precision(name, f"chose {name}"))


@pytest.mark.parametrize(("name", "other"), [("bf16", "float32"), ("float32", "bf16")])
def test_a_resume_goes_on_in_the_precision_of_its_checkpoint(
    name: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Stops(Layer):
        def forward(self, batch: Batch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
            if self.computed:
                raise KeyboardInterrupt
            return super().forward(batch, generator)

    with monkeypatch.context() as patch:
        choose(patch, name)
        with pytest.raises(KeyboardInterrupt):
            fitted(tmp_path, Stops())
    assert f"layer: {name} (chose {name})" in capsys.readouterr().err
    scalars = Checkpoint.load(checkpoint_path(tmp_path, "layer")).scalars
    assert scalars["fingerprint"]["settings"]["loop"]["precision"] == name
    assert scalars["precision"] == {"name": name, "reason": f"chose {name}"}

    with monkeypatch.context() as patch:
        choose(patch, other)
        resumed = Layer()
        assert fitted(tmp_path, resumed, resume=True).precision == Precision(name, f"chose {name}")
        assert resumed.computed == {module.DTYPES[name]}
        with pytest.raises(InputError, match=rf"loop\.precision was '{name}', is '{other}'"):
            fitted(tmp_path, Layer(), resume=True, precision=other)


def test_the_choice_is_in_the_record_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    classes = SEEN_CLASSES[:2]
    write_store(
        tmp_path / "store", generate(12, 0, classes), name="store", classes=classes, layout=NTU25, source="made up"
    )
    choose(monkeypatch, "float32")
    config, _ = parse_config(RunConfig, values(tmp_path), where="tiny")
    train(config, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert record["precision"] == {"alignment": {"name": "float32", "reason": "chose float32"}}
