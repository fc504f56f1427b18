"""What the stages of one run share: clips, texts, the guard of unseen classes, the model, and the run's record."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from sugar.config import as_plain, write_config
from sugar.datasets.protocols.protocols import Split
from sugar.datasets.store.clip_dataset import ClipDataset
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.knowledge.bank import TextBank
from sugar.knowledge.claim_space import ClaimEncoder
from sugar.knowledge.embed import EmbeddingCache, load_text_encoder
from sugar.knowledge.fact_captions import FactCaptions, build_fact_captions
from sugar.knowledge.pack import KnowledgePack, load_pack
from sugar.models.llm.model import LanguageModel
from sugar.models.scorers.fusion import Fusion
from sugar.models.scorers.scorers import FUSED_NAMES
from sugar.models.sugar import Sugar
from sugar.training.class_groups import group_classes
from sugar.training.config import RunConfig
from sugar.training.engine.processes import main_process_first
from sugar.training.engine.randomness import random_stream, stable_seed
from sugar.training.environment import environment
from sugar.training.fingerprint import Fingerprint, hash_of, hash_of_bank, hash_of_clips, hash_of_text_only
from sugar.training.guard import UnseenGuard
from sugar.training.prepare_split import prepare_split
from sugar.training.stages.text_only import check_packs
from sugar.training.texts import check_descriptions, knowledge_bank, motion_sentence_bank, read_clip_descriptions
from sugar.training.warm_start import take_pretrained, take_stage_one


@dataclass(eq=False)
class Context:
    """The shared parts of one run; `prepare` makes them.

    Args:
        store: opened with the training classes, in their order, as its own.
        classes: names of the training classes.
        lists: the protocol's action lists.
        class_groups: ``[K, K]`` bool, which classes each is contrasted with; None: all.
        clip_descriptions: descriptions of single clips, by position in the store.
        fusion: weights that the config gives; None: chosen on validation clips.
        record: what ``environment.json`` will hold.
    """

    config: RunConfig
    out: Path
    resume: bool
    pack: KnowledgePack
    store: Store
    split: Split
    classes: list[str]
    lists: Sequence[Sequence[str]]
    guard: UnseenGuard
    class_groups: Tensor | None = None
    fusion: Fusion | None = None
    clip_descriptions: dict[int, str] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)

    model: Sugar = field(init=False)
    dataset: ClipDataset = field(init=False)

    @cached_property
    def fact_captions(self) -> FactCaptions:
        """Facts of each training clip, measured and in words; takes a while."""
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

    def seed(self, part: str) -> None:
        """Seed torch for the fresh weights of a part of the model."""
        torch.manual_seed(stable_seed(self.config.seed, "init", random_stream(part)))

    def fingerprint(self, stage: str) -> Fingerprint:
        """What must be the same for the stage to be resumed."""
        config, trained = self.config, self.model.trained
        unused = {"views", "unseen_weights"}
        inputs: dict[str, str | None] = {
            "action lists": hash_of([self.classes, self.split.unseen, self.lists]),
            "clips or labels": self.record["clips_fingerprint"],
            "knowledge texts": hash_of_bank(trained.texts),
            "motion sentences": None if trained.motion is None else hash_of_bank(trained.motion),
        }
        if stage == "instruction":
            described = sorted((self.store.clip_ids[i], text) for i, text in self.clip_descriptions.items())
            inputs |= {
                "descriptions": hash_of([self.pack[name].descriptions for name in self.classes]),
                "clip descriptions": hash_of(described),
                "texts in place of clips": hash_of_text_only(
                    config.instruction.text_only, self.pack, self.classes, self.split.unseen
                ),
                "fusion weights": None if self.fusion is None else hash_of(self.fusion.to_json()),
            }
        else:
            unused |= {"projector", "language", "soft_label_tokens"}
        return Fingerprint(
            {
                "store": self.store.hash,
                "model": {key: value for key, value in as_plain(config.model).items() if key not in unused},
                "knowledge": trained.texts.fingerprint,
                "augment": asdict(getattr(config, stage).augment),
            },
            {name: mark for name, mark in inputs.items() if mark is not None},
        )


def prepare(config: RunConfig, out: Path, *, resume: bool = False) -> Context:
    """Read and check everything that the run needs, before hours of training, and build the model.

    Raises:
        InputError: the store, pack, LLM or config is not as it must be.
        UnseenLeak: something of an unseen class would be trained on.
    """
    check_named(config)
    fusion = _given_fusion(config) if config.fusion and "instruction" in config.stages else None
    pack = load_pack(config.knowledge.pack)
    opened, protocol, split, excluded, relabeled = prepare_split(config.data)
    context = Context(
        config=config,
        out=out,
        resume=resume,
        pack=pack,
        store=opened.view(classes=list(split.seen)),
        split=split,
        classes=list(split.seen),
        lists=protocol.lists,
        guard=UnseenGuard.from_pack(split.unseen, split.seen, pack),
        fusion=fusion,
    )
    if config.model.alignment.negative_classes == "own_list":
        context.class_groups = group_classes(protocol.lists, context.classes, protocol=protocol.name)
    _check_clips(context, opened, bool(excluded))
    bank = knowledge_bank(config, pack, context.classes)
    if "instruction" in config.stages:
        LanguageModel.load(config.model.language)
        check_packs(config.instruction.text_only)
        check_descriptions(config, pack, context.classes)
        context.clip_descriptions = read_clip_descriptions(config.knowledge, opened)
    context.model = _build_model(context, bank)
    context.dataset = ClipDataset(context.store, split.train, config.model.preprocess, cache=config.data.cache)
    context.record |= environment(seed=config.seed, store_hash=context.store.hash)
    context.record["clips_fingerprint"] = hash_of_clips(context.store, split)
    _take_over(context)
    if excluded:
        context.record["excluded"] = excluded
    if relabeled:
        context.record["relabeled"] = relabeled
    dropped = (context.store.num_persons[split.train] - config.model.preprocess.max_persons).clip(min=0)
    context.record["dropped_persons"] = {"persons": int(dropped.sum()), "clips": int((dropped > 0).sum())}
    main_process_first(lambda: write_config(config, out / "config.yaml"))
    return context


def check_named(config: RunConfig) -> None:
    """Check that the config says what it trains on.

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


def _given_fusion(config: RunConfig) -> Fusion:
    fusion = Fusion.read(config.fusion)
    scorers = [name for name in FUSED_NAMES if name != "motion" or config.model.motion.weight > 0]
    if set(fusion.weights) != set(scorers):
        raise InputError(f"fusion: {config.fusion} weighs {sorted(fusion.weights)}, but this run has {sorted(scorers)}")
    return fusion


def _check_clips(context: Context, opened: Store, excluded: bool) -> None:
    """Check that every class has training clips, and that none is of an unseen class."""
    split = context.split
    for side, indices in (("training", split.train), ("validation", split.validation)):
        context.guard.check_names(f"{side} clips", (opened.classes[i] for i in np.unique(opened.labels[indices])))
    empty = np.bincount(context.store.labels[split.train], minlength=len(context.classes)) == 0
    if empty.any():
        missing = context.classes[int(empty.argmax())]
        outside = " outside data.exclude" if excluded else ""
        raise InputError(f"store {opened.path}: class {missing!r} has no training clip in this protocol{outside}")


def _build_model(context: Context, bank: TextBank) -> Sugar:
    """The model with fresh weights and the texts of its classes."""
    config, pack, classes = context.config, context.pack, context.classes
    motion_bank, encoder = None, None
    if config.model.motion.weight > 0:
        encoder = context.fact_captions.encoder if config.model.motion.space == "claims" else None
        motion_bank = motion_sentence_bank(config, pack, classes, encoder)
    for texts in filter(None, (bank, motion_bank)):
        context.guard.check_names("knowledge texts", texts.names)
        context.guard.check_texts("knowledge texts", texts.texts)
    context.seed("model")
    model = Sugar(config=config.model, layout=context.store.layout, classes=classes, bank=bank, motion_bank=motion_bank)
    if model.motion is not None and isinstance(encoder, ClaimEncoder):
        model.motion.rarity.copy_(encoder.rarity)
    return model


def _take_over(context: Context) -> None:
    """Weights of another run, where the config names one."""
    config, record = context.config, context.record
    if config.start_from:
        record["start_from"] = take_stage_one(
            context.model,
            Path(config.start_from),
            context.guard,
            data=config.data,
            store_hash=context.store.hash,
            clips=record["clips_fingerprint"],
        )
    elif config.pretrained:
        record["pretrained"] = take_pretrained(context.model, Path(config.pretrained), context.guard)
