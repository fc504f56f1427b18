"""One small training loop for every stage: devices, processes, precision, checkpoints, exact resume.

Everything random in a step is a function of (seed, stage, epoch, step, rank), and everything else that the
step depends on is in the checkpoint. A training that was killed and resumed therefore ends with the weights
of one that was not, bit for bit on the CPU with the same number of threads.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor, nn

from sugar.errors import InputError
from sugar.training.engine.checkpoint import Checkpoint, TrainingState, checkpoint_path, remove_leftovers
from sugar.training.engine.config import LoopConfig, OptimizationConfig, PrecisionSetting
from sugar.training.engine.interruption import Interrupted, stop_signals
from sugar.training.engine.optimization import learning_rate, trainable_parameters
from sugar.training.engine.precision import Precision, resolve_precision
from sugar.training.engine.progress import TrainingLog
from sugar.training.engine.randomness import random_states, random_stream, seed_everything, stable_seed
from sugar.training.engine.schedule import BatchSchedule, Clips, loader
from sugar.training.fingerprint import Fingerprint, check_resume


class Batch(Protocol):
    """What ``collate`` makes: anything that moves to a device."""

    def to(self, device: torch.device, /) -> Self: ...


class Objective(nn.Module):
    """What a stage trains: a module whose forward is the loss, so that DDP and compile can wrap it.

    Parameters with ``requires_grad`` must take part in the loss; they and the buffers are in checkpoints. The
    subclass's ``train`` keeps its frozen parts in evaluation mode.
    """

    def forward(self, batch: Any, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        """Mean loss of the batch (a scalar), and further scalars to log, with the same keys at every step.

        ``generator`` (CPU) is seeded for this batch: draw augmentation and texts from it.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class FitResult:
    """What ``fit`` tells besides the weights."""

    steps: int
    """Optimizer steps in all."""
    seconds: float
    """Training time, parts before a resume included."""
    loss: float
    """Mean of the last line of metrics."""
    validation: dict[str, float]
    """Last scores, empty without validation."""
    precision: Precision
    """What the forward pass was computed in."""


def fit(
    objective: Objective,
    dataset: Clips,
    collate: Callable[[list[Any]], Batch],
    *,
    loop: LoopConfig,
    optimization: OptimizationConfig,
    seed: int,
    folder: Path,
    resume: bool,
    name: str,
    validate: Callable[[], dict[str, float]] | None = None,
    validate_every: int = 1,
    fingerprint: Fingerprint | None = None,
) -> FitResult:
    """Train ``objective`` in place; it ends in evaluation mode with its final (moving-average) weights.

    Args:
        objective: loss of a batch; may have frozen parts.
        dataset: clips by position; items must not be random.
        collate: makes a batch of a list of items.
        loop: length, batches, precision, checkpoints.
        optimization: optimizer, schedule, moving average.
        seed: of the order of clips and of every random draw.
        folder: run folder; gets ``checkpoints/<name>.safetensors``, ``metrics.jsonl``,
            ``tensorboard/<name>/``.
        resume: go on from the checkpoint if there is one; at once done if it is of a finished training.
        name: of the stage; stages of one run share the folder.
        validate: scores of the objective on held-out clips, called on every process, in evaluation mode,
            without gradients, with the weights that would be the result.
        validate_every: epochs between validations; the last epoch is always validated; 0: only that.
        fingerprint: what must be the same to resume besides loop and optimizer, such as the model's settings and
            the hash of the data.

    Raises:
        InputError: a checkpoint is there and ``resume`` is off; it has other settings or another model; the
            loss or the gradient is not finite.
        Interrupted: SIGINT or SIGTERM came. A second one ends the process at once.
    """
    if not len(dataset):
        raise InputError(f"{name}: no clips to train on: check the store and the split")
    if not trainable_parameters(objective):
        raise ValueError(f"{name}: the objective has no parameter that takes gradients")
    # Autocast and loss scaling are done here: accelerate fixes one precision per process, but stages may
    # differ in theirs.
    accelerator = Accelerator(mixed_precision="no")
    path = checkpoint_path(folder, name)
    saved = None
    if path.exists():
        if not resume:
            raise InputError(f"{path} exists: continue the training with --resume or give another --out")
        saved = Checkpoint.load(path)
    precision = _precision(loop.precision, accelerator, saved)
    if precision.name == "fp16" and accelerator.device.type == "cpu":
        raise InputError("loop.precision is fp16, which needs a GPU: use bf16 or float32")
    loop = replace(loop, precision=precision.name)
    plan = BatchSchedule(
        clips=len(dataset),
        epochs=loop.epochs,
        batch_size=loop.batch_size,
        accumulate=loop.accumulate,
        seed=seed,
        stage=name,
        rank=accelerator.process_index,
        processes=accelerator.num_processes,
    )
    given = fingerprint or Fingerprint({})
    settings = {
        "seed": seed,
        "clips": plan.clips,
        "processes": plan.processes,
        "loop": loop.fingerprint(),
        "optimization": asdict(optimization),
        **given.settings,
    }
    now = Fingerprint(settings, given.inputs)
    if saved is not None:
        check_resume(path, Fingerprint.from_dict(saved.scalars["fingerprint"]), now)
    remove_leftovers(path)
    accelerator.wait_for_everyone()  # all have looked before one writes

    threads = torch.get_num_threads()
    torch.set_num_threads(loop.threads or threads)
    try:
        model = accelerator.prepare_model(torch.compile(objective) if loop.compile else objective)
        state = TrainingState(objective, optimization, precision)
        if saved is not None:
            state.load(saved, path, rank=plan.rank)
        if saved is None or not saved.scalars["finished"]:
            log = TrainingLog(
                folder,
                stage=name,
                step=state.step,
                steps=plan.steps,
                epochs=plan.epochs,
                tensorboard=loop.tensorboard,
                enabled=accelerator.is_main_process,
            )
            training = _Training(
                accelerator=accelerator,
                objective=objective,
                model=model,
                state=state,
                plan=plan,
                loop=loop,
                optimization=optimization,
                validate=validate,
                validate_every=validate_every,
                path=path,
                fingerprint=now.to_dict(),
            )
            log.start_line(f"{precision.name} ({precision.reason})")
            with log, stop_signals() as stopped:
                training.run(iter(loader(dataset, collate, plan, state.step, loop.workers)), log, stopped)
    finally:
        torch.set_num_threads(threads)
    objective.eval()
    return FitResult(
        steps=state.step, seconds=state.seconds, loss=state.loss, validation=state.validation, precision=precision
    )


def _precision(setting: PrecisionSetting, accelerator: Accelerator, saved: Checkpoint | None) -> Precision:
    """The precision to train in, the same in every process; ``auto`` goes on in that of the checkpoint."""
    if setting == "auto" and saved is not None and "precision" in saved.scalars:
        return Precision(**saved.scalars["precision"])
    chosen = [resolve_precision(setting, accelerator.device)]
    if accelerator.num_processes > 1:
        broadcast_object_list(chosen)
    return chosen[0]


@dataclass(frozen=True, kw_only=True)
class _Training:
    """What one call of ``fit`` works with; ``model`` is the objective as it is called (compiled, in DDP)."""

    accelerator: Accelerator
    objective: Objective
    model: nn.Module
    state: TrainingState
    plan: BatchSchedule
    loop: LoopConfig
    optimization: OptimizationConfig
    validate: Callable[[], dict[str, float]] | None
    validate_every: int
    path: Path
    fingerprint: dict[str, Any]

    def run(self, batches: Iterator[Batch], log: TrainingLog, stopped: Callable[[], bool]) -> None:
        """Train from the state's step to the end."""
        state, plan, loop = self.state, self.plan, self.loop
        if state.step == 0:
            self.save()
        self.objective.train()
        last_save = time.monotonic()
        clips, clip_seconds = 0, 0.0  # since the last line of metrics, without validation and checkpoints
        while state.step < plan.steps:
            started = time.monotonic()
            epoch, within = divmod(state.step, plan.steps_per_epoch)
            rate = learning_rate(self.optimization, state.step, plan.steps, epoch)
            tensors = self.backward(batches, epoch)
            overdue = time.monotonic() - last_save >= loop.checkpoint_seconds
            values, save, stop = self.agree(tensors, save=overdue, stop=stopped())
            self.check_finite(values, f"epoch {epoch + 1}, step {state.step + 1}", rate)
            self.update(rate)
            epoch_ends = within + 1 == plan.steps_per_epoch
            clips += plan.clips_of(state.step - 1)
            clip_seconds += time.monotonic() - started
            state.add(values | {"learning_rate": rate})
            log.advance(epoch=epoch + 1, step=state.step, loss=values["loss"], clips_per_s=clips / clip_seconds)
            if epoch_ends or (loop.log_steps and (within + 1) % loop.log_steps == 0):
                line = state.take_means() | {"clips_per_s": clips / clip_seconds}
                clips, clip_seconds = 0, 0.0
                if epoch_ends:
                    line |= self.validation(epoch + 1)
                    log.epoch_line(epoch=epoch + 1, values=line)
                log.event(epoch=epoch + 1, step=state.step, values=line)
            state.seconds += time.monotonic() - started
            if state.step == plan.steps:
                break
            epoch_save = epoch_ends and loop.checkpoint_epochs and (epoch + 1) % loop.checkpoint_epochs == 0
            if save or stop or epoch_save:
                self.save()
                last_save = time.monotonic()
            if stop:
                where = f"epoch {epoch + 1}, step {state.step} of {plan.steps}"
                raise Interrupted(f"{plan.stage}: interrupted at {where}: resume with --resume")
        if state.average is not None:
            state.average.apply()
        self.save(finished=True)
        # A signal that came in the last step or its validation ends the run before the next stage begins.
        _, _, stop = self.agree({}, save=False, stop=stopped())
        if stop:
            raise Interrupted(f"{plan.stage}: finished, then interrupted: resume with --resume")

    def backward(self, batches: Iterator[Batch], epoch: int) -> dict[str, Tensor]:
        """Gradients of one step. Returns the loss, the gradient's norm and what the objective logs."""
        state, plan, accelerator = self.state, self.plan, self.accelerator
        device, dtype = accelerator.device, state.precision.dtype
        passes = plan.passes(state.step)
        totals: dict[str, Tensor] = {}
        for number, (_, share) in enumerate(passes):
            batch = next(batches).to(device)
            where = (plan.seed, random_stream(plan.stage), epoch, state.step, number, plan.rank)
            seed_everything(stable_seed("model", *where))  # dropout draws from the global generators
            generator = torch.Generator().manual_seed(stable_seed("objective", *where))
            last = number == len(passes) - 1
            with nullcontext() if last else accelerator.no_sync(self.model):
                with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
                    loss, extra = self.model(batch, generator)
                accelerator.backward(state.scaler.scale(loss * share))
            for key, value in {"loss": loss, **extra}.items():
                total = totals.get(key, torch.zeros((), device=device))
                totals[key] = total + share * value.detach().float()
        if self.optimization.clip_norm:
            state.scaler.unscale_(state.optimizer)
            norm = nn.utils.clip_grad_norm_(state.parameters, self.optimization.clip_norm)
            totals["gradient_norm"] = norm.detach().float()
        return totals

    def agree(self, tensors: dict[str, Tensor], *, save: bool, stop: bool) -> tuple[dict[str, float], bool, bool]:
        """Numbers for the log, and whether to save and to stop, the same in every process.

        Reading numbers waits for the device, so all are read at once.
        """
        wishes = torch.tensor([save, stop], dtype=torch.float32, device=self.accelerator.device)
        told: Tensor = self.accelerator.reduce(torch.stack([*tensors.values(), *wishes]), "mean")
        *numbers, save_wish, stop_wish = told.tolist()
        return dict(zip(tensors, numbers, strict=True)), save_wish > 0, stop_wish > 0

    def check_finite(self, values: dict[str, float], where: str, rate: float) -> None:
        """Stop before weights turn to NaN. Under fp16 gradients may overflow: the scaler skips their step."""
        keys = ("loss",) if self.state.scaler.is_enabled() else ("loss", "gradient_norm")
        for key in keys:
            if not math.isfinite(values.get(key, 0.0)):
                raise InputError(
                    f"{self.plan.stage}: {key} is {values[key]} at {where}: lower optimization.learning_rate"
                    f" (now {rate:.3g}), clip harder or train in loop.precision float32"
                )

    def update(self, rate: float) -> None:
        """The optimizer's step and the moving average's."""
        state = self.state
        for group in state.optimizer.param_groups:
            group["lr"] = rate
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.optimizer.zero_grad()
        state.step += 1
        if state.average is not None:
            state.average.update(state.step)

    def validation(self, epoch: int) -> dict[str, float]:
        """Scores after ``epoch`` (from 1) where they are due, else nothing."""
        due = epoch == self.plan.epochs or (self.validate_every and epoch % self.validate_every == 0)
        if self.validate is None or not due:
            return {}
        self.objective.eval()
        average = self.state.average
        with torch.no_grad(), average.applied() if average is not None else nullcontext():
            self.state.validation = self.validate()
        self.objective.train()
        return {f"validation/{key}": value for key, value in self.state.validation.items()}

    def save(self, *, finished: bool = False) -> None:
        """Write the checkpoint; every process calls it, the main one writes."""
        accelerator = self.accelerator
        states = {f"{self.plan.rank}.{name}": state for name, state in random_states().items()}
        if accelerator.num_processes > 1:
            states = {name: state for part in gather_object([states]) for name, state in part.items()}
        if accelerator.is_main_process:
            self.state.checkpoint(self.fingerprint, states, finished=finished).save(self.path)
        accelerator.wait_for_everyone()
