"""Optimizer, learning-rate schedule and moving average of the weights."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sugar.errors import InputError


@dataclass(frozen=True)
class OptimizationConfig:
    """How gradients become weights."""

    optimizer: Literal["adamw", "sgd"] = "adamw"
    """Update rule."""
    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 0.05
    """Decay of weights of two axes or more that are no embeddings; biases, norms and scalars never decay."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's decay of the gradient's first and second moments."""
    momentum: float = 0.9
    """SGD's momentum."""
    nesterov: bool = True
    """Nesterov's form of SGD's momentum."""
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    """Learning rate after the warm-up: a half cosine down to 0, steps at the milestones, or no change."""
    warmup: float = 0.05
    """Fraction of all optimizer steps over which the learning rate rises linearly from 0."""
    milestones: tuple[int, ...] = ()
    """Epochs after which the step schedule multiplies the learning rate by gamma."""
    gamma: float = 0.1
    """Factor of the step schedule."""
    clip_norm: float = 1.0
    """Largest norm of all gradients together; 0 does not clip."""
    ema: float = 0.0
    """Decay of the exponential moving average of the weights, validated and kept as the result; 0: off."""

    def __post_init__(self) -> None:
        checks = (
            ("learning_rate", self.learning_rate > 0, "above 0"),
            ("weight_decay", self.weight_decay >= 0, "0 or more"),
            ("betas", all(0 <= beta < 1 for beta in self.betas), "in [0, 1) for each"),
            ("momentum", 0 <= self.momentum < 1, "in [0, 1)"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("gamma", self.gamma > 0, "above 0"),
            ("clip_norm", self.clip_norm >= 0, "0 or more"),
            ("ema", 0 <= self.ema < 1, "in [0, 1)"),
        )
        for field, valid, expected in checks:
            if not valid:
                raise InputError(f"optimization.{field} is {getattr(self, field)}: give a value {expected}")
        if self.schedule == "step" and not self.milestones:
            raise InputError("optimization.milestones is empty: the step schedule needs at least one epoch")


def trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """Parameters that take gradients, by name; shared ones once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def build_optimizer(module: nn.Module, config: OptimizationConfig) -> torch.optim.Optimizer:
    """Optimizer over the trainable parameters, in two groups: with and without weight decay."""
    parameters = list(trainable_parameters(module).values())
    embeddings = {id(owner.weight) for owner in module.modules() if isinstance(owner, nn.Embedding)}
    decayed = [p for p in parameters if p.ndim >= 2 and id(p) not in embeddings]
    chosen = {id(p) for p in decayed}
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if id(p) not in chosen], "weight_decay": 0.0},
    ]
    # The fused kernels cost a fraction of the parameter-by-parameter loop, which a small model feels most.
    fused = all(p.device.type in ("cpu", "cuda") for p in parameters)
    if config.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=config.betas, fused=fused)
    return torch.optim.SGD(
        groups,
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov and config.momentum > 0,
        fused=fused,
    )


def learning_rate(config: OptimizationConfig, step: int, steps: int, epoch: int) -> float:
    """Learning rate of optimizer step ``step`` (0-based) of ``steps``, in 0-based ``epoch``.

    A pure function of the position, so that a resumed training has no scheduler state to restore.
    """
    warmup_steps = round(config.warmup * steps)
    if step < warmup_steps:
        return config.learning_rate * (step + 1) / warmup_steps
    if config.schedule == "cosine":
        position = (step - warmup_steps) / (steps - warmup_steps)
        return config.learning_rate * 0.5 * (1 + math.cos(math.pi * position))
    if config.schedule == "step":
        return config.learning_rate * config.gamma ** sum(epoch >= milestone for milestone in config.milestones)
    return config.learning_rate


class MovingAverage:
    """Exponential moving average of parameters; buffers (running statistics) stay the current ones."""

    def __init__(self, parameters: Sequence[Tensor], *, decay: float) -> None:
        self.parameters = list(parameters)
        self.decay = decay
        self.averages = [parameter.detach().clone() for parameter in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after optimizer step ``step``; early on the average follows faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.averages, self.parameters, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Overwrite the parameters with their averages."""
        torch._foreach_copy_(self.parameters, self.averages)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters are their averages inside the block and themselves again after it."""
        current = [parameter.detach().clone() for parameter in self.parameters]
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(self.parameters, current)
