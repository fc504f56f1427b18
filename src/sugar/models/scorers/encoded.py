"""A batch of clips as scorers read it: encoded once, through every test-time view."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from sugar.models.candidates import Candidates
from sugar.models.sugar import Sugar
from sugar.transforms.batches import ClipBatch
from sugar.transforms.views import View, view_joints


class Encoded:
    """Preprocessed clips of a batch and what the model computes of them, each part at its first use and once.

    Args:
        model: in evaluation mode.
        batch: on the model's device.
        measured: ``[B, 2, C]`` claims measured from the joints (`measure_clips`); `motion` needs them for candidates
            that were never trained.
        views: None: those of the model's config.
    """

    def __init__(
        self, model: Sugar, batch: ClipBatch, measured: Tensor | None = None, views: Sequence[View] | None = None
    ) -> None:
        self.model, self.persons, self.measured = model, batch.persons, measured
        chosen = model.config.views if views is None else views
        self.joints = [view_joints(batch, model.layout, view, model.config.frames) for view in chosen]
        self._scores: dict[tuple[str, Candidates], Tensor] = {}

    @classmethod
    def from_tokens(cls, model: Sugar, tokens: Tensor, mask: Tensor) -> "Encoded":
        """Clips of which only the encoder's output for one view is at hand, ``[B, L, d]`` and ``[B, L]``."""
        encoded = cls.__new__(cls)
        encoded.model, encoded.measured, encoded.joints, encoded._scores = model, None, [], {}
        encoded.persons = torch.ones(len(tokens), 1, dtype=torch.bool, device=tokens.device)
        encoded.tokens = [(tokens, mask)]
        return encoded

    @cached_property
    def tokens(self) -> list[tuple[Tensor, Tensor]]:
        """Of each view the encoder's tokens ``[B, L, d]`` and their mask ``[B, L]``."""
        return [self.model.encoder(joints, self.persons, frames) for joints, frames in self.joints]

    def log_probabilities(self, scorer: Any, candidates: Candidates) -> Tensor:
        """``[B, K]`` of a scorer, computed once for the same candidates."""
        key = scorer.name, candidates
        if key not in self._scores:
            self._scores[key] = scorer.log_probabilities(self, candidates)
        return self._scores[key]


def averaged(of_views: Sequence[Tensor]) -> Tensor:
    """The mean of the views' distributions: log-probabilities ``[B, K]`` each and as the result."""
    return torch.stack(list(of_views)).logsumexp(0).log_softmax(-1)
