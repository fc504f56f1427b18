"""One run: knowledge, stage 1, baseline, stage 2, the fusion's weights, and the run folder."""

from collections.abc import Callable
from dataclasses import asdict
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from sugar.config import as_plain, write_config
from sugar.datasets.store.clip_dataset import ClipDataset
from sugar.errors import InputError
from sugar.evaluation.fit_fusion import fit_fusion
from sugar.evaluation.score_clips import motion_embeddings, score_clips
from sugar.knowledge.claim_space import ClaimEncoder, stated
from sugar.knowledge.embed import EmbeddingCache, load_text_encoder
from sugar.knowledge.fact_captions import FactCaptions, build_fact_captions
from sugar.knowledge.pack import load_pack
from sugar.models.heads.claim_matching import fit_claims
from sugar.models.heads.motion import REFERENCE_CLIPS, MotionReference
from sugar.models.llm.model import LanguageModel
from sugar.models.run_folder import save_model
from sugar.models.scorers.fusion import Fusion
from sugar.models.scorers.scorers import FUSED_NAMES, class_probabilities
from sugar.models.sugar import Sugar
from sugar.training import fingerprint as contents
from sugar.training.checkpoint import CONTENTS
from sugar.training.class_groups import group_classes
from sugar.training.config import RunConfig, StageConfig, check_stages
from sugar.training.engine import Objective, fit
from sugar.training.environment import environment, write_environment
from sugar.training.guard import UnseenGuard
from sugar.training.out_folder import check_out
from sugar.training.prepare_split import prepare_split
from sugar.training.pretrained import take_pretrained
from sugar.training.processes import main_process_first, processes, share_trained
from sugar.training.randomness import random_stream, stable_seed
from sugar.training.reference import fit_tolerance
from sugar.training.stages.alignment import AlignmentObjective, MotionTask
from sugar.training.stages.baseline import BaselineObjective
from sugar.training.stages.descriptions import training_descriptions
from sugar.training.stages.instruction import InstructionObjective
from sugar.training.stages.nonsense_labels import make_nonsense_labels
from sugar.training.stages.soft_label_task import SoftLabelTask, TextSource
from sugar.training.stages.text_only import build_text_only, check_packs
from sugar.training.start_from import take_stage_one
from sugar.training.texts import (
    check_descriptions,
    knowledge_bank,
    motion_sentence_bank,
    read_clip_descriptions,
)
from sugar.transforms.batches import collate


def train(config: RunConfig, out: str | Path, *, resume: bool = False) -> Sugar:
    """Train what ``config.stages`` names and write the run folder ``out``.

    Args:
        resume: go on where a run of the same config stopped; a finished run is only loaded and saved again.

    Raises:
        InputError: the store, pack, LLM or config is not as it must be; `out` exists and ``resume`` is off, or
            belongs to another config.
        Interrupted: a signal came; the run can be resumed.
    """
    out = Path(out)
    check_stages(config)
    main_process_first(lambda: check_out(config, out, resume))
    run = Run(config, out, resume)
    for stage in config.stages:
        {"alignment": run.alignment, "baseline": run.baseline, "instruction": run.instruction}[stage]()
    return run.finish()


def _given_fusion(config: RunConfig) -> Fusion:
    fusion = Fusion.read(config.fusion)
    scorers = [name for name in FUSED_NAMES if name != "motion" or config.model.motion.weight > 0]
    if set(fusion.weights) != set(scorers):
        raise InputError(f"fusion: {config.fusion} weighs {sorted(fusion.weights)}, but this run has {sorted(scorers)}")
    return fusion


class Run:
    """The parts that the stages of one run share."""

    def __init__(self, config: RunConfig, out: Path, resume: bool) -> None:
        self.config, self.out, self.resume = config, out, resume
        check_named(config)
        self.fusion = _given_fusion(config) if config.fusion and "instruction" in config.stages else None
        self.pack = load_pack(config.knowledge.pack)
        opened, protocol, self.split, excluded, relabeled = prepare_split(config.data)
        self.classes = list(self.split.seen)
        self.store = opened.view(classes=self.classes)
        self.class_groups, self.lists = None, protocol.lists
        if config.model.alignment.negative_classes == "own_list":
            self.class_groups = group_classes(protocol.lists, self.classes, protocol=protocol.name)
        self.guard = UnseenGuard.of(self.split.unseen, self.classes, self.pack)
        for side, indices in (("training", self.split.train), ("validation", self.split.validation)):
            self.guard.check_names(f"{side} clips", (opened.classes[i] for i in np.unique(opened.labels[indices])))
        empty = np.bincount(self.store.labels[self.split.train], minlength=len(self.classes)) == 0
        if empty.any():
            missing = self.classes[int(empty.argmax())]
            outside = " outside data.exclude" if excluded else ""
            raise InputError(f"store {opened.path}: class {missing!r} has no training clip in this protocol{outside}")
        bank, motion_bank, encoder = knowledge_bank(config, self.pack, self.classes), None, None
        if "instruction" in config.stages:  # before hours of stage 1, not after
            LanguageModel.load(config.model.language)
            check_packs(config.instruction.text_only)
            check_descriptions(config, self.pack, self.classes)
            self.clip_descriptions = read_clip_descriptions(config.knowledge, opened)
        if config.model.motion.weight > 0:
            encoder = self.fact_captions.encoder if config.model.motion.space == "claims" else None
            motion_bank = motion_sentence_bank(config, self.pack, self.classes, encoder)
        for of in filter(None, (bank, motion_bank)):
            self.guard.check_names("knowledge texts", of.names)
            self.guard.check_texts("knowledge texts", of.texts)
        self._seed("model")
        self.model = Sugar(
            config=config.model,
            layout=self.store.layout,
            classes=self.classes,
            bank=bank,
            motion_bank=motion_bank,
        )
        if self.model.motion is not None and isinstance(encoder, ClaimEncoder):
            self.model.motion.rarity.copy_(encoder.rarity)
        self.record = environment(seed=config.seed, store_hash=self.store.hash)
        self.record["clips_digest"] = clips = contents.of_sides(self.store, self.split)
        if config.start_from:
            self.record["start_from"] = take_stage_one(
                self.model,
                Path(config.start_from),
                self.guard,
                data=config.data,
                store_hash=self.store.hash,
                clips=clips,
            )
        elif config.pretrained:
            self.record["pretrained"] = take_pretrained(self.model, Path(config.pretrained), self.guard)
        self.dataset = ClipDataset(self.store, self.split.train, config.model.preprocess, cache=config.data.cache)
        if excluded:
            self.record["excluded"] = excluded
        if relabeled:
            self.record["relabeled"] = relabeled
        dropped = (self.store.num_persons[self.split.train] - config.model.preprocess.max_persons).clip(min=0)
        self.record["dropped_persons"] = {"persons": int(dropped.sum()), "clips": int((dropped > 0).sum())}
        main_process_first(lambda: write_config(config, out / "config.yaml"))

    @cached_property
    def fact_captions(self) -> FactCaptions:
        """What the joints of each training clip show, in words."""
        motion = self.config.model.motion
        encoder = None if motion.space == "claims" else load_text_encoder(self.config.model.text_encoder)
        clips = ((int(i), self.store[int(i)]) for i in self.split.train)
        console = Console(stderr=True)
        shown = track(
            clips,
            "measuring",
            total=len(self.split.train),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        return build_fact_captions(
            shown, encoder, variants=motion.phrasings, seed=self.config.seed, cache=EmbeddingCache()
        )

    def alignment(self) -> None:
        """Stage 1: the encoder learns from the knowledge texts and, by the motion head, from what joints show."""
        stage, model = self.config.alignment, self.model
        motion = None
        if model.motion is not None and model.trained.motion is not None:
            motion = MotionTask(
                head=model.motion,
                bank=model.trained.motion,
                own=self.fact_captions,
                config=self.config.model.motion,
            )
        objective = AlignmentObjective(
            encoder=model.encoder,
            alignment=model.alignment,
            bank=model.trained.texts,
            layout=self.store.layout,
            augmentation=stage.augment,
            frames=self.config.model.frames,
            motion=motion,
            class_groups=self.class_groups,
        )
        self._fit(objective, stage, "alignment", self._validation("text"))
        if model.motion is not None:
            model.reference = self._reference()

    def baseline(self) -> None:
        """The linear baseline `fc`."""
        stage = self.config.baseline
        self._seed("baseline")
        objective = BaselineObjective(
            baseline=self.model.add_baseline(),
            layout=self.store.layout,
            augmentation=stage.augment,
            frames=self.config.model.frames,
            label_smoothing=stage.label_smoothing,
            class_groups=self.class_groups,
        )
        self._fit(objective, stage, "baseline", self._validation("fc"))

    def instruction(self) -> None:
        """Stage 2: projector and adapters learn to read action tokens; the LLM's own weights must not change."""
        stage = self.config.instruction
        self._seed("instruction")
        projector, language = self.model.add_language()
        self.model.to(processes().device)  # stage 1 may come from a file, and what it says of clips is read here
        before = language.base_hash()
        objective = InstructionObjective(
            encoder=self.model.encoder,
            projector=projector,
            language=language,
            names=self.classes,
            descriptions=[training_descriptions(self.pack[name], stage.held_out_descriptions) for name in self.classes],
            layout=self.store.layout,
            augmentation=stage.augment,
            frames=self.config.model.frames,
            lists=stage.lists,
            own=self.fact_captions if stage.fact_captions else None,
            tell=self.model.fact_hints,
            guard=self.guard,
            of_clips={i: self.clip_descriptions[i] for i in self.split.train.tolist() if i in self.clip_descriptions},
            soft=self._soft_label_tokens(),
            class_groups=self.class_groups,
        )
        self._fit(objective, stage, "instruction", self._validation("llm"))
        after = language.base_hash()
        if before != after:
            raise RuntimeError("the LLM's pre-trained weights changed in training")
        llm = {"name": self.config.model.language.name, "revision": self.config.model.language.revision}
        self.record["llm"] = llm | {"hash_before": before, "hash_after": after}

    def _soft_label_tokens(self) -> SoftLabelTask | None:
        """How the LLM learns to read the candidates' names, where the config wants it."""
        model, stage = self.model, self.config.instruction
        if model.soft_label_tokens is None or model.language is None:
            return None
        sources: list[tuple[TextSource, float]] = []
        if stage.text_only.share > 0:
            texts = build_text_only(
                stage.text_only,
                pack=self.pack,
                classes=self.classes,
                unseen=self.split.unseen,
                held_out=stage.held_out_descriptions,
                encoder=self.config.model.text_encoder,
                guard=self.guard,
            )
            sources.append((texts, stage.text_only.share))
        if stage.text_only.nonsense > 0:
            nonsense = make_nonsense_labels(
                stage.text_only, pack=self.pack, classes=self.classes, unseen=self.split.unseen, seed=self.config.seed
            )
            self.guard.check_names("nonsense labels", nonsense.names)
            sources.append((nonsense, stage.text_only.nonsense))
        return SoftLabelTask(
            model.soft_label_tokens,
            model.language,
            classes=self.classes,
            class_probabilities=partial(class_probabilities, model),
            sources=sources,
        )

    def finish(self) -> Sugar:
        """Choose the fusion's weights on validation clips and write the run folder."""
        model = self.model
        model.fusion = self.fusion
        if self.fusion is None and len(self.split.validation) and "instruction" in self.config.stages:
            candidates = model.candidates(self.classes)
            scores = score_clips(model, self.store, self.split.validation, candidates, scorers=FUSED_NAMES)
            model.fusion = fit_fusion(scores, self.store.labels[self.split.validation])
        main_process_first(self._write)
        return model.eval()

    def _write(self) -> None:
        write_environment(self.out, self.record)
        save_model(self.model, self.out)

    def _fit(
        self,
        objective: Objective,
        stage: StageConfig,
        name: str,
        validate: Callable[[], dict[str, float]] | None,
    ) -> None:
        self.model.to(processes().device)  # the validation asks the whole model, whatever part the stage trains
        result = fit(
            objective,
            self.dataset,
            collate,
            loop=stage.loop,
            optimization=stage.optimization,
            seed=self.config.seed,
            folder=self.out,
            resume=self.resume,
            name=name,
            validate=validate,
            validate_every=0,
            recipe={
                "store": self.store.hash,
                "model": self._model_recipe(name),
                "knowledge": self.model.trained.texts.fingerprint,
                "augment": asdict(stage.augment),
                CONTENTS: self._contents(name),
            },
        )
        self.record.setdefault("precision", {})[name] = asdict(result.precision)
        share_trained(objective)

    def _contents(self, stage: str) -> dict[str, str]:
        """Digests of what a stage reads from files that the config only names, by what messages call it."""
        found: dict[str, str | None] = {
            "action lists": contents.digest([self.classes, self.split.unseen, self.lists]),
            "clips or labels": self.record["clips_digest"],
            "knowledge texts": contents.of_bank(self.model.trained.texts),
        }
        if self.model.trained.motion is not None:
            found["motion sentences"] = contents.of_bank(self.model.trained.motion)
        if stage == "instruction":
            told = sorted((self.store.clip_ids[i], text) for i, text in self.clip_descriptions.items())
            text_only = self.config.instruction.text_only
            found["descriptions"] = contents.digest([self.pack[name].descriptions for name in self.classes])
            found["clip descriptions"] = contents.digest(told)
            found["texts in place of clips"] = contents.of_text_only(
                text_only, self.pack, self.classes, self.split.unseen
            )
            found["fusion weights"] = None if self.fusion is None else contents.digest(self.fusion.to_json())
        return {what: digest for what, digest in found.items() if digest is not None}

    def _model_recipe(self, stage: str) -> dict[str, Any]:
        """The settings of the model that a stage depends on."""
        unused = {"views", "unseen_weights"} | (
            set() if stage == "instruction" else {"projector", "language", "soft_label_tokens"}
        )
        return {key: value for key, value in as_plain(self.config.model).items() if key not in unused}

    def _validation(self, scorer: str) -> Callable[[], dict[str, float]] | None:
        """Accuracy of one scorer on the validation clips, for the log; nothing is chosen by it."""
        if not len(self.split.validation):
            return None

        def validate() -> dict[str, float]:
            candidates = self.model.candidates(self.classes)
            scores = score_clips(self.model, self.store, self.split.validation, candidates, scorers=(scorer,))
            correct = scores[scorer].argmax(axis=1) == self.store.labels[self.split.validation]
            return {f"{scorer}_top1": float(np.mean(correct))}

        return validate

    def _reference(self) -> MotionReference:
        """Some training clips as the trained motion head and their fact captions show them."""
        chosen = self.split.train
        if len(chosen) > REFERENCE_CLIPS:
            rng = np.random.default_rng(stable_seed(self.config.seed, "reference"))
            chosen = np.sort(rng.choice(chosen, REFERENCE_CLIPS, replace=False))
        head = motion_embeddings(self.model, self.store, chosen).cpu()
        profiles = torch.stack([stated(self.pack[name].motion_sentences) for name in self.classes])
        labels = torch.from_numpy(self.store.labels[chosen].astype(np.int64))
        measured = self.fact_captions.measurements(chosen.tolist())
        people = torch.from_numpy(self.store.column("subject")[chosen].astype(np.int64))
        seed = stable_seed(self.config.seed, "pseudo-unseen")
        tolerance = fit_tolerance(measured, labels, profiles, people, seed=seed)
        claims = fit_claims(measured, labels, profiles)
        return MotionReference(head, self.fact_captions.rates(), claims, tolerance, labels)

    def _seed(self, part: str) -> None:
        torch.manual_seed(stable_seed(self.config.seed, "init", random_stream(part)))


def check_named(config: RunConfig) -> None:
    """Refuse a config that does not say what it trains on.

    Raises:
        InputError: the line names the flag.
    """
    for flag, value, example in (
        ("data.store", config.data.store, "stores/mine, made by `sugar data import`"),
        ("data.protocol", config.data.protocol, "utd-mhad-cross-subject, or subject:1-8/9-10"),
        ("knowledge.pack", config.knowledge.pack, "utd_mhad, or my/pack.yaml"),
    ):
        if not value:
            raise InputError(f"{flag} is not given; name one, such as {example}")
    texts = config.instruction.text_only
    if max(texts.share, texts.nonsense) > 0 and not config.model.soft_label_tokens:
        raise InputError(
            "instruction.text_only needs soft label tokens, which carry texts to the LLM: set model.soft_label_tokens"
        )
