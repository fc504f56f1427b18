"""How a stage trains: length, batches, precision, optimizer, schedule. Imports no torch."""

from dataclasses import dataclass
from typing import Any, Literal

from sugar.config import at_least
from sugar.errors import InputError

PrecisionSetting = Literal["auto", "float32", "bf16", "fp16"]


@dataclass(frozen=True)
class LoopConfig:
    """How long and on what a stage trains."""

    epochs: int = 1
    """Passes over the clips."""
    batch_size: int = 32
    """Most clips in one forward pass, over all processes together."""
    accumulate: int = 1
    """Forward passes whose gradients make one optimizer step."""
    precision: PrecisionSetting = "auto"
    """Type of the forward pass. auto: bf16 where the hardware has it natively, else float32, and on a resume what the
    checkpoint was trained in. fp16 needs a GPU."""
    compile: bool = False
    """Compile the objective with torch.compile."""
    threads: int | None = None
    """CPU threads of torch; empty: torch's choice. Bit-identical repetition needs the same number."""
    workers: int = 0
    """Processes that load clips; 0 loads in the training process, best for clips kept in memory."""
    checkpoint_seconds: float = 60.0
    """Longest time between checkpoints."""
    checkpoint_epochs: int = 1
    """A checkpoint after every so many epochs as well; 0: by time only."""
    log_steps: int = 50
    """A line of metrics every so many optimizer steps of an epoch, and at its end; 0: only at its end."""
    tensorboard: Literal["auto", "on", "off"] = "auto"
    """TensorBoard event files: if it is installed, always (an error where it is missing), never."""

    def __post_init__(self) -> None:
        given = () if self.threads is None else ("threads",)
        at_least(1, "loop", self, "epochs", "batch_size", "accumulate", *given)
        at_least(0, "loop", self, "workers")

    def fingerprint(self) -> dict[str, Any]:
        """The settings that change the weights: a resume must have the same."""
        return {key: getattr(self, key) for key in ("epochs", "batch_size", "accumulate", "precision")}


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
