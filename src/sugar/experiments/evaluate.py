"""Evaluate a run on one side of a protocol and write its report: what `sugar eval` does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sugar.config import parse_config, read_yaml
from sugar.datasets.protocols import get_protocol, split
from sugar.datasets.store import Store
from sugar.errors import InputError
from sugar.evaluation.describe import DescriptionMetrics, describe_metrics
from sugar.evaluation.recognize import describe_clips, score_clips
from sugar.evaluation.report import DescriptionSample, evaluate, write_report
from sugar.knowledge.faithfulness import check_claims
from sugar.knowledge.kinematics import measure
from sugar.knowledge.pack import load_pack
from sugar.models.prompts import read_label
from sugar.models.sugar import Sugar
from sugar.training.config import RunConfig
from sugar.training.environment import environment
from sugar.training.run import read_environment, reference_descriptions

SAMPLES = 20


def evaluate_run(
    run: Path,
    out: Path,
    *,
    store: Path | None = None,
    protocol: str | None = None,
    llm: str | None = None,
    pack: str | None = None,
    side: Literal["test", "validation"] = "test",
    device: str | None = None,
) -> dict[str, Any]:
    """Score every clip of one side with every scorer, describe them, and write the report folder ``out``.

    Args:
        store, protocol, llm, pack: in place of those that the run was trained with. The classes of another store
            may all be new to the run: it then recognises them by name and the texts that ``pack`` has of them.

    Returns:
        the content of report.json.

    Raises:
        InputError: no such run, store or protocol, or classes that differ from the run's.
    """
    config, _ = parse_config(RunConfig, read_yaml(run / "config.yaml"), where=str(run / "config.yaml"))
    trained = read_environment(run)
    model = Sugar.load(run, llm=llm).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    opened = Store.open(store or config.data.store)
    name = protocol or config.data.protocol
    asked = get_protocol(name)
    sides = split(opened, asked, config.data.validation)
    indices = sides.test if side == "test" else sides.validation
    if sides.unseen and side == "test":  # zero-shot: the new classes, or all
        opened = opened.view(classes=sides.seen + sides.unseen if asked.generalised else sides.unseen)
    else:
        opened = opened.view(classes=sides.seen)
    unseen = not set(opened.classes) & set(model.classes)
    if not unseen and (mixed := sorted(set(opened.classes) - set(model.classes))):
        raise InputError(
            f"store {opened.path}: {run} was trained on some of its classes but not on {mixed[0]!r}; "
            "evaluate a store whose classes were all trained, or none of them"
        )
    if not len(indices):
        raise InputError(f"{run}: its config holds out no validation clips; evaluate the test side")

    knowledge = load_pack(pack or config.knowledge.pack)
    candidates = model.candidates(opened.classes, knowledge)
    scores = score_clips(model, opened, indices, candidates)
    probabilities = {scorer: np.exp(table) for scorer, table in scores.items()}
    probabilities["fused"] = model.fuse({k: torch.from_numpy(v) for k, v in scores.items()}, candidates).numpy()
    labels = opened.labels[indices]
    references = {
        name: reference_descriptions(knowledge[name], 0 if unseen else config.instruct.held_out_descriptions)
        for name in candidates.names
        if name in knowledge
    }
    samples, said, free = _descriptions(model, opened, indices, probabilities["fused"], references)
    result = evaluate(
        probabilities,
        labels,
        candidates.names,
        protocol=name,
        split=side,
        data_hash=opened.hash,
        seed=config.seed,
        clip_ids=[opened.clip_ids[i] for i in indices],
        run={"folder": run.name, "trained": trained, "free_generation_top1": free},
        environment=environment(seed=config.seed, store_hash=opened.hash),
        fusion=None if model.fusion is None else json.loads(model.fusion.to_json()),
        descriptions=samples,
        description_metrics=said,
    )
    return write_report(result, out)


def _descriptions(
    model: Sugar,
    store: Store,
    indices: npt.NDArray[np.int64],
    fused: npt.NDArray[np.float64],
    references: Mapping[str, Sequence[str]],
) -> tuple[list[DescriptionSample], DescriptionMetrics | None, float | None]:
    """Free answers of the LLM: samples, their figures against texts of the true class, and their label accuracy."""
    names = store.classes
    missing = next((name for name in names if name not in references), None)
    if model.language is None or missing is not None:
        return [], None, None
    texts = describe_clips(model, store, indices, names, labels=None)
    claims = [check_claims(text, measure(store[int(i)])) for text, i in zip(texts, indices, strict=True)]
    truth = [names[int(i)] for i in store.labels[indices]]
    said = describe_metrics(texts, [list(references[name]) for name in truth], truth, names, claims)
    accuracy = float(np.mean([read_label(t, names) == n for t, n in zip(texts, truth, strict=True)]))
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(indices), size=min(SAMPLES, len(indices)), replace=False))
    best = fused.argmax(axis=1)
    samples = [
        DescriptionSample(
            store.clip_ids[indices[i]],
            truth[i],
            names[int(best[i])],
            texts[i],
            references[truth[i]][0],
            [asdict(claim) for claim in claims[i]],
        )
        for i in chosen
    ]
    return samples, said, accuracy
