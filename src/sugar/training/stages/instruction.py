"""Stage 2: the LLM learns to read action tokens, choose from a list and describe (SUGAR, step 3)."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sugar.facts.claim_selection import verbalize_all
from sugar.facts.grammar import all_claims, parse, say
from sugar.knowledge.fact_captions import FactCaptions
from sugar.models.encoders import Encoder
from sugar.models.llm.model import LanguageModel
from sugar.models.projectors.projectors import Projector
from sugar.models.scorers.scorers import class_probabilities
from sugar.skeleton.layout import JointLayout
from sugar.training.config import ListConfig
from sugar.training.context import Context
from sugar.training.engine.fit import Objective
from sugar.training.engine.processes import processes
from sugar.training.engine.randomness import pick
from sugar.training.guard import UnseenGuard
from sugar.training.stages.nonsense_labels import make_nonsense_labels
from sugar.training.stages.soft_label_task import SoftLabelTask, TextSource
from sugar.training.stages.text_only import build_text_only
from sugar.training.texts import training_descriptions
from sugar.transforms.augment import AugmentConfig, augment
from sugar.transforms.batches import ClipBatch

_ROW_OF = {claim: row for row, claim in enumerate(all_claims())}


def draw_size(count: int, config: ListConfig, generator: torch.Generator) -> int:
    """How many of ``count`` names a list has; one draw for a batch, so that its prompts are of like length."""
    if not config.sublists or count <= config.shortest:
        return count
    return int(torch.randint(config.shortest, count + 1, (1,), generator=generator))


def draw_candidates(
    names: Sequence[str], truth: int, size: int, config: ListConfig, generator: torch.Generator
) -> list[str]:
    """A list of ``size`` names that holds ``names[truth]``."""
    others = [i for i in range(len(names)) if i != truth]
    if size < len(names):
        kept = torch.randperm(len(others), generator=generator)[: size - 1]
        others = [others[int(i)] for i in kept]
    chosen = sorted([*others, truth])
    if config.shuffle:
        chosen = [chosen[int(i)] for i in torch.randperm(len(chosen), generator=generator)]
    return [names[i] for i in chosen]


class InstructionObjective(Objective):
    """Frozen encoder -> projector -> LLM; the loss is on the answer ``{label}. {description}``.

    Args:
        descriptions: per class, the sentences that the LLM learns to say; one is drawn per clip and step.
        of_clips: by position in the store, the description of a clip itself, said of it unless it is mirrored.
        own: fact captions of the training clips, said after the description of the class; None: that one alone.
        fact_hints: fact hints of encoded clips for the prompt (`Sugar.fact_hints`).
        guard: what must not reach the LLM.
        soft: soft label tokens of the candidates beside the projector's tokens; None: there are none.
        class_groups: ``[K, K]`` bool, which classes may stand on a list with each (`group_classes`); None: all.
    """

    def __init__(
        self,
        *,
        encoder: Encoder,
        projector: Projector,
        language: LanguageModel,
        names: Sequence[str],
        descriptions: Sequence[Sequence[str]],
        layout: JointLayout,
        augmentation: AugmentConfig,
        frames: int,
        lists: ListConfig,
        own: FactCaptions | None = None,
        fact_hints: Callable[[Tensor, Tensor, Tensor], Sequence[str] | None] = lambda tokens, mask, persons: None,
        guard: UnseenGuard | None = None,
        of_clips: Mapping[int, str] | None = None,
        soft: SoftLabelTask | None = None,
        class_groups: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.guard = guard or UnseenGuard()
        self.of_clips = dict(of_clips or {})
        for texts in (*descriptions, self.of_clips.values()):
            self.guard.check_texts("descriptions", texts)
        self.encoder, self.projector, self.language = encoder.requires_grad_(False), projector, language
        self.names, self.descriptions = list(names), [list(d) for d in descriptions]
        together = torch.ones(len(names), len(names)) if class_groups is None else class_groups
        self.class_groups = [row.nonzero().flatten().tolist() for row in together]
        self.layout, self.augmentation, self.frames, self.lists = layout, augmentation, frames, lists
        self.own, self.fact_hints, self.soft = own, fact_hints, soft
        self.rates = np.zeros(0) if own is None else own.rates().numpy()

    def train(self, mode: bool = True) -> "InstructionObjective":
        super().train(mode)
        self.encoder.eval()  # frozen: no dropout, no running statistics
        return self

    def forward(self, batch: ClipBatch, generator: torch.Generator) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            joints, frames, mirrored = augment(batch, self.layout, self.augmentation, self.frames, generator)
            tokens, mask = self.encoder(joints, batch.persons, frames)
        candidates, descriptions = [], []
        size = draw_size(max(len(self.class_groups[label]) for label in batch.labels.tolist()), self.lists, generator)
        for label in batch.labels.tolist():
            own = self.class_groups[label]
            names = draw_candidates([self.names[i] for i in own], own.index(label), size, self.lists, generator)
            candidates.append(names)
            self.guard.check_names("a prompt's list", candidates[-1])
            descriptions.append(pick(self.descriptions[label], generator))
        for row, (index, swapped) in enumerate(zip(batch.indices.tolist(), mirrored.tolist(), strict=True)):
            if index in self.of_clips and not swapped:
                descriptions[row] = self.of_clips[index]
        fact_hints = self.fact_hints(tokens, mask, batch.persons)
        if self.own is not None:
            facts = self._true_facts(self.own.claims(batch.indices, mirrored).numpy(), fact_hints)
            descriptions = [f"{text} {fact}".strip() for text, fact in zip(descriptions, facts, strict=True)]
        labels = [self.names[label] for label in batch.labels.tolist()]
        action, action_mask = self.projector(tokens, mask), self.projector.output_mask(mask)
        if self.soft is not None:
            class_probabilities = self.soft.of_clips(tokens, mask, candidates, generator)
            texts = self.soft.of_texts(len(labels), size, generator)
            action, action_mask = self.soft.join(
                action, action_mask, torch.cat([class_probabilities, texts.class_probabilities.to(class_probabilities)])
            )
            candidates, labels = [*candidates, *texts.candidates], [*labels, *texts.labels]
            descriptions = [*descriptions, *texts.descriptions]
            fact_hints = None if fact_hints is None else [*fact_hints, *[""] * len(texts.labels)]
        return self.language.loss(action, candidates, labels, descriptions, action_mask, fact_hints), {}

    def _true_facts(self, truth: NDArray[np.int8], fact_hints: Sequence[str] | None) -> Sequence[str]:
        """What the LLM learns to say of each clip: the true ones of its fact hints; without hints, the rarest facts."""
        if fact_hints is None:
            return verbalize_all(truth, self.rates)
        return [
            " ".join(say([claim for claim in parse(text) if row[_ROW_OF[claim]] == 1]))
            for text, row in zip(fact_hints, truth, strict=True)
        ]


class InstructionStage:
    """Projector, LoRA and soft label tokens; the LLM's pre-trained weights must not change."""

    name, validated = "instruction", "llm"

    def build(self, context: Context) -> Objective:
        """The objective on a fresh projector and fresh adapters; records the hash of the LLM's weights."""
        config, model, stage = context.config, context.model, context.config.instruction
        context.seed("instruction")
        projector, language = model.add_language()
        model.to(processes().device)  # stage 1 may come from a file, and its scores of clips are read here
        context.record["llm"] = {
            "name": config.model.language.name,
            "revision": config.model.language.revision,
            "hash_before": language.base_hash(),
        }
        described = context.clip_descriptions
        return InstructionObjective(
            encoder=model.encoder,
            projector=projector,
            language=language,
            names=context.classes,
            descriptions=[
                training_descriptions(context.pack[name], stage.held_out_descriptions) for name in context.classes
            ],
            layout=context.store.layout,
            augmentation=stage.augment,
            frames=config.model.frames,
            lists=stage.lists,
            own=context.fact_captions if stage.fact_captions else None,
            fact_hints=model.fact_hints,
            guard=context.guard,
            of_clips={i: described[i] for i in context.split.train.tolist() if i in described},
            soft=_soft_label_task(context),
            class_groups=context.class_groups,
        )

    def finish(self, context: Context) -> None:
        """Check that the LLM's pre-trained weights are what they were."""
        if context.model.language is None:
            raise ValueError("stage instruction needs an LLM")
        record = context.record["llm"]
        record["hash_after"] = context.model.language.base_hash()
        if record["hash_before"] != record["hash_after"]:
            raise RuntimeError("the LLM's pre-trained weights changed in training")


def _soft_label_task(context: Context) -> SoftLabelTask | None:
    """How the LLM learns to read soft label tokens, where the config wants them."""
    model, stage, pack = context.model, context.config.instruction, context.pack
    if model.soft_label_tokens is None or model.language is None:
        return None
    classes, unseen = context.classes, context.split.unseen
    sources: list[tuple[TextSource, float]] = []
    if stage.text_only.share > 0:
        texts = build_text_only(
            stage.text_only,
            pack=pack,
            classes=classes,
            unseen=unseen,
            held_out=stage.held_out_descriptions,
            encoder=context.config.model.text_encoder,
            guard=context.guard,
        )
        sources.append((texts, stage.text_only.share))
    if stage.text_only.nonsense > 0:
        nonsense = make_nonsense_labels(
            stage.text_only, pack=pack, classes=classes, unseen=unseen, seed=context.config.seed
        )
        context.guard.check_names("nonsense labels", nonsense.names)
        sources.append((nonsense, stage.text_only.nonsense))
    return SoftLabelTask(
        model.soft_label_tokens,
        model.language,
        classes=classes,
        class_probabilities=partial(class_probabilities, model),
        sources=sources,
    )
