"""What a trained motion head keeps of its training clips, so that actions it was never trained on can be told."""

import numpy as np
import torch
from torch import Tensor

from sugar.evaluation.zero_shot import PseudoUnseen, choose_constant
from sugar.models.heads.claim_matching import ClaimMatcher, fit_claims
from sugar.models.heads.motion import TOLERANCE
from sugar.models.scorers.calibrated_stacking import constant_of, lead

DRAWS = 12
"""Of pseudo-unseen classes, a third of the trained ones each."""
FEWEST = 4
"""Trained classes without which there are no pseudo-unseen ones."""


def fit_tolerance(measured: Tensor, labels: Tensor, profiles: Tensor, people: Tensor, *, seed: int) -> Tensor:
    """How many deviations below training clips a clip of a trained class may be (`models.generalized`).

    Some trained classes at a time are taken for unseen: what claims teach is learned anew without them from half of
    the people, and the tolerance is that of the best harmonic mean on the others.

    Args:
        measured, labels, profiles: as of `fit_claims`.
        people: ``[N]`` whose clip each is; where all are of one, every second clip is learned from.

    Returns:
        a scalar.
    """
    size = len(profiles)
    if size < FEWEST:
        return torch.tensor(TOLERANCE)
    _, person = people.unique(return_inverse=True)
    half = (person if person.any() else torch.arange(len(labels))) % 2 == 0
    rng = np.random.default_rng(seed)
    draws = []
    for draw in range(DRAWS):
        fits = half if draw % 2 else ~half
        seen = torch.ones(size, dtype=torch.bool)
        seen[rng.choice(size, max(2, size // 3), replace=False)] = False
        learned, tried = fits & seen[labels], seen[labels[~fits]]
        if len(labels[learned].unique()) < 2 or not tried.any() or tried.all():
            # Where clips are few, some halves teach nothing, or cannot tell.
            continue
        number = seen.cumsum(0) - 1
        matcher = ClaimMatcher(fit_claims(measured[learned], number[labels[learned]], profiles[seen]), profiles)
        # In units of the training clips' leads, the constant of every draw is the same.
        leads = lead(matcher.known, seen)
        deviation = leads.std(correction=0).clamp(min=1e-6)
        scores = (matcher.scores(measured[~fits]) - constant_of(leads, 0.0) * seen) / deviation
        draws.append(PseudoUnseen(scores.double().numpy(), labels[~fits].numpy(), seen.numpy()))
    return torch.tensor(-choose_constant(draws) if draws else TOLERANCE)
