"""A training that is killed and resumed, again and again, ends with the weights of one that was not."""

import json
import multiprocessing
import random
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sugar.training.engine.checkpoint import checkpoint_path
from sugar.training.engine.config import LoopConfig, OptimizationConfig
from sugar.training.engine.fit import Objective, fit


class Wave:
    def __init__(self, joints: Tensor, labels: Tensor) -> None:
        self.joints, self.labels = joints, labels

    def to(self, device: torch.device) -> "Wave":
        return Wave(self.joints.to(device), self.labels.to(device))


def collate(items: list[tuple[Tensor, int]]) -> Wave:
    joints, labels = zip(*items, strict=True)
    return Wave(torch.stack(joints), torch.tensor(labels))


class Small(Objective):
    """All that a resume can get wrong: running statistics, dropout, augmentation, moments, moving average."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(3, 16, 5, padding=2),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv1d(16, 4, 5),
        )

    def forward(self, batch: Wave, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        time.sleep(0.001)  # so that kills come at many different steps
        noise = torch.randn(batch.joints.shape, generator=generator)
        logits = self.layers(batch.joints + 0.1 * noise).mean(dim=2)
        return nn.functional.cross_entropy(logits, batch.labels), {}


def train(folder: str) -> None:
    torch.manual_seed(0)
    objective = Small()
    clips = [(torch.randn(3, 32), index % 4) for index in range(30)]
    fit(
        objective,
        clips,
        collate,
        loop=LoopConfig(
            epochs=40,  # of 4 steps
            batch_size=4,
            accumulate=2,
            threads=1,
            checkpoint_seconds=0.02,
            checkpoint_epochs=7,
            log_steps=3,
            tensorboard="off",
        ),
        optimization=OptimizationConfig(ema=0.99),
        seed=11,
        folder=Path(folder),
        resume=True,
        name="small",
    )
    save_file(objective.state_dict(), Path(folder) / "weights.safetensors")


def metrics(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "clips_per_s"} for line in lines]


def start(folder: Path) -> ForkServerProcess:
    # A server that has imported the engine once: its children start in no time.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sugar.training.engine.fit", "torch._dynamo"])
    process = context.Process(target=train, args=(str(folder),))
    process.start()
    return process


def saved_step(path: Path) -> int:
    """Step in a checkpoint, -1 without one; read through one open file, which another may replace meanwhile."""
    if not path.exists():
        return -1
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return json.loads(header["__metadata__"]["sugar_checkpoint"])["step"]


def kill_from(process: ForkServerProcess, path: Path, step: int) -> int:
    """SIGKILL at a random moment once ``step`` is in the checkpoint. Returns the step that is in it then."""
    while process.exitcode is None and saved_step(path) < step:
        time.sleep(0.005)
    process.join(random.uniform(0, 0.03))
    assert process.exitcode is None, f"ended before it could be killed: {process.exitcode}"
    process.kill()
    process.join()
    return saved_step(path)


def test_killed_and_resumed_training_is_bit_identical(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    process = start(whole)
    process.join()
    assert process.exitcode == 0
    for step in (1, *sorted(random.sample(range(10, 90), 2)), 100):
        assert step <= kill_from(start(killed), checkpoint_path(killed, "small"), step) < 160
    process = start(killed)
    process.join()
    assert process.exitcode == 0

    assert (killed / "weights.safetensors").read_bytes() == (whole / "weights.safetensors").read_bytes()
    expected = load_file(checkpoint_path(whole, "small"))
    for name, tensor in load_file(checkpoint_path(killed, "small")).items():
        assert torch.equal(tensor, expected[name]), name
    assert metrics(killed) == metrics(whole)
    assert not list((killed / "checkpoints").glob(".*"))
