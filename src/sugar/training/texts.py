"""The texts that a run trains on, and checks that they are complete."""

import json
from pathlib import Path

from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.knowledge.bank import TextBank, build_bank
from sugar.knowledge.embed import EmbeddingCache, TextEncoder, load_text_encoder
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack
from sugar.training.config import KnowledgeConfig, RunConfig


def check_descriptions(config: RunConfig, pack: KnowledgePack, classes: list[str]) -> None:
    """Refuse a pack that leaves stage 2 without words.

    Raises:
        InputError: a class has no description.
    """
    if missing := [name for name in classes if not pack[name].descriptions]:
        raise InputError(
            f"knowledge pack {config.knowledge.pack}: no descriptions of class {missing[0]!r} "
            f"({len(missing)} missing), "
            'which stage 2 learns to say; add them, or train without it: --stages \'["alignment","baseline"]\''
        )


def knowledge_bank(config: RunConfig, pack: KnowledgePack, classes: list[str]) -> TextBank:
    """The texts that supervise stage 1.

    Raises:
        InputError: the pack lacks a class of the store.
    """
    missing = [name for name in classes if name not in pack]
    if missing:
        raise InputError(
            f"knowledge pack {config.knowledge.pack}: no texts of class {missing[0]!r} ({len(missing)} missing); "
            "add them or give the pack of this data set"
        )
    encoder = load_text_encoder(config.model.text_encoder)
    kinds = config.knowledge.kinds or ("name",)
    return build_bank(pack, classes, encoder, kinds, EmbeddingCache())


def motion_sentence_bank(
    config: RunConfig, pack: KnowledgePack, classes: list[str], encoder: TextEncoder | None
) -> TextBank:
    """The motion sentences of the training classes; ``encoder`` None: by the text encoder.

    Raises:
        InputError: a class has none.
    """
    missing = [name for name in classes if not pack[name].motion_sentences]
    if missing:
        raise InputError(
            f"knowledge pack {config.knowledge.pack}: no motion_sentences of class {missing[0]!r} "
            f"({len(missing)} missing); add them, or train without the motion head: model.motion.weight 0"
        )
    if encoder is not None:
        return build_bank(pack, classes, encoder, ("motion_sentence",))
    encoder = load_text_encoder(config.model.text_encoder)
    return build_bank(pack, classes, encoder, ("motion_sentence",), EmbeddingCache())


def read_clip_descriptions(config: KnowledgeConfig, store: Store) -> dict[int, str]:
    """Descriptions of single clips by position in the store; none where none are named.

    Raises:
        InputError: the file is missing or damaged, or none of its clips is in the store.
    """
    if not config.clip_descriptions:
        return {}
    path = Path(config.clip_descriptions)
    position = {clip_id: i for i, clip_id in enumerate(store.clip_ids)}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts = {row["clip_id"]: str(row["text"]).strip() for row in rows}
    except OSError as error:
        raise InputError(f"knowledge.clip_descriptions {path}: cannot be read ({error.strerror})") from None
    except (ValueError, KeyError, TypeError):
        raise InputError(
            f"knowledge.clip_descriptions {path}: each line must be a JSON object with clip_id and text; "
            "give the file that `sugar knowledge build` wrote"
        ) from None
    found = {position[clip_id]: text for clip_id, text in texts.items() if clip_id in position and text}
    if not found:
        raise InputError(f"knowledge.clip_descriptions {path}: describes no clip of store {store.path}")
    return found


def training_descriptions(entry: ClassKnowledge, held_out: int) -> tuple[str, ...]:
    """The descriptions that the LLM learns from: all but the last ``held_out``, and at least one."""
    return entry.descriptions[: max(1, len(entry.descriptions) - held_out)]


def reference_descriptions(entry: ClassKnowledge, held_out: int) -> tuple[str, ...]:
    """The others; all where none is held out."""
    return entry.descriptions[max(1, len(entry.descriptions) - held_out) :] or entry.descriptions
