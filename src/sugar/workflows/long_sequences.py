"""The projectors on long sequences: clips strung together to a thousand encoder steps, of which one is to be named.

A trained run's encoder is frozen and reads every clip once (`encode_side`). A long sequence is made of its tokens:
`rest`, one action at a random place while the same person stands still for all the other steps; `last`, one action
after another, and the last is asked for. A fresh projector and the LLM, which begins with the run's adapters and so
knows how to choose from a list, learn the names alone.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sugar.config import parse_config, read_yaml
from sugar.datasets.store.clip_dataset import ClipDataset
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.models.config import ModelConfig
from sugar.models.encoders import Encoder
from sugar.models.encoders.build import build_encoder
from sugar.models.llm.model import LanguageModel
from sugar.models.llm.weights import LanguageConfig
from sugar.models.projectors.projectors import Projector, ProjectorConfig
from sugar.models.run_folder import load_module, read_description
from sugar.training.config import ListConfig, RunConfig
from sugar.training.engine.config import OptimizationConfig
from sugar.training.engine.optimization import build_optimizer, learning_rate, trainable_parameters
from sugar.training.engine.randomness import below, seed_everything, stable_seed
from sugar.training.stages.instruction import draw_candidates, draw_size
from sugar.transforms.augment import AugmentConfig, augment
from sugar.transforms.batches import ClipBatch, collate

Task = Literal["rest", "last"]
# Of a body whose bones add up to 1, some five meters: a depth sensor's noise on somebody who stands still.
REST_JITTER = 0.001
_AS_IT_IS = AugmentConfig(min_crop=1.0, yaw=0.0, tilt=0.0, scale=0.0, mirror=0.0)


@dataclass(frozen=True)
class LongConfig:
    """One training on long sequences; the same for every projector."""

    task: Task = "rest"
    """What is asked for: the one action within rest, or the last of many."""
    steps: int = 1000
    """Encoder tokens in a sequence."""
    updates: int = 120
    """Optimizer steps."""
    alone: float = 0.4
    """Share of the updates, the first, in which a sequence is one clip and nothing else."""
    grow: float = 0.4
    """Share of the updates after these in which it grows to all steps, by a constant factor an update."""
    batch_size: int = 16
    """Sequences in an update."""
    longest_list: int = 8
    """Most names in the list of a training prompt; all are asked of in recognition."""
    optimization: OptimizationConfig = field(default_factory=lambda: OptimizationConfig(learning_rate=2e-3))
    """As stage 2 has it."""
    seed: int = 0
    """Of weights, sequences and lists."""

    def __post_init__(self) -> None:
        if min(self.steps, self.updates, self.batch_size) < 1 or self.longest_list < 2:
            raise InputError("long sequences: steps, updates and batch_size must be at least 1, longest_list 2")
        if min(self.alone, self.grow) < 0 or self.alone + self.grow > 1:
            raise InputError("long sequences: alone and grow are shares of the updates, together at most 1")

    def length(self, update: int, shortest: int) -> int:
        """Tokens of the sequences in an update (0-based), from ``shortest`` to `steps`."""
        first, last = round(self.alone * self.updates), round((self.alone + self.grow) * self.updates)
        if update >= last:
            return self.steps
        done = max(0, update + 1 - first) / (last - first + 1)
        return min(self.steps, round(shortest * (self.steps / shortest) ** done))


@dataclass(frozen=True, eq=False)
class SideTokens:
    """What the frozen encoder makes of the clips of one side, in several looks.

    Args:
        actions: ``[V, N, T, d]`` tokens of the clips.
        rests: ``[V, N, T, d]`` tokens of their persons standing still as in the first frame.
        labels: ``[N]`` classes.
        people: ``[N]`` subjects.
    """

    actions: Tensor
    rests: Tensor
    labels: Tensor
    people: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """By name, for a file."""
        return dict(vars(self))

    def draw(self, task: Task, clips: Tensor, steps: int, generator: torch.Generator) -> Tensor:
        """Long sequences ``[B, steps, d]`` whose answers are the labels of ``clips`` ``[B]``.

        Raises:
            InputError: fewer steps than a clip has.
        """
        length = self.actions.shape[2]
        if steps < length:
            raise InputError(f"long sequences: a clip has {length} tokens; give at least so many steps, not {steps}")
        make = self._in_rest if task == "rest" else self._at_the_end
        return torch.stack([make(int(clip), steps, generator) for clip in clips])

    def _in_rest(self, clip: int, steps: int, generator: torch.Generator) -> Tensor:
        looks, _, length, _ = self.rests.shape
        # Any clip of this person: how somebody stands before an action may tell which one.
        same = (self.people == self.people[clip]).nonzero().flatten()
        stands = int(same[below(len(same), generator)])
        order = torch.randint(looks, (-(-steps // length),), generator=generator)
        sequence = self.rests[order, stands].flatten(0, 1)[:steps].clone()
        start = below(steps - length + 1, generator)
        sequence[start : start + length] = self.actions[below(looks, generator), clip]
        return sequence

    def _at_the_end(self, clip: int, steps: int, generator: torch.Generator) -> Tensor:
        looks, clips, length, _ = self.actions.shape
        count = -(-steps // length)
        before = torch.randint(clips, (count - 1,), generator=generator)
        chosen = torch.cat([before, torch.tensor([clip])])
        return self.actions[torch.randint(looks, (count,), generator=generator), chosen].flatten(0, 1)[-steps:]


def read_encoder(run: Path) -> tuple[Encoder, RunConfig, tuple[str, ...]]:
    """The encoder of a finished run, its settings and classes; nothing else of the run is read.

    Raises:
        InputError: no finished run there, or a file that does not fit.
    """
    described = read_description(run)
    config, _ = parse_config(RunConfig, read_yaml(run / "config.yaml"), where=str(run / "config.yaml"))
    encoder = build_encoder(config.model.encoder, described.layout)
    load_module(encoder, run / "encoder.safetensors")
    return encoder.eval().requires_grad_(False), config, described.classes


@torch.no_grad()
def encode_side(
    encoder: Encoder,
    config: ModelConfig,
    store: Store,
    indices: NDArray[np.int64],
    *,
    looks: int,
    augmentation: AugmentConfig | None,
    seed: int,
) -> SideTokens:
    """Encode clips and stills of them.

    Args:
        store: its classes in the order of the labels wanted.
        looks: versions of every clip.
        augmentation: how they differ; None: clips as they are, stills with their jitter alone.

    Raises:
        InputError: the model keeps each clip's own length.
    """
    if not config.frames:
        raise InputError("long sequences: the run keeps each clip's own length (model.frames 0); name another run")
    dataset = ClipDataset(store, indices, config.preprocess)
    varied = augmentation or _AS_IT_IS
    generator = torch.Generator().manual_seed(seed)
    found: dict[bool, list[Tensor]] = {False: [], True: []}
    for _ in range(looks):
        for still, kept in found.items():
            parts = []
            for start in range(0, len(dataset), 64):
                batch = collate([dataset[i] for i in range(start, min(start + 64, len(dataset)))])
                parts.append(
                    _encode(encoder, _first_frame(batch) if still else batch, store, config, varied, generator)
                )
            kept.append(torch.cat(parts))
    people = torch.from_numpy(store.column("subject")[indices])
    return SideTokens(torch.stack(found[False]), torch.stack(found[True]), torch.from_numpy(dataset.labels), people)


def _encode(
    encoder: Encoder,
    batch: ClipBatch,
    store: Store,
    config: ModelConfig,
    augmentation: AugmentConfig,
    generator: torch.Generator,
) -> Tensor:
    still = batch.joints.shape[1] == 1
    length = config.frames * (2 if still else 1)
    joints, frames, _ = augment(batch, store.layout, augmentation, length, generator)
    if still:
        joints = torch.where(joints != 0, joints + REST_JITTER * torch.randn(joints.shape, generator=generator), joints)
    tokens = encoder(joints, batch.persons, frames)[0]
    if still:  # the middle half: at its ends the encoder sees that the clip begins and ends
        tokens = tokens[:, tokens.shape[1] // 4 :][:, : tokens.shape[1] // 2]
    return tokens


def _first_frame(batch: ClipBatch) -> ClipBatch:
    still = batch.joints[:, :1]
    return ClipBatch(
        joints=still,
        lengths=torch.ones_like(batch.lengths),
        persons=still.ne(0).flatten(3).any(3)[:, 0],
        labels=batch.labels,
        indices=batch.indices,
    )


class LongReader(nn.Module):
    """A fresh projector and the LLM with the adapters of a run.

    Raises:
        InputError: no LLM, or no adapters of this one in ``adapter``.
    """

    def __init__(
        self, *, projector: ProjectorConfig, language: LanguageConfig, adapter: Path, in_channels: int
    ) -> None:
        super().__init__()
        self.language = LanguageModel.load(language)
        self.language.load_adapter(adapter)
        self.projector: Projector = projector.build(in_channels=in_channels, out_channels=self.language.width)

    def loss(self, tokens: Tensor, candidates: Sequence[Sequence[str]], labels: Sequence[str]) -> Tensor:
        """Of the names, after long sequences ``[B, L, d]``."""
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        action, action_mask = self.projector(tokens, mask), self.projector.output_mask(mask)
        return self.language.loss(action, candidates, labels, [""] * len(labels), action_mask)

    @torch.no_grad()
    def score(self, tokens: Tensor, names: Sequence[str]) -> Tensor:
        """Log-probabilities ``[B, K]`` of all names.

        Raises:
            InputError: the projector hands on more tokens than the LLM has positions.
        """
        self.eval()
        mask = torch.ones(tokens.shape[:2], dtype=torch.bool)
        return self.language.score(self.projector(tokens, mask), names, self.projector.output_mask(mask), batch_size=64)


def train_reader(reader: LongReader, side: SideTokens, names: Sequence[str], config: LongConfig) -> dict[str, float]:
    """Train projector and adapters.

    Returns:
        ``seconds`` it took, encoder ``steps`` read in them, and the mean ``loss`` of the last tenth of the updates.
    """
    generator = torch.Generator().manual_seed(stable_seed(config.seed, "long sequences", config.task))
    seed_everything(stable_seed(config.seed, "dropout"))
    optimizer = build_optimizer(reader, config.optimization)
    parameters = list(trainable_parameters(reader).values())
    lists = ListConfig()
    order: list[int] = []
    losses, read, began = [], 0, time.monotonic()
    for update in range(config.updates):
        while len(order) < config.batch_size:
            order += torch.randperm(len(side.labels), generator=generator).tolist()
        clips, order = torch.tensor(order[: config.batch_size]), order[config.batch_size :]
        tokens = side.draw(config.task, clips, config.length(update, side.actions.shape[2]), generator)
        truth = side.labels[clips].tolist()
        size = min(draw_size(len(names), lists, generator), config.longest_list)
        candidates = [draw_candidates(names, label, size, lists, generator) for label in truth]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config.optimization, update, config.updates, 0)
        reader.train()
        loss = reader.loss(tokens, candidates, [names[label] for label in truth])
        loss.backward()
        if config.optimization.clip_norm:
            nn.utils.clip_grad_norm_(parameters, config.optimization.clip_norm)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
        read += tokens.shape[0] * tokens.shape[1]
    if not math.isfinite(sum(losses)):
        raise InputError("long sequences: the loss is no number any more; lower optimization.learning_rate")
    tail = losses[-max(1, len(losses) // 10) :]
    return {"seconds": time.monotonic() - began, "steps": float(read), "loss": sum(tail) / len(tail)}


def recognize(
    reader: LongReader, side: SideTokens, names: Sequence[str], task: Task, steps: int, *, every: int = 1
) -> tuple[NDArray[np.bool_], float]:
    """Name one sequence for every clip (or every n-th), the same sequences for every projector and seed.

    Returns:
        ``[N]`` which are right, and the seconds it took.
    """
    generator = torch.Generator().manual_seed(stable_seed("long test", task, steps))
    chosen = torch.arange(0, len(side.labels), every)
    right, seconds = [], 0.0
    for clips in chosen.split(64):
        tokens = side.draw(task, clips, steps, generator)
        began = time.monotonic()
        best = reader.score(tokens, names).argmax(1)
        seconds += time.monotonic() - began
        right.append(best == side.labels[clips])
    return torch.cat(right).numpy(), seconds
