"""Trained and new actions in one list of candidates: first which side a clip is of, then which class of that side.

Either side has the score that is best for it; how a clip fits the claims of every candidate says which side it is of.
A model trusts what it was trained on too much, so a constant is taken from the trained side (*calibrated stacking*;
Chao et al., "An empirical study and analysis of generalized zero-shot learning", ECCV 2016). How much depends on the
list: the more new candidates, the better the best of them fits any clip. The constant is therefore read off training
clips scored over that very list (`constant_of`), and only how far below their mean it lies is learned.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from sugar.models.scorers.fusion import Fusion


def lead(scores: Tensor, trained: Tensor) -> Tensor:
    """``[B]`` by how much the best trained candidate is above the best new one; scores are ``[B, K]``."""
    return scores[:, trained].amax(dim=1) - scores[:, ~trained].amax(dim=1)


def constant_of(leads: Tensor, tolerance: Tensor | float) -> Tensor:
    """The lead below which a clip is new: ``tolerance`` deviations under the mean of the training clips' ``leads``."""
    return leads.mean() - tolerance * leads.std(correction=0)


def side_log_probabilities(scores: Tensor, trained: Tensor, constant: Tensor | float) -> Tensor:
    """``[B, 2]`` of the trained and of the new side, by the best candidate of either; scores are ``[B, K]``.

    The best and not the sum: the longer side would win by its length.

    Args:
        trained: ``[K]`` bool, at least one of either.
        constant: what the scores of trained candidates are too high by.
    """
    levelled = scores - constant * trained
    return torch.stack([levelled[:, trained].amax(dim=1), levelled[:, ~trained].amax(dim=1)], dim=1).log_softmax(dim=1)


def joined(sides: Tensor, of_trained: Tensor, of_new: Tensor, trained: Tensor) -> Tensor:
    """``[B, K]`` log-probabilities from those of the sides ``[B, 2]`` and of the classes within each.

    The best classes of the two sides are to each other as the sides are. With the sides' probabilities shared out among
    their classes instead, the side that is less sure within itself would lose clips that are its own: the new one.
    """
    table = sides.new_empty(len(sides), len(trained))
    table[:, trained] = sides[:, :1] + (of_trained - of_trained.amax(dim=1, keepdim=True)).to(table)
    table[:, ~trained] = sides[:, 1:] + (of_new - of_new.amax(dim=1, keepdim=True)).to(table)
    return table.log_softmax(dim=1)


def fuse_sides(scores: Mapping[str, Tensor], trained: Tensor, of_trained: Fusion, of_new: Fusion) -> Tensor:
    """Fused probabilities ``[B, K]`` of scores by name, each side by a fusion of its own.

    Where there are both, `motion` says of which a clip is, or without it the first score.
    """

    def fused(of: Fusion, side: Tensor) -> Tensor:
        return torch.from_numpy(of.apply({name: table[:, side].numpy() for name, table in scores.items()}))

    everything = torch.ones_like(trained)
    if not trained.any() or trained.all():
        return fused(of_trained if trained.all() else of_new, everything)
    gate = scores["motion" if "motion" in scores else next(iter(scores))]
    sides = side_log_probabilities(gate, trained, 0.0)
    return joined(sides, fused(of_trained, trained).log(), fused(of_new, ~trained).log(), trained).exp()
