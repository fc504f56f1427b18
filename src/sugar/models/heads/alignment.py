"""Stage 1's objective: skeleton features meet knowledge texts (SUGAR, eq. 3; MIL-NCE, Miech et al. 2020).

A clip's tokens are averaged over time, mapped by one linear layer into the space of a frozen text
encoder and compared with texts by cosine. *Discrete* in the paper's title means well separated classes.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sugar.config import above, at_least, between
from sugar.knowledge.bank import TextBank
from sugar.models.heads.gather import gather_with_gradient


@dataclass
class AlignmentConfig:
    """How skeleton features are contrasted with texts."""

    negatives: Literal["batch", "bank"] = "bank"
    """`batch`: the texts drawn by the clips of the (global) batch, as in the paper; `bank`: all texts of all
    training classes, which suits small data."""
    positives: Literal["all", "one"] = "all"
    """`all`: any text of a clip's class is right (MIL-NCE); `one`: one of them, drawn for each clip and step, as in the
    contrast of pairs."""
    visual_texts: int = 2
    """With `batch`: visual texts drawn per clip beside its one motion text."""
    cross_entropy: float = 0.0
    """Weight of an auxiliary softmax classifier on the pooled tokens; 0 is the paper."""
    negative_classes: Literal["all", "own_list"] = "all"
    """Whose texts may be negatives: those of all training classes, or those of classes that share one of the protocol's
    lists with the clip's own. For data sets that are trained together and never asked together."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes: (1 - a) x contrast + a x mean contrast of every class."""
    initial_temperature: float = 0.07
    """Where the learned temperature starts."""
    minimum_temperature: float = 0.01
    """Floor of the learned temperature."""

    def __post_init__(self) -> None:
        at_least(0, "alignment", self, "visual_texts", "cross_entropy")
        between(0, 1, "alignment", self, "label_smoothing")
        above(0, "alignment", self, "initial_temperature", "minimum_temperature")


def mil_nce(logits: Tensor, positive: Tensor) -> Tensor:
    """Multi-instance contrast with same-class positives (docs/design.md, D1; eq. 3 as printed is identically zero).

    Args:
        logits: ``[B, N]`` similarity of each clip to each text, already divided by the temperature.
        positive: ``[B, N]`` bool, text n is of clip b's class; at least one per row.

    Returns:
        Scalar: mean of ``-log(sum_positive e^logit / sum_all e^logit)``.
    """
    if not bool(positive.any(dim=1).all()):
        raise ValueError("mil_nce: every clip needs at least one positive text")
    of_class = logits.masked_fill(~positive, -math.inf).logsumexp(dim=1)
    return (logits.logsumexp(dim=1) - of_class).mean()


def masked_mean(tokens: Tensor, mask: Tensor) -> Tensor:
    """Mean over the valid steps: tokens ``[B, L, d]``, mask ``[B, L]`` bool -> ``[B, d]`` (docs/design.md, D4)."""
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def cosines(vectors: Tensor, texts: Tensor) -> Tensor:
    """Of unit vectors ``[..., B, e]`` and ``[N, e]``: ``[..., B, N]``, in single precision under autocast too.

    Texts of near classes differ little: a product in bfloat16 rounds away a fifth of the contrast's gradient.
    """
    with torch.autocast(vectors.device.type, enabled=False):
        return vectors.float() @ texts.float().T


class KnowledgeAlignment(nn.Module):
    """The linear map from skeleton tokens to the text space, the learned temperature, and the loss.

    An encoder of several branches has one linear map and one loss a branch; their log-probabilities are averaged.

    Args:
        in_channels: width of the encoder's tokens.
        text_channels: width of the frozen text encoder's embeddings.
        num_classes: training classes, for the auxiliary classifier.
        num_branches: equal groups of the channels.
    """

    def __init__(
        self,
        *,
        in_channels: int,
        text_channels: int,
        num_classes: int,
        config: AlignmentConfig,
        num_branches: int = 1,
    ) -> None:
        super().__init__()
        self.config = config
        width = in_channels // num_branches
        self.projections = nn.ModuleList(nn.Linear(width, text_channels) for _ in range(num_branches))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(config.initial_temperature)))
        self.classifier = nn.Linear(in_channels, num_classes) if config.cross_entropy > 0 else None

    @property
    def temperature(self) -> Tensor:
        return self.log_temperature.exp().clamp(min=self.config.minimum_temperature)

    def embed(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors in the text space: ``[B, L, d]`` -> ``[B, e]``."""
        return F.normalize(self.branch_embeddings(masked_mean(tokens, mask)).mean(dim=0), dim=-1)

    def log_probabilities(self, tokens: Tensor, mask: Tensor, bank: TextBank) -> Tensor:
        """``[B, K]`` over the classes of a bank, by the similarity to their texts; the branches' evidence is averaged.

        Each branch is asked by itself, as it was trained: one may find a clip near a class's motion texts, another near
        its visual texts, and the mean of the two vectors would be near neither.
        """
        similarity = cosines(self.branch_embeddings(masked_mean(tokens, mask)), bank.embeddings)
        each = class_log_probabilities(similarity.flatten(0, 1), bank.classes, len(bank.names), self.temperature)
        return each.unflatten(0, similarity.shape[:2]).mean(dim=0).log_softmax(dim=1)

    def branch_embeddings(self, pooled: Tensor) -> Tensor:
        """``[B, d]`` -> unit vectors ``[branches, B, e]``."""
        parts = pooled.chunk(len(self.projections), dim=-1)
        mapped = [projection(part) for projection, part in zip(self.projections, parts, strict=True)]
        return F.normalize(torch.stack(mapped).float(), dim=-1)

    def forward(
        self,
        tokens: Tensor,
        mask: Tensor,
        labels: Tensor,
        texts: Tensor,
        text_classes: Tensor,
        generator: torch.Generator | None = None,
        class_groups: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of one batch: the mean over the branches.

        Args:
            tokens, mask: the encoder's output ``[B, L, d]``, ``[B, L]``.
            labels: ``[B]`` class ids.
            texts: ``[N, e]`` unit text embeddings: the whole bank, or those that this batch drew.
            text_classes: ``[N]`` their class ids.
            generator: on the CPU; draws the right text of each clip where there is ``one``.
            class_groups: ``[K, K]`` bool, whose texts count for a clip of each class; None: all.
        """
        if self.config.negatives == "batch":
            texts, text_classes = gather_with_gradient(texts), gather_with_gradient(text_classes)
        pooled = masked_mean(tokens, mask)
        logits = (cosines(self.branch_embeddings(pooled), texts) / self.temperature).flatten(0, 1)
        positive = labels.unsqueeze(1) == text_classes.unsqueeze(0)
        if self.config.positives == "one":
            one = one_of(positive, generator)
            logits = logits.masked_fill((positive & ~one).repeat(len(self.projections), 1), -math.inf)
            positive = one
        if class_groups is not None:
            others = ~class_groups[labels][:, text_classes]
            logits = logits.masked_fill(others.repeat(len(self.projections), 1), -math.inf)
        positive = positive.repeat(len(self.projections), 1)
        contrast = mil_nce(logits, positive)
        loss = contrast
        if self.config.label_smoothing > 0:
            scores = class_log_scores(logits, text_classes)
            mean = scores.mean() if class_groups is None else finite_mean(scores)
            per_class = logits.logsumexp(dim=1).mean() - mean
            loss = (1 - self.config.label_smoothing) * loss + self.config.label_smoothing * per_class
        logs = {"contrast": contrast.detach(), "temperature": self.temperature.detach()}
        if self.classifier is not None:
            entropy = F.cross_entropy(self.classifier(pooled).float(), labels)
            loss = loss + self.config.cross_entropy * entropy
            logs["cross_entropy"] = entropy.detach()
        return loss, logs


def one_of(positive: Tensor, generator: torch.Generator | None) -> Tensor:
    """One of the true entries of each row ``[B, N]``, at random."""
    keys = torch.rand(positive.shape, generator=generator).to(positive.device).masked_fill(~positive, -1.0)
    return F.one_hot(keys.argmax(dim=1), positive.shape[1]).bool()


def finite_mean(scores: Tensor) -> Tensor:
    """Mean over the rows of each row's mean of what is not infinite."""
    finite = scores.isfinite()
    return (scores.masked_fill(~finite, 0.0).sum(dim=1) / finite.sum(dim=1)).mean()


def class_log_scores(logits: Tensor, text_classes: Tensor) -> Tensor:
    """Log-sum-exp of the logits of each class's texts: ``[B, N]`` -> ``[B, classes present, ascending id]``."""
    present = torch.unique(text_classes)
    return torch.stack([logits[:, text_classes == c].logsumexp(dim=1) for c in present], dim=1)


def class_log_probabilities(similarity: Tensor, text_classes: Tensor, num_classes: int, temperature: Tensor) -> Tensor:
    """The `text` score: log-probabilities over candidates, the posterior that MIL-NCE trains.

    Each class's mass is the *mean* over its texts, so that a class with more texts is not favored.

    Args:
        similarity: ``[B, N]`` cosine of clips and texts; text_classes: ``[N]`` in ``0..num_classes-1``, all present.

    Returns:
        ``[B, num_classes]``.
    """
    logits = similarity / temperature
    counts = torch.bincount(text_classes, minlength=num_classes)
    if bool((counts == 0).any()):
        raise ValueError("class_log_probabilities: a candidate has no text")
    return (class_log_scores(logits, text_classes) - counts.log().to(logits)).log_softmax(dim=1)
