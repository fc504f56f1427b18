"""The whole of SUGAR: clips in, label, scores and description out.

Scores (docs/design.md, D15): `text` (stage-1 similarity), `motion` (motion head and facts of the joints), `llm` (exact
scoring of the candidate list), `fused` (those three, weighed on validation clips), and `fc`, the linear baseline,
beside them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from sugar.errors import InputError
from sugar.files import write_text
from sugar.knowledge.bank import TextBank
from sugar.knowledge.claim_space import ClaimEncoder
from sugar.knowledge.fact_captions import measure_clips
from sugar.knowledge.pack import KnowledgePack
from sugar.models.candidates import Candidates, check_question, open_vocabulary, subset
from sugar.models.config import ModelConfig
from sugar.models.encoders.build import build_encoder
from sugar.models.heads.alignment import KnowledgeAlignment
from sugar.models.heads.baseline import LinearBaseline, candidate_log_probabilities
from sugar.models.heads.motion import MotionHead, MotionReference, UnseenMotion
from sugar.models.llm.fact_hints import verbalize_facts
from sugar.models.llm.model import LanguageModel
from sugar.models.llm.soft_label_tokens import LabelEmbeddings, SoftLabelTokens
from sugar.models.projectors.projectors import Projector
from sugar.models.recognition import Recognition
from sugar.models.run_folder import (
    REFERENCE_FILE,
    WORDS_FILE,
    RunDescription,
    load_module,
    load_reference,
    read_description,
    read_model_config,
    save_module,
    save_tensors,
    verify_base,
    write_description,
)
from sugar.models.scorers.calibrated_stacking import fuse_sides
from sugar.models.scorers.fusion import Fusion
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layout import JointLayout
from sugar.transforms.batches import ClipBatch, batch_clips
from sugar.transforms.views import View, view_joints

SCORERS = ("fc", "text", "motion", "llm")
FUSED_SCORERS = ("text", "motion", "llm")
PROMPT_SCORERS = ("text", "motion")
"""What the LLM hears of in soft label tokens."""

_Head = TypeVar("_Head", bound=KnowledgeAlignment)


class Sugar(nn.Module):
    """Encoder, alignment, motion head, projector, LLM and linear baseline, as far as training has come.

    Args:
        classes: names of the training classes, in label order.
        bank: the knowledge texts of those classes, embedded.
        motion_bank: their motion sentences; None: no motion head.
    """

    def __init__(
        self,
        *,
        config: ModelConfig,
        layout: JointLayout,
        classes: Sequence[str],
        bank: TextBank,
        motion_bank: TextBank | None,
    ) -> None:
        super().__init__()
        self.config, self.layout, self.classes = config, layout, tuple(classes)
        self.trained = Candidates(bank, motion_bank)
        self.encoder = build_encoder(config.encoder, layout)
        self.alignment = self._projection(KnowledgeAlignment, bank)
        self.motion = self._projection(MotionHead, motion_bank) if motion_bank is not None else None
        self.reference: MotionReference | None = None
        self.baseline: LinearBaseline | None = None
        self.projector: Projector | None = None
        self.language: LanguageModel | None = None
        self.words: SoftLabelTokens | None = None
        self.fusion: Fusion | None = None
        self._unseen_motion: dict[tuple[tuple[str, ...], tuple[str, ...]], UnseenMotion] = {}
        self._candidates: dict[tuple[tuple[str, ...], KnowledgePack | None], Candidates] = {}

    def _projection(self, kind: type[_Head], bank: TextBank) -> _Head:
        return kind(
            in_channels=self.encoder.out_channels,
            text_channels=bank.embeddings.shape[1],
            num_classes=len(self.classes),
            config=self.config.alignment,
            num_branches=self.encoder.num_branches,
        )

    def add_baseline(self) -> LinearBaseline:
        """Give the model a fresh linear baseline."""
        self.baseline = LinearBaseline(
            encoder=build_encoder(self.config.encoder, self.layout), num_classes=len(self.classes)
        )
        return self.baseline

    def add_language(self) -> tuple[Projector, LanguageModel]:
        """Load the LLM that the config names and give the model a fresh projector to it."""
        self.language = LanguageModel.load(self.config.language)
        self.projector = self.config.projector.build(
            in_channels=self.encoder.out_channels, out_channels=self.language.width
        )
        if self.config.soft_label_tokens:
            self.words = SoftLabelTokens(self.language.width)
        return self.projector, self.language

    @property
    def device(self) -> torch.device:
        return self.alignment.log_temperature.device

    def candidates(self, names: Sequence[str], pack: KnowledgePack | None = None) -> Candidates:
        """Names to choose from with what is known of them.

        Args:
            names: training classes keep the texts of their training; a new name takes those of ``pack``, and where
                that has none, the name alone.

        Raises:
            InputError: no candidate, one twice, or an empty name.
        """
        key = (tuple(names), pack)
        if key not in self._candidates:
            known = set(names) <= set(self.classes)
            self._candidates[key] = (
                subset(self.trained, names)
                if known
                else open_vocabulary(self.trained, names, pack, self.config.text_encoder, self._motion_encoder())
            )
        return self._candidates[key].to(self.device)

    def _motion_encoder(self) -> ClaimEncoder | None:
        """What makes vectors of motion sentences; None: the text encoder does."""
        return ClaimEncoder(self.motion.rarity) if self.motion and self.config.motion.space == "claims" else None

    def trained_on(self, candidates: Candidates) -> bool:
        """Whether every candidate is a training class."""
        return set(candidates.names) <= set(self.classes)

    def _trained(self, candidates: Candidates) -> Tensor:
        return torch.tensor([name in self.classes for name in candidates.names])

    @torch.no_grad()
    def score(
        self,
        batch: ClipBatch,
        candidates: Candidates,
        scorers: Sequence[str] = SCORERS,
        measured: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Log-probabilities ``[B, K]`` over the candidates by scorer, those of ``scorers`` that are there.

        Expects preprocessed clips on the model's device and the model in evaluation mode.

        Args:
            measured: ``[B, 2, C]`` what `measure_clips` says of the clips, the measured half of `motion`.
        """
        looks = [self._score_view(batch, view, candidates, scorers, measured) for view in self.config.views]
        return {
            scorer: torch.stack([look[scorer] for look in looks]).logsumexp(0).log_softmax(-1)
            for scorer in looks[0]
            if scorer in scorers
        }

    def _score_view(
        self, batch: ClipBatch, view: View, candidates: Candidates, scorers: Sequence[str], measured: Tensor | None
    ) -> dict[str, Tensor]:
        joints, frames = view_joints(batch, self.layout, view, self.config.frames)
        scores = {}
        if "fc" in scorers and self.baseline is not None:
            seen = self.baseline(joints, batch.persons, frames).log_softmax(-1)
            scores["fc"] = candidate_log_probabilities(seen, self.trained.texts.to(self.device), candidates.texts)
        if not set(FUSED_SCORERS) & set(scorers):
            return scores
        tokens, mask = self.encoder(joints, batch.persons, frames)
        asks_llm = "llm" in scorers and self.language is not None
        asked = PROMPT_SCORERS if asks_llm and self.words is not None else scorers
        scores |= self._prompt_scores(tokens, mask, candidates, measured, asked)
        if asks_llm and self.language is not None:
            action, action_mask = self._action_tokens(tokens, mask, candidates, scores)
            fact_hints = self.tell(tokens, mask, batch.persons)
            scores["llm"] = self.language.score(action, candidates.names, action_mask, fact_hints=fact_hints)
        return scores

    def _prompt_scores(
        self,
        tokens: Tensor,
        mask: Tensor,
        candidates: Candidates,
        measured: Tensor | None,
        of: Sequence[str] = PROMPT_SCORERS,
    ) -> dict[str, Tensor]:
        """Log-probabilities ``[B, K]`` of encoded clips by those of `PROMPT_SCORERS` that are asked for."""
        scores = {}
        if "text" in of:
            scores["text"] = self.alignment.log_probabilities(tokens, mask, candidates.texts)
        if "motion" in of and self.motion and self.reference and candidates.motion:
            scores["motion"] = self._motion_scores(self.motion, tokens, mask, candidates, measured)
        return scores

    def _action_tokens(
        self, tokens: Tensor, mask: Tensor, candidates: Candidates, scores: Mapping[str, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """What stands for a clip in the LLM's prompt ``[B, Q, H]``, and its mask ``[B, Q]``.

        Args:
            scores: of `PROMPT_SCORERS`, by which the soft label tokens go.
        """
        if self.projector is None or self.language is None:
            raise ValueError("no projector, no LLM")
        action, action_mask = self.projector(tokens, mask), self.projector.output_mask(mask)
        if self.words is None:
            return action, action_mask
        if not self.trained_on(candidates):  # the projector was learned by other actions, and would name one of them
            action_mask = torch.zeros_like(action_mask)
        words, word_mask = self.words(
            self.fuse(scores, candidates), LabelEmbeddings.of(candidates.names, self.language)
        )
        return torch.cat([action, words], dim=1), torch.cat([action_mask, word_mask], dim=1)

    def class_probabilities(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Probabilities ``[B, classes]`` of the training classes by all but the LLM, of encoded clips."""
        trained = self.trained.to(self.device)
        return self.fuse(self._prompt_scores(tokens, mask, trained, None), trained)

    def _motion_scores(
        self, motion: MotionHead, tokens: Tensor, mask: Tensor, candidates: Candidates, measured: Tensor | None
    ) -> Tensor:
        """The head's posterior over training classes; what they know of claims is in it, learned from fact captions."""
        bank = candidates.motion
        if bank is None or self.reference is None:
            raise ValueError("the motion score needs motion sentences and reference clips")
        if self.trained_on(candidates):
            return motion.log_probabilities(tokens, mask, bank)
        if measured is None:
            raise ValueError("the motion score of actions that were never trained needs what was measured of the clips")
        key = bank.names, bank.texts
        if key not in self._unseen_motion:
            self._unseen_motion[key] = UnseenMotion(bank, self.reference, self._trained(candidates), self.classes)
        head = motion.embed(tokens, mask)
        return self._unseen_motion[key].log_probabilities(head, measured, motion.temperature).to(self.device)

    def fuse(self, scores: Mapping[str, Tensor], candidates: Candidates) -> Tensor:
        """The `fused` probabilities ``[B, K]`` of `FUSED_SCORERS`.

        Their weights were chosen on validation clips, and are equal where there were none; candidates that were
        never trained have weights of their own (``config.unseen_weights``). In a list of both, `motion` says of which
        side a clip is.
        """
        parts = {name: scores[name].cpu().double() for name in FUSED_SCORERS if name in scores}
        fitted = self.fusion if self.fusion and set(self.fusion.weights) == set(parts) else Fusion.equal(parts)
        return fuse_sides(parts, self._trained(candidates), fitted, self.config.unseen_weights.fusion(parts))

    @torch.no_grad()
    def describe(
        self, batch: ClipBatch, candidates: Candidates, labels: Sequence[str] | None, measured: Tensor | None = None
    ) -> list[str]:
        """What the LLM says of each clip after its recognized label; empty texts without an LLM.

        Args:
            labels: the recognized names; None: the LLM answers freely, ``{label}. {description}``.
            measured: as for `score`.
        """
        if self.language is None or self.projector is None:
            return [""] * len(batch)
        joints, frames = view_joints(batch, self.layout, self.config.views[0], self.config.frames)
        tokens, mask = self.encoder(joints, batch.persons, frames)
        scores = self._prompt_scores(tokens, mask, candidates, measured) if self.words is not None else {}
        action, action_mask = self._action_tokens(tokens, mask, candidates, scores)
        fact_hints, names = self.tell(tokens, mask, batch.persons), candidates.names
        if labels is None:
            return self.language.generate(action, names, action_mask=action_mask, fact_hints=fact_hints)
        return self.language.describe(action, names, labels, action_mask=action_mask, fact_hints=fact_hints)

    def tell(self, tokens: Tensor, mask: Tensor, persons: Tensor) -> Sequence[str] | None:
        """Fact hints for the prompt, a text a clip (`verbalize_facts`); None without a motion head."""
        if self.motion is None or self.reference is None or not self.config.language.fact_hints:
            return None
        return verbalize_facts(self.motion, self.reference, tokens, mask, persons)

    def recognize_all(
        self,
        clips: Iterable[SkeletonClip],
        candidates: Iterable[str] | None = None,
        pack: KnowledgePack | None = None,
    ) -> list[Recognition]:
        """Recognize and describe clips together; see `recognize`."""
        clips, given = check_question(clips, candidates, pack)
        chosen = self.candidates(self.classes if given is None else given, pack)
        if not clips:
            return []
        self.eval()
        batch = batch_clips(clips, self.config.preprocess, self.layout).to(self.device)
        measured = None if self.trained_on(chosen) else measure_clips(clips)
        scores = self.score(batch, chosen, measured=measured)
        probabilities = {name: table.exp().cpu() for name, table in scores.items()}
        probabilities["fused"] = self.fuse(scores, chosen)
        best = [chosen.names[int(i)] for i in probabilities["fused"].argmax(dim=1)]
        descriptions = self.describe(batch, chosen, best, measured)
        return [
            Recognition.of(clip, chosen.names, {scorer: table[row] for scorer, table in probabilities.items()}, said)
            for row, (clip, said) in enumerate(zip(clips, descriptions, strict=True))
        ]

    def recognize(
        self, clip: SkeletonClip, candidates: Iterable[str] | None = None, pack: KnowledgePack | None = None
    ) -> Recognition:
        """Recognize and describe one clip.

        Args:
            candidates: names to choose from, training classes or not; None: the training classes.
            pack: knowledge of candidates that are no training classes; without it their names must do.

        Raises:
            InputError: joints that cannot be brought to the model's layout; an empty, repeated or missing candidate.
        """
        return self.recognize_all([clip], candidates, pack)[0]

    # The run folder

    def save(self, folder: Path) -> None:
        """Write the weights that training made into the run folder; ``config.yaml`` is the trainer's.

        The LLM itself is named, not copied: only its adapter is written.
        """
        folder = Path(folder)
        save_module(self.encoder, folder / "encoder.safetensors")
        save_module(self.alignment, folder / "projection.safetensors")
        self.trained.texts.save(folder / "texts")
        # Stage 1 trains the motion head and measures its reference clips; without them the head cannot score.
        if self.motion is not None and self.trained.motion is not None and self.reference is not None:
            save_module(self.motion, folder / "motion.safetensors")
            self.trained.motion.save(folder / "motion_sentences")
            save_tensors(self.reference.tensors(), folder / REFERENCE_FILE)
        if self.baseline is not None:
            save_module(self.baseline, folder / "baseline.safetensors")
        if self.projector is not None and self.language is not None:
            save_module(self.projector, folder / "projector.safetensors")
            if self.words is not None:
                save_module(self.words, folder / WORDS_FILE)
            if self.config.language.lora:
                self.language.save_adapter(folder / "adapter")
        if self.fusion is not None:
            write_text(folder / "fusion.json", self.fusion.to_json() + "\n")
        # Last: a folder with this file is a whole run.
        whole = {"motion": self.reference, "baseline": self.baseline, "language": self.language}
        parts = tuple(name for name, part in whole.items() if part is not None)
        write_description(folder, RunDescription(tuple(self.classes), self.layout, parts))

    def take_stage_one(self, folder: Path) -> None:
        """Take encoder, alignment, motion head and, where it is there, the baseline from another run's folder.

        Raises:
            InputError: a file is missing or does not fit this model.
        """
        load_module(self.encoder, folder / "encoder.safetensors")
        load_module(self.alignment, folder / "projection.safetensors")
        if self.motion is not None:
            load_module(self.motion, folder / "motion.safetensors")
            self.reference = load_reference(folder / REFERENCE_FILE)
        if (folder / "baseline.safetensors").is_file():
            load_module(self.add_baseline(), folder / "baseline.safetensors")

    @classmethod
    def load(cls, folder: str | Path, *, llm: str | None = None) -> "Sugar":
        """Load a run folder, ready to recognize.

        Args:
            llm: the folder or id of the LLM where it is not where the run's config says.

        Raises:
            InputError: no run there, or a file of it is missing, damaged or does not fit.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"{folder}: no such run folder; give the --out of `sugar train`")
        described, config = read_description(folder), read_model_config(folder)
        if llm is not None:
            config.language.name = llm
        bank = TextBank.load(folder / "texts")
        motion_bank = TextBank.load(folder / "motion_sentences") if "motion" in described.parts else None
        model = cls(
            config=config, layout=described.layout, classes=described.classes, bank=bank, motion_bank=motion_bank
        )
        model.take_stage_one(folder)
        if "baseline" in described.parts and model.baseline is None:
            raise InputError(f"{folder / 'baseline.safetensors'}: missing from the run folder; restore the file")
        if "language" in described.parts:
            projector, language = model.add_language()
            load_module(projector, folder / "projector.safetensors")
            if model.words is not None:
                load_module(model.words, folder / WORDS_FILE)
            if config.language.lora:
                language.load_adapter(folder / "adapter")
            verify_base(language, folder / "environment.json")
        if (folder / "fusion.json").is_file():
            model.fusion = Fusion.read(folder / "fusion.json")
        return model.eval()
