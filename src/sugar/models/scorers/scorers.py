"""The scorers, in the order in which reports show them (docs/design.md, D15).

A scorer gives the candidates a probability each. `SCORERS` is the only list of them: reports, fusion, ablations, the
command line and the demo's page read it. `fused` is made of those that say so.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from sugar.models.candidates import Candidates
from sugar.models.heads.baseline import candidate_log_probabilities
from sugar.models.scorers.calibrated_stacking import fuse_sides
from sugar.models.scorers.encoded import Encoded, averaged
from sugar.models.scorers.fusion import Fusion
from sugar.models.sugar import Sugar

FUSED = "fused"
FUSED_DESCRIPTION = "text, motion and llm together"


class Scorer(Protocol):
    """One way to score candidates."""

    name: str
    description: str
    """A clause for reports and pages."""
    in_fused: bool
    """Whether `fused` weighs it."""
    in_prompt: bool
    """Whether the soft label tokens of the LLM's prompt follow it."""

    def available(self, model: Sugar, candidates: Candidates) -> bool:
        """Whether the model has what the scorer needs for these candidates."""
        ...

    def log_probabilities(self, encoded: Encoded, candidates: Candidates) -> Tensor:
        """``[B, K]`` over the candidates, the average of the views."""
        ...


class LinearScorer:
    """The linear baseline; ConSE for names that were never trained."""

    name, description = "fc", "linear baseline on the joints, no texts; for unseen actions ConSE over class names"
    in_fused = in_prompt = False

    def available(self, model: Sugar, candidates: Candidates) -> bool:
        return model.baseline is not None

    def log_probabilities(self, encoded: Encoded, candidates: Candidates) -> Tensor:
        model = encoded.model
        if model.baseline is None:
            raise ValueError("the model has no linear baseline")
        trained = model.trained.texts.to(model.device)
        of_views = []
        for joints, frames in encoded.joints:
            seen = model.baseline(joints, encoded.persons, frames).log_softmax(-1)
            of_views.append(candidate_log_probabilities(seen, trained, candidates.texts))
        return averaged(of_views)


class TextScorer:
    """Similarity of the aligned clip to the knowledge texts of each candidate (stage 1)."""

    name, description = "text", "similarity of the encoder's clip to the texts of a class"
    in_fused = in_prompt = True

    def available(self, model: Sugar, candidates: Candidates) -> bool:
        return True

    def log_probabilities(self, encoded: Encoded, candidates: Candidates) -> Tensor:
        alignment = encoded.model.alignment
        return averaged([alignment.log_probabilities(*tokens, candidates.texts) for tokens in encoded.tokens])


class MotionScorer:
    """The motion head, and for names that were never trained the claims that the joints bear out."""

    name, description = "motion", "movement compared with the motion sentences of a class"
    in_fused = in_prompt = True

    def available(self, model: Sugar, candidates: Candidates) -> bool:
        return model.motion is not None and model.reference is not None and candidates.motion is not None

    def log_probabilities(self, encoded: Encoded, candidates: Candidates) -> Tensor:
        model, bank = encoded.model, candidates.motion
        if model.motion is None or bank is None:
            raise ValueError("the motion score needs a motion head and motion sentences of every candidate")
        if candidates.unseen is None:
            return averaged([model.motion.log_probabilities(*tokens, bank) for tokens in encoded.tokens])
        if encoded.measured is None:
            raise ValueError("the motion score of actions that were never trained needs what was measured of the clips")
        of_views = []
        for tokens in encoded.tokens:
            head = model.motion.embed(*tokens)
            found = candidates.unseen.log_probabilities(head, encoded.measured, model.motion.temperature)
            of_views.append(found.to(model.device))
        return averaged(of_views)


class LlmScorer:
    """Exact probabilities of the names under the LLM (D12), asked once a clip.

    The projector reads the first view; the soft label tokens follow the other scorers, averaged over all views.
    """

    name, description = "llm", "the LLM chooses from the list of names"
    in_fused, in_prompt = True, False

    def available(self, model: Sugar, candidates: Candidates) -> bool:
        return model.language is not None

    def log_probabilities(self, encoded: Encoded, candidates: Candidates) -> Tensor:
        model = encoded.model
        if model.language is None:
            raise ValueError("the model has no LLM")
        action, action_mask, fact_hints = llm_inputs(encoded, candidates)
        return model.language.score(action, candidates.names, action_mask, fact_hints=fact_hints)


SCORERS: tuple[Scorer, ...] = (LinearScorer(), TextScorer(), MotionScorer(), LlmScorer())
NAMES = tuple(scorer.name for scorer in SCORERS)
FUSED_NAMES = tuple(scorer.name for scorer in SCORERS if scorer.in_fused)
PROMPT_SCORERS = tuple(scorer for scorer in SCORERS if scorer.in_prompt)


@torch.no_grad()
def score(encoded: Encoded, candidates: Candidates, names: Sequence[str] = NAMES) -> dict[str, Tensor]:
    """Log-probabilities ``[B, K]`` over the candidates by scorer, those of ``names`` that the model has."""
    return {
        scorer.name: encoded.log_probabilities(scorer, candidates)
        for scorer in SCORERS
        if scorer.name in names and scorer.available(encoded.model, candidates)
    }


def fuse(model: Sugar, scores: Mapping[str, Tensor], candidates: Candidates) -> Tensor:
    """The `fused` probabilities ``[B, K]`` of the scorers that it weighs.

    Their weights were chosen on validation clips, and are equal where there were none; candidates that were never
    trained have weights of their own (``config.unseen_weights``). In a list of both, `motion` decides between them.
    """
    parts = {name: scores[name].cpu().double() for name in FUSED_NAMES if name in scores}
    fitted = model.fusion if model.fusion and set(model.fusion.weights) == set(parts) else Fusion.equal(parts)
    return fuse_sides(parts, model.is_trained(candidates), fitted, model.config.unseen_weights.fusion(parts))


def llm_inputs(encoded: Encoded, candidates: Candidates) -> tuple[Tensor, Tensor, Sequence[str] | None]:
    """Action tokens ``[B, Q, H]`` with their mask ``[B, Q]``, and the fact hints, of the LLM's prompt."""
    model, (tokens, mask) = encoded.model, encoded.tokens[0]
    probabilities = None
    if model.soft_label_tokens is not None:
        probabilities = fuse(model, score(encoded, candidates, [s.name for s in PROMPT_SCORERS]), candidates)
    action, action_mask = model.action_tokens(tokens, mask, candidates, probabilities)
    return action, action_mask, model.fact_hints(tokens, mask, encoded.persons)


@torch.no_grad()
def describe(encoded: Encoded, candidates: Candidates, labels: Sequence[str] | None) -> list[str]:
    """The LLM's description of each clip after its recognized label; empty texts without an LLM.

    Args:
        labels: the recognized names; None: the LLM answers freely, ``{label}. {description}``.
    """
    language = encoded.model.language
    if language is None:
        return [""] * len(encoded.persons)
    action, action_mask, fact_hints = llm_inputs(encoded, candidates)
    if labels is None:
        return language.generate(action, candidates.names, action_mask=action_mask, fact_hints=fact_hints)
    return language.describe(action, candidates.names, labels, action_mask=action_mask, fact_hints=fact_hints)


def class_probabilities(model: Sugar, tokens: Tensor, mask: Tensor) -> Tensor:
    """Probabilities ``[B, classes]`` of the training classes by all scorers of the prompt, of encoded clips.

    Args:
        tokens, mask: the encoder's output of one view.
    """
    trained = model.trained.to(model.device)
    scores = score(Encoded.from_tokens(model, tokens, mask), trained, [scorer.name for scorer in PROMPT_SCORERS])
    return fuse(model, scores, trained)
