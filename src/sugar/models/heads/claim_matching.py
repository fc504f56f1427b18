"""Actions that were never trained, recognized claim by claim: what the joints measure against what a class's text says.

A class's motion sentences are read as claims, and every claim is measured on the clip twice: whether the joints bear
it out and by how much (`claim_degrees`). Both are standardized over the training clips and averaged, so that a
claim counts by how unusual it is. A claim is of a *group*, its subject and predicate ("right hand rises to"), and of a
group a class says this value, or another one, or nothing. The score of a class is the sum over the groups of

    + the largest measure of what it says,  - the mean of the other values,  - the mean of a group that it leaves out,

each with a weight for the *kind* of the group (its predicate, and whether of hands, feet or body). The weights are
what the trained classes teach: non-negative, by softmax over those classes, drawn to `PRIOR` the more the fewer they
are. No class, text or clip beyond the training side has a part in it; a new class needs nothing but its sentences.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sugar.knowledge.claim_space import claim_space

PRIOR = (0.3, 0.15, 0.15)
"""Weights of what is said, of other values and of groups left out, before anything is learned."""
PULL = 3.0
"""How strongly the weights are drawn to `PRIOR`: this over the square of the number of trained classes."""
_LIMITS = (4.0, 3.0)  # standard deviations of truths and of degrees; more is an outlier


@dataclass(frozen=True, eq=False)
class ClaimReference:
    """What the trained classes teach of claims.

    Args:
        rates: ``[C]`` share of the clips for which each claim is true, all trained classes counting alike.
        means, spreads: ``[C]`` of the degrees, likewise.
        weights: ``[kinds, 3]`` of what is said, of other values, of groups left out.
        known: ``[R, C]`` standardized measures of training clips: the scale of scores over any candidates.
    """

    rates: Tensor
    means: Tensor
    spreads: Tensor
    weights: Tensor
    known: Tensor


def fit_claims(measured: Tensor, labels: Tensor, profiles: Tensor) -> ClaimReference:
    """Learn from training clips.

    Args:
        measured: ``[N, 2, C]`` `claim_degrees.measured_claims`.
        labels: ``[N]`` in 0..S-1.
        profiles: ``[S, C]`` what each trained class states (`claim_space.stated`).
    """
    truth, degree = measured.unbind(1)
    share = 1 / torch.bincount(labels)[labels]
    share = share / share.sum()
    rates, _ = _moments(truth, share)
    means, spreads = _moments(degree, share)
    known = _standardized(measured, rates, means, spreads)
    weights = _learn(evidence(known, profiles), labels, share, PULL / len(profiles) ** 2)
    return ClaimReference(rates, means, spreads, weights, known)


class ClaimMatcher:
    """How well clips fit what each of K classes states, trained or not; ``known``: ``[R, K]`` of the training clips.

    Args:
        reference: what the trained classes teach.
        profiles: ``[K, C]`` `claim_space.stated` of the classes.
    """

    def __init__(self, reference: ClaimReference, profiles: Tensor) -> None:
        self.reference, self.profiles = reference, profiles
        known = self._evidence(reference.known)
        self.spread = spread_of(known)
        self.known = scaled(known, self.spread)

    def scores(self, measured: Tensor) -> Tensor:
        """``[B, K]`` on the scale of `scaled`, of ``[B, 2, C]`` `claim_degrees.measured_claims`."""
        reference = self.reference
        known = _standardized(measured, reference.rates, reference.means, reference.spreads)
        return scaled(self._evidence(known), self.spread)

    def _evidence(self, standardized: Tensor) -> Tensor:
        return (evidence(standardized, self.profiles) * self.reference.weights).sum(dim=(2, 3))


def scaled(scores: Tensor, spread: Tensor) -> Tensor:
    """Scores ``[B, K]`` less each clip's mean, in units of their `spread_of` over training clips."""
    return (scores - scores.mean(dim=1, keepdim=True)) / spread


def spread_of(known: Tensor) -> Tensor:
    """Deviation of scores ``[R, K]`` from each clip's mean."""
    return (known - known.mean(dim=1, keepdim=True)).std().clamp(min=1e-6)


def evidence(measured: Tensor, profiles: Tensor) -> Tensor:
    """``[B, K, kinds, 3]`` for and against each class of standardized measures ``[B, C]`` and profiles ``[K, C]``."""
    space = claim_space()
    inside = space.members >= 0
    members = space.members.clamp(min=0)
    values, says = measured[:, members], profiles[:, members] * inside  # [B, G, M], [K, G, M]
    speaks = says.gt(0).any(dim=2)  # [K, G]
    whole = values.masked_fill(~inside, 0).sum(dim=2) / inside.sum(dim=1)
    parts = torch.zeros(len(measured), len(profiles), space.num_kinds, 3)
    for k, said in enumerate(says):
        other = inside & (said == 0) & speaks[k][:, None]
        best = (values * said).masked_fill(said == 0, -torch.inf).amax(dim=2)
        terms = torch.stack(
            [
                best.masked_fill(~speaks[k], 0),
                -(values * other).sum(dim=2) / other.sum(dim=1).clamp(min=1),
                -whole.masked_fill(speaks[k], 0),
            ],
            dim=2,
        )
        parts[:, k].index_add_(1, space.kinds, terms)
    return parts


def _moments(values: Tensor, share: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation ``[C]`` of the values that are known."""
    weight = share[:, None] * ~values.isnan()
    total = weight.sum(dim=0).clamp(min=1e-9)
    mean = (weight * values.nan_to_num()).sum(dim=0) / total
    return mean, ((weight * (values.nan_to_num() - mean).square()).sum(dim=0) / total).sqrt()


def _standardized(measured: Tensor, rates: Tensor, means: Tensor, spreads: Tensor) -> Tensor:
    """The mean of both measures; what a clip cannot tell and what never varies is 0, evidence of nothing."""
    truth, degree = measured.unbind(1)
    true = (truth - rates) / (rates * (1 - rates) + 0.02).sqrt()
    much = (degree - means) / torch.where(spreads > 1e-6, spreads, torch.inf)
    parts = [part.nan_to_num(0).clamp(-limit, limit) for part, limit in zip((true, much), _LIMITS, strict=True)]
    return (parts[0] + parts[1]) / 2


def _learn(parts: Tensor, labels: Tensor, share: Tensor, pull: float) -> Tensor:
    """Weights ``[kinds, 3]``; squares of free parameters, so that none is negative."""
    prior = torch.tensor(PRIOR).expand(parts.shape[2], 3).flatten().double()
    flat = parts.flatten(2).double()
    roots = prior.sqrt().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([roots], max_iter=300, history_size=20, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        weights = roots.square()
        right = (flat @ weights).log_softmax(dim=1).gather(1, labels[:, None])[:, 0]
        value = -(share * right).sum() + pull * (weights - prior).square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return roots.detach().square().float().reshape(parts.shape[2], 3)
