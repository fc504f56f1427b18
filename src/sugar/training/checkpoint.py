"""A training at one optimizer step as one safetensors file: tensors, and the rest as JSON in its header."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sugar.config import differences, flatten
from sugar.errors import InputError
from sugar.files import atomic_write
from sugar.training.optimization import (
    MovingAverage,
    OptimizationConfig,
    build_optimizer,
    trainable_parameters,
)
from sugar.training.precision import Precision
from sugar.training.randomness import set_random_states

FORMAT_VERSION = 1
CONTENTS = "contents"
"""Of a recipe: digests of what a stage reads, by what messages call it. Earlier checkpoints have none."""


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name and JSON-able scalars."""

    tensors: dict[str, Tensor]
    scalars: dict[str, Any]

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; a kill at any moment leaves the previous one."""
        header = {"sugar_checkpoint": json.dumps({"format_version": FORMAT_VERSION, **self.scalars})}
        # A copy each: safetensors refuses tensors that share memory.
        tensors = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in self.tensors.items()}
        with atomic_write(path) as temporary:
            save_file(tensors, temporary, metadata=header)

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a file that ``save`` wrote.

        Raises:
            InputError: not a checkpoint, damaged, or of a newer version.
        """
        try:
            with safe_open(path, framework="pt") as file:
                header = (file.metadata() or {}).get("sugar_checkpoint")
                # Copies in memory of torch's own alignment: kernels may round differently on others.
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except SafetensorError as error:
            raise InputError(f"{path}: damaged checkpoint ({error}): train anew with another --out") from error
        if header is None:
            raise InputError(f"{path}: not a checkpoint of a training: train anew with another --out")
        scalars = json.loads(header)
        version = scalars.pop("format_version")
        if version > FORMAT_VERSION:
            raise InputError(f"{path}: checkpoint of version {version}, newer than {FORMAT_VERSION}: update sugar")
        return cls(tensors=tensors, scalars=scalars)

    def below(self, prefix: str) -> dict[str, Tensor]:
        """Tensors whose names begin with ``prefix``, without it."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}


def checkpoint_path(folder: Path, stage: str) -> Path:
    """Where the training ``stage`` of the run ``folder`` keeps its checkpoint."""
    return Path(folder) / "checkpoints" / f"{stage}.safetensors"


def remove_leftovers(path: Path) -> None:
    """Remove what a kill in the middle of writing ``path`` left beside it: our temporary file and safetensors' own."""
    for pattern in (f".{path.name}.*", ".tmp??????"):
        for leftover in path.parent.glob(pattern):
            leftover.unlink(missing_ok=True)


def check_recipe(path: Path, saved: Mapping[str, Any], current: Mapping[str, Any]) -> None:
    """Refuse to go on with a training under other settings than it started with.

    Raises:
        InputError: names each setting that changed, with both values, and whatever else is no longer what it was.
    """
    before, now = flatten(saved), flatten(current)
    read_before, read_now = _take_contents(before), _take_contents(now)
    changed = [f"{key} was {old!r}, is {new!r}" for key, (old, new) in differences(before, now).items()]
    changed += [
        f"the {what} changed"
        for what in sorted(read_before.keys() | read_now.keys())
        if read_before and read_before.get(what) != read_now.get(what)
    ]
    if changed:
        raise InputError(f"{path}: cannot resume with another recipe ({'; '.join(changed)}): undo or use another --out")


def _take_contents(recipe: dict[str, Any]) -> dict[str, Any]:
    """What `CONTENTS` holds in a flat recipe, which is without it afterwards."""
    inside = [key for key in recipe if f".{CONTENTS}." in key]
    return {key.partition(f".{CONTENTS}.")[2]: recipe.pop(key) for key in inside}


def model_tensors(module: nn.Module) -> dict[str, Tensor]:
    """What training changes: trainable parameters and persistent buffers. Frozen weights are not its own."""
    persistent = module.state_dict(keep_vars=True).keys()
    tensors: dict[str, Tensor] = dict(trainable_parameters(module))
    tensors |= {name: buffer for name, buffer in module.named_buffers() if name in persistent}
    return tensors


@torch.no_grad()
def load_into(targets: Mapping[str, Tensor], saved: Mapping[str, Tensor], path: Path) -> None:
    """Copy ``saved[name]`` into ``targets[name]``, for exactly the names of both.

    Raises:
        InputError: a name is missing on either side, or a shape differs.
    """
    if difference := sorted(saved.keys() ^ targets.keys()):
        raise InputError(f"{path}: made for another model, which differs in {difference[0]}: use its config")
    for name, target in targets.items():
        if saved[name].shape != target.shape:
            shapes = f"{tuple(saved[name].shape)} here, {tuple(target.shape)} in the model"
            raise InputError(f"{path}: made for another model, {name} is {shapes}: use its config")
        target.copy_(saved[name])


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: Mapping[int, str]) -> dict[str, Tensor]:
    """The optimizer's state as ``{"parameter/key": tensor}``; ``names``: a parameter's name by its ``id``."""
    return {
        f"{names[id(parameter)]}/{key}": value
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if isinstance(value, Tensor)
    }


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], names: Mapping[int, str]) -> None:
    """Inverse of ``optimizer_tensors``. A training at step 0 has no state yet."""
    state: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parameter, key = name.rsplit("/", 1)
        state.setdefault(parameter, {})[key] = tensor
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.load_state_dict(
        {
            "state": {index: state[name] for index, name in enumerate(order) if name in state},
            "param_groups": optimizer.state_dict()["param_groups"],
        }
    )


class TrainingState:
    """All that changes while a stage trains, to a checkpoint and back."""

    SCALARS = ("step", "seconds", "sums", "summed", "loss", "validation")

    def __init__(self, objective: nn.Module, config: OptimizationConfig, precision: Precision) -> None:
        parameters = trainable_parameters(objective)
        self.parameters = list(parameters.values())
        self.names = {id(parameter): name for name, parameter in parameters.items()}
        self.model = model_tensors(objective)
        self.optimizer = build_optimizer(objective, config)
        self.scaler = torch.amp.GradScaler(enabled=precision.name == "fp16")
        self.precision = precision
        self.average = MovingAverage(self.parameters, decay=config.ema) if config.ema else None
        self.averages = dict(zip(parameters, self.average.averages, strict=True)) if self.average else {}
        self.step = 0
        self.seconds = 0.0
        self.sums: dict[str, float] = {}
        """Of the values of the steps since the last line of metrics."""
        self.summed = 0
        """Number of those steps."""
        self.loss = math.nan
        """Mean of the last line of metrics."""
        self.validation: dict[str, float] = {}
        """The last scores."""

    def add(self, values: Mapping[str, float]) -> None:
        """Count in the values of one step."""
        for key, value in values.items():
            self.sums[key] = self.sums.get(key, 0.0) + value
        self.summed += 1

    def take_means(self) -> dict[str, float]:
        """Means of the values since the last call."""
        means = {key: value / self.summed for key, value in self.sums.items()}
        self.sums, self.summed, self.loss = {}, 0, means["loss"]
        return means

    def checkpoint(self, recipe: Mapping[str, Any], random: Mapping[str, Tensor], *, finished: bool) -> Checkpoint:
        """A finished training keeps its result only, neither moments nor the weights behind the average.

        ``random``: states of the random generators of every process, as ``{"rank.name": tensor}``.
        """
        tensors = {f"model.{name}": tensor for name, tensor in self.model.items()}
        tensors |= {f"random.{name}": tensor for name, tensor in random.items()}
        if not finished:
            moments = optimizer_tensors(self.optimizer, self.names)
            tensors |= {f"optimizer.{name}": tensor for name, tensor in moments.items()}
            tensors |= {f"average.{name}": tensor for name, tensor in self.averages.items()}
        scalars = {key: getattr(self, key) for key in self.SCALARS}
        return Checkpoint(
            tensors,
            {
                "finished": finished,
                "recipe": dict(recipe),
                "precision": asdict(self.precision),
                "scaler": self.scaler.state_dict(),
                **scalars,
            },
        )

    def load(self, saved: Checkpoint, path: Path, *, rank: int) -> None:
        """Inverse of ``checkpoint``, random states of this process included.

        Raises:
            InputError: the checkpoint is of another model.
        """
        load_into(self.model, saved.below("model."), path)
        if not saved.scalars["finished"]:
            load_into(self.averages, saved.below("average."), path)
            load_optimizer(self.optimizer, saved.below("optimizer."), self.names)
            self.scaler.load_state_dict(saved.scalars["scaler"])
        set_random_states(saved.below(f"random.{rank}."))
        for key in self.SCALARS:
            setattr(self, key, saved.scalars[key])
