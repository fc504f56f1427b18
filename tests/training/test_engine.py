"""The training engine: plan, optimization, loop, and several processes."""

import json
import math
import os
import signal
import socket
import threading
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from sugar.errors import InputError
from sugar.models.heads.alignment import AlignmentConfig
from sugar.models.heads.gather import gather_with_gradient
from sugar.models.heads.motion import MotionHead
from sugar.training.engine.config import LoopConfig, OptimizationConfig
from sugar.training.engine.fit import FitResult, Interrupted, Objective, fit
from sugar.training.engine.optimization import MovingAverage, build_optimizer, learning_rate
from sugar.training.engine.randomness import stable_seed
from sugar.training.engine.schedule import BatchSchedule
from sugar.training.environment import environment, write_environment


@dataclass
class Points:
    inputs: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> "Points":
        return Points(self.inputs.to(device), self.targets.to(device))


def collate(items: list[tuple[Tensor, Tensor]]) -> Points:
    inputs, targets = zip(*items, strict=True)
    return Points(torch.stack(inputs), torch.stack(targets))


def line_data(clips: int = 24) -> list[tuple[Tensor, Tensor]]:
    inputs = torch.randn(clips, 3, generator=torch.Generator().manual_seed(0))
    return [(x, x @ torch.tensor([1.0, -2.0, 0.5])) for x in inputs]


class Line(Objective):
    """Least squares with a frozen part, and what goes wrong on demand."""

    def __init__(self, *, fail_at: int | None = None, signal_at: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weights = nn.Linear(3, 1)
        self.frozen = nn.Linear(3, 1).requires_grad_(False)
        self.calls, self.fail_at, self.signal_at = 0, fail_at, signal_at
        self.drawn: list[float] = []

    def forward(self, batch: Points, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        self.drawn.append(torch.rand((), generator=generator).item() + torch.rand(()).item())
        loss = (self.weights(batch.inputs).squeeze(1) - batch.targets).square().mean()
        if self.calls == self.fail_at:
            loss = loss * math.nan
        if self.calls == self.signal_at:
            os.kill(os.getpid(), signal.SIGTERM)
        self.calls += 1
        return loss, {"error": loss.detach().sqrt()}


def train(folder: Path, objective: Line, **changes: Any) -> FitResult:
    loop = LoopConfig(
        **({"epochs": 10, "batch_size": 5, "precision": "float32", "tensorboard": "off"} | changes.pop("loop", {}))
    )
    optimization = OptimizationConfig(**({"learning_rate": 0.1, "weight_decay": 0.0} | changes.pop("optimization", {})))
    arguments: dict[str, Any] = {"seed": 1, "folder": folder, "resume": False, "name": "line"} | changes
    return fit(objective, line_data(), collate, loop=loop, optimization=optimization, **arguments)


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_plan_shows_every_clip_once_an_epoch_in_a_new_order() -> None:
    plan = BatchSchedule(clips=23, epochs=2, batch_size=4, accumulate=2, seed=3, stage="s")
    assert (plan.steps_per_epoch, plan.steps) == (3, 6)
    orders = []
    for epoch in range(2):
        passes = [one for step in range(3 * epoch, 3 * epoch + 3) for one in plan.passes(step)]
        assert all(3 <= len(indices) <= 4 for indices, _ in passes)
        orders.append([index for indices, _ in passes for index in indices])
        assert sorted(orders[-1]) == list(range(23))
    assert orders[0] != orders[1]
    for step in range(plan.steps):
        assert sum(share for _, share in plan.passes(step)) == pytest.approx(1)
        assert plan.clips_of(step) == sum(len(indices) for indices, _ in plan.passes(step))


def test_plan_gives_equal_shares_to_processes() -> None:
    def plan(rank: int, processes: int) -> BatchSchedule:
        return BatchSchedule(
            clips=23, epochs=1, batch_size=8, accumulate=1, seed=3, stage="s", rank=rank, processes=processes
        )

    for step in range(plan(0, 1).steps):
        (whole, _), *_ = plan(0, 1).passes(step)
        shares = [plan(rank, 3).passes(step)[0][0] for rank in range(3)]
        assert len({len(share) for share in shares}) == 1
        assert set().union(*shares) == set(whole)
        assert max(Counter(index for share in shares for index in share).values()) <= 2


def test_seeds_are_the_same_on_every_machine() -> None:
    assert stable_seed(0, "order", 1) == 7021862330116196507
    assert stable_seed(0, "order", 1) != stable_seed(0, "order", 2)


def test_learning_rate_schedules() -> None:
    cosine = OptimizationConfig(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(cosine, step, 100, 0) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9] == rates[10] == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert 0 < rates[99] < 0.001
    steps = OptimizationConfig(learning_rate=1.0, warmup=0.0, schedule="step", milestones=(2, 4))
    assert [learning_rate(steps, 0, 9, epoch) for epoch in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert learning_rate(OptimizationConfig(schedule="constant", warmup=0.0), 7, 9, 3) == 1e-3


def test_decay_spares_biases_norms_embeddings_and_frozen_weights() -> None:
    module = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.LayerNorm(2), "c": nn.Embedding(2, 2), "d": nn.Linear(2, 2)})
    module["d"].requires_grad_(False)
    for name in ("adamw", "sgd"):
        decayed, spared = build_optimizer(module, OptimizationConfig(optimizer=name, weight_decay=0.1)).param_groups
        assert [p is module["a"].weight for p in decayed["params"]] == [True]
        assert len(spared["params"]) == 4
        assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)


def test_moving_average_is_put_in_and_taken_out() -> None:
    weight = nn.Parameter(torch.zeros(1))
    average = MovingAverage([weight], decay=0.5)
    with torch.no_grad():
        weight.fill_(1.0)
    average.update(1)  # early decay 2 / 11
    assert average.averages[0].item() == pytest.approx(9 / 11)
    with average.applied():
        assert weight.item() == pytest.approx(9 / 11)
    assert weight.item() == 1.0


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_fit_learns_and_tells(tmp_path: Path, optimizer: str) -> None:
    objective = Line()
    frozen = objective.frozen.weight.clone()
    scores: list[bool] = []

    def validate() -> dict[str, float]:
        scores.append(objective.training or torch.is_grad_enabled())
        return {"top1": 0.5}

    settings = {"optimizer": optimizer, "learning_rate": 0.1 if optimizer == "adamw" else 0.02, "ema": 0.5}
    loop = {"log_steps": 2, "checkpoint_epochs": 3}
    result = train(tmp_path, objective, optimization=settings, loop=loop, validate=validate, validate_every=4)
    lines = metrics(tmp_path)
    assert result.steps == 50
    assert result.loss < 0.1 * lines[0]["loss"]
    assert result.validation == {"top1": 0.5}
    assert scores == [False] * 3  # epochs 4, 8 and 10
    assert [line["step"] for line in lines] == [s for e in range(10) for s in (5 * e + 2, 5 * e + 4, 5 * e + 5)]
    assert [line["epoch"] for line in lines if "validation/top1" in line] == [4, 8, 10]
    assert lines[0].keys() == {
        *("stage", "epoch", "step", "loss", "error", "gradient_norm", "learning_rate", "clips_per_s")
    }
    assert torch.equal(objective.frozen.weight, frozen)
    assert not objective.training
    assert len(set(objective.drawn)) == 50  # other random numbers in every step


def test_accumulated_passes_equal_one_large_pass(tmp_path: Path) -> None:
    weights = []
    for batch_size, accumulate in ((6, 1), (3, 2), (4, 2)):
        objective = Line()
        fit(
            objective,
            line_data(),
            collate,
            loop=LoopConfig(
                epochs=10, batch_size=batch_size, accumulate=accumulate, precision="float32", tensorboard="off"
            ),
            optimization=OptimizationConfig(learning_rate=0.1, weight_decay=0.0),
            seed=1,
            folder=tmp_path / f"{batch_size}x{accumulate}",
            resume=False,
            name="line",
        )
        weights.append(objective.weights.weight)
    assert torch.allclose(weights[0], weights[1], atol=1e-5)
    assert not torch.allclose(weights[0], weights[2], atol=1e-5)  # steps of eight clips


def test_bf16_and_workers_train(tmp_path: Path) -> None:
    first, second = Line(), Line()
    train(tmp_path / "0", first, loop={"precision": "bf16"})
    result = train(tmp_path / "2", second, loop={"precision": "bf16", "workers": 1})
    assert result.loss < 0.5
    assert torch.equal(first.weights.weight, second.weights.weight)


def test_tensorboard_events(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    fit(
        Line(),
        line_data(),
        collate,
        loop=LoopConfig(tensorboard="on"),
        optimization=OptimizationConfig(),
        seed=0,
        folder=tmp_path,
        resume=False,
        name="line",
    )
    assert list((tmp_path / "tensorboard" / "line").glob("events.*"))


def test_loss_that_is_not_finite_stops_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^line: loss is nan at epoch 2, step 8: lower .*learning_rate[^\n]*$"):
        train(tmp_path, Line(fail_at=7))


def test_fp16_without_gpu_is_refused(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("has a GPU")
    with pytest.raises(InputError, match=r"loop\.precision"):
        train(tmp_path, Line(), loop={"precision": "fp16"})


def test_config_errors_name_the_field() -> None:
    with pytest.raises(InputError, match=r"loop\.batch_size is 0"):
        LoopConfig(batch_size=0)
    with pytest.raises(InputError, match=r"optimization\.warmup is 1\.5"):
        OptimizationConfig(warmup=1.5)
    with pytest.raises(InputError, match=r"optimization\.milestones is empty"):
        OptimizationConfig(schedule="step")


def test_signal_saves_and_resume_finishes_alike(tmp_path: Path) -> None:
    undisturbed, objective = Line(), Line(signal_at=11)
    train(tmp_path / "a", undisturbed)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="line: interrupted at epoch 3, step 12 of 50: resume with --resume"):
        train(tmp_path / "b", objective)
    assert signal.getsignal(signal.SIGTERM) is before
    resumed = Line()
    train(tmp_path / "b", resumed, resume=True)
    assert resumed.calls == 50 - 12
    assert torch.equal(undisturbed.weights.weight, resumed.weights.weight)


def test_a_signal_in_the_last_validation_ends_the_run_and_its_stage_is_finished(tmp_path: Path) -> None:
    def validate() -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGTERM)
        return {"score": 1.0}

    with pytest.raises(Interrupted, match="line: finished, then interrupted: resume with --resume"):
        train(tmp_path, Line(), validate=validate, validate_every=0)
    resumed = Line()
    assert train(tmp_path, resumed, resume=True).steps == 50
    assert resumed.calls == 0


def test_fit_outside_the_main_thread(tmp_path: Path) -> None:
    results: list[FitResult] = []
    thread = threading.Thread(target=lambda: results.append(train(tmp_path, Line())))
    thread.start()
    thread.join()
    assert results[0].steps == 50


def test_environment_is_written(tmp_path: Path) -> None:
    path = write_environment(tmp_path, environment(seed=3, store_hash="abc") | {"llm": "x"})
    record = json.loads(path.read_text())
    assert (record["seed"], record["store_hash"], record["llm"]) == (3, "abc", "x")
    assert record["packages"]["torch"] == torch.__version__


def _free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def _contrast(features: Tensor, everything: Tensor, first: int) -> Tensor:
    positives = torch.arange(first, first + len(features))
    return nn.functional.cross_entropy(features @ everything.T, positives)


def _two_processes(rank: int, port: int, folder: str) -> None:
    os.environ |= {
        **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"},
        **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "ACCELERATE_USE_CPU": "true"},
    }
    torch.set_num_threads(1)
    objective = Line()
    train(Path(folder) / "two", objective, loop={"accumulate": 2}, optimization={"optimizer": "sgd", "ema": 0.5})
    resumed = Line()
    train(
        Path(folder) / "two",
        resumed,
        loop={"accumulate": 2},
        optimization={"optimizer": "sgd", "ema": 0.5},
        resume=True,
    )

    # The contrast over gathered rows against the same in one process.
    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.eye(4, requires_grad=True)
    own = rows[3 * rank : 3 * rank + 3] @ weight
    _contrast(own, gather_with_gradient(own), 3 * rank).backward()
    assert weight.grad is not None
    dist.all_reduce(weight.grad)
    labels = gather_with_gradient(torch.tensor([rank]))
    of_own = _own_contrast(slice(3 * rank, 3 * rank + 3))
    dist.all_reduce(of_own)
    if rank == 0:
        torch.save(
            {
                "line": objective.weights.state_dict(),
                "resumed": resumed.weights.state_dict(),
                "gradient": weight.grad / 2,
                "labels": labels,
                "own": of_own / 2,
            },
            Path(folder) / "two.pt",
        )
    dist.destroy_process_group()


def _own_contrast(clips: slice) -> Tensor:
    """The loss of some of six clips against the fact captions of the whole batch."""
    torch.manual_seed(0)
    head = MotionHead(in_channels=4, text_channels=4, num_classes=2, config=AlignmentConfig())
    tokens, own = torch.randn(2, 6, 4).unbind()
    mask = torch.ones(6, 1, dtype=torch.bool)
    return head.own_contrast(
        tokens[:, None][clips], mask[clips], nn.functional.normalize(own, dim=-1)[clips], 0.1
    ).detach()


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    mp.spawn(_two_processes, args=(_free_port(), str(tmp_path)), nprocs=2)
    two = torch.load(tmp_path / "two.pt", weights_only=True)
    one = Line()
    train(tmp_path / "one", one, loop={"accumulate": 2}, optimization={"optimizer": "sgd", "ema": 0.5})
    # Batches of 5 and 4: one clip of the five is seen twice by two processes, so the runs only nearly agree.
    assert torch.allclose(one.weights.weight, two["line"]["weight"], atol=0.02)
    assert torch.equal(two["resumed"]["weight"], two["line"]["weight"])
    assert two["labels"].tolist() == [0, 1]

    rows = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    weight = torch.eye(4, requires_grad=True)
    features = rows @ weight
    _contrast(features, features, 0).backward()
    assert weight.grad is not None
    assert torch.allclose(two["gradient"], weight.grad, atol=1e-6)
    assert gather_with_gradient(rows) is rows
    torch.testing.assert_close(two["own"], _own_contrast(slice(0, 6)))
