"""Checkpoints: what is in them, and what they refuse."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sugar.errors import InputError
from sugar.training.engine.checkpoint import Checkpoint, checkpoint_path, remove_leftovers
from sugar.training.engine.config import LoopConfig, OptimizationConfig
from sugar.training.engine.fit import Objective, fit
from sugar.training.engine.randomness import random_states, seed_everything, set_random_states
from sugar.training.fingerprint import Fingerprint


class Numbers:
    def __init__(self, values: Tensor) -> None:
        self.values = values

    def to(self, device: torch.device) -> "Numbers":
        return Numbers(self.values.to(device))


class Mean(Objective):
    """Finds a mean; ``backbone`` stands for an LLM with frozen weights."""

    def __init__(self, size: int = 2) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(size))
        self.norm = nn.BatchNorm1d(1)
        self.backbone = nn.Linear(64, 64).requires_grad_(False)
        self.register_buffer("cache", torch.zeros(9), persistent=False)

    def forward(self, batch: Numbers, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        return (self.norm(batch.values)[:, 0] - self.mean[0]).square().mean() + self.mean.sum().square(), {}


def train(folder: Path, objective: Mean, *, resume: bool = True, seed: int = 0, **changes: Any) -> None:
    fit(
        objective,
        torch.arange(12.0).unsqueeze(1),
        lambda items: Numbers(torch.stack(items)),
        loop=LoopConfig(epochs=2, batch_size=4, tensorboard="off"),
        optimization=OptimizationConfig(**({"ema": 0.9} | changes)),
        seed=seed,
        folder=folder,
        resume=resume,
        name="mean",
        fingerprint=Fingerprint({"data": {"hash": "abc"}}),
    )


def test_only_what_training_changes_is_kept(tmp_path: Path) -> None:
    train(tmp_path, Mean())
    names = {name for name in load_file(checkpoint_path(tmp_path, "mean")) if name.startswith("model.")}
    assert names == {
        *("model.mean", "model.norm.weight", "model.norm.bias"),
        *("model.norm.running_mean", "model.norm.running_var", "model.norm.num_batches_tracked"),
    }


def test_finished_training_is_loaded_and_not_repeated(tmp_path: Path) -> None:
    trained, again = Mean(), Mean()
    train(tmp_path, trained)
    after = torch.rand(1)
    content = checkpoint_path(tmp_path, "mean").read_bytes()
    train(tmp_path, again)
    assert torch.equal(torch.rand(1), after)  # the next stage draws what it would have drawn
    assert checkpoint_path(tmp_path, "mean").read_bytes() == content
    for name, value in trained.state_dict().items():
        if not name.startswith("backbone"):
            assert torch.equal(value, again.state_dict()[name]), name
    assert not again.training


def test_new_training_in_the_same_place_is_refused(tmp_path: Path) -> None:
    train(tmp_path, Mean(), resume=False)
    with pytest.raises(InputError, match="exists: continue the training with --resume or give another --out"):
        train(tmp_path, Mean(), resume=False)


def test_other_recipe_is_refused_by_name(tmp_path: Path) -> None:
    train(tmp_path, Mean())
    expected = r"optimization\.learning_rate was 0\.001, is 0\.1; seed was 0, is 7"
    with pytest.raises(InputError, match=expected):
        train(tmp_path, Mean(), seed=7, learning_rate=0.1)


def test_other_model_is_refused_by_name(tmp_path: Path) -> None:
    train(tmp_path, Mean())
    with pytest.raises(InputError, match=r"mean is \(2,\) here, \(3,\) in the model"):
        train(tmp_path, Mean(size=3))
    larger = Mean()
    larger.extra = nn.Linear(1, 1)
    with pytest.raises(InputError, match=r"differs in extra\.bias"):
        train(tmp_path, larger)


def test_damaged_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, "mean")
    train(tmp_path, Mean())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="damaged checkpoint"):
        train(tmp_path, Mean())
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="not a checkpoint"):
        train(tmp_path, Mean())
    Checkpoint({}, {"format_version": 99}).save(path)
    with pytest.raises(InputError, match="version 99, newer than 1: update sugar"):
        train(tmp_path, Mean())


def test_checkpoint_keeps_tensors_and_scalars_exactly(tmp_path: Path) -> None:
    tensors = {
        "a": torch.rand(2, 3).T,
        "b": torch.tensor(1, dtype=torch.uint8),
        "c": torch.rand(2).bfloat16(),
    }
    scalars = {"step": 3, "loss": 0.1 + 0.2, "nested": {"x": [1, 2]}}
    Checkpoint(tensors, scalars).save(tmp_path / "c.safetensors")
    loaded = Checkpoint.load(tmp_path / "c.safetensors")
    assert loaded.scalars == scalars
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in tensors.items())


def test_random_states_come_back() -> None:
    def draw() -> tuple[float, ...]:
        return torch.rand(()).item(), np.random.rand(), np.random.randn(), random.random(), random.gauss()

    seed_everything(5)
    draw()  # leaves half of a pair of Gaussian numbers in NumPy and Python
    states = random_states()
    expected = draw()
    draw()
    set_random_states(states)
    assert draw() == expected


def test_what_a_kill_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = checkpoint_path(tmp_path, "mean")
    path.parent.mkdir()
    left, kept = (".mean.safetensors.x1.safetensors", ".tmp9LHNQE"), (".other", "mean.safetensors", "mean.txt")
    for name in (*left, *kept):
        (path.parent / name).touch()
    remove_leftovers(path)
    assert sorted(file.name for file in path.parent.iterdir()) == sorted(kept)
