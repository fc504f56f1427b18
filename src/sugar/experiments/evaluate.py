"""Evaluate a run on one side of a protocol and write its report: what `sugar eval` does."""

import json
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
from sugar.knowledge.pack import load_pack
from sugar.models.prompts import read_label
from sugar.models.sugar import Sugar
from sugar.training.config import RunConfig
from sugar.training.environment import environment
from sugar.training.run import read_environment

SAMPLES = 20


def evaluate_run(
    run: Path,
    out: Path,
    *,
    store: Path | None = None,
    protocol: str | None = None,
    llm: str | None = None,
    side: Literal["test", "validation"] = "test",
    device: str | None = None,
) -> dict[str, Any]:
    """Score every clip of one side with every scorer, describe them, and write the report folder ``out``.

    Args:
        store, protocol, llm: in place of those that the run was trained with.

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
    sides = split(opened, get_protocol(name), config.data.validation)
    indices = sides.test if side == "test" else sides.validation
    if opened.classes != model.classes:
        raise InputError(f"store {opened.path}: its classes are not those that {run} was trained on")
    if not len(indices):
        raise InputError(f"{run}: its config holds out no validation clips; evaluate the test side")

    scores = score_clips(model, opened, indices, model.classes)
    probabilities = {scorer: np.exp(table) for scorer, table in scores.items()}
    probabilities["fused"] = model.fuse({k: torch.from_numpy(v) for k, v in scores.items()}).numpy()
    labels = opened.labels[indices]
    samples, said, free = _descriptions(model, opened, indices, probabilities["fused"], config.knowledge.pack)
    result = evaluate(
        probabilities,
        labels,
        model.classes,
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
    model: Sugar, store: Store, indices: npt.NDArray[np.int64], fused: npt.NDArray[np.float64], pack_name: str
) -> tuple[list[DescriptionSample], DescriptionMetrics | None, float | None]:
    """Free answers of the LLM: samples, their figures against the true class's texts, and their label accuracy."""
    if model.language is None:
        return [], None, None
    pack = load_pack(pack_name)
    texts = describe_clips(model, store, indices, model.classes, labels=None)
    truth = [model.classes[int(i)] for i in store.labels[indices]]
    references = [list(pack[name].descriptions) for name in truth]
    said = describe_metrics(texts, references, truth, model.classes)
    accuracy = float(np.mean([read_label(t, model.classes) == n for t, n in zip(texts, truth, strict=True)]))
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(len(indices), size=min(SAMPLES, len(indices)), replace=False))
    best = fused.argmax(axis=1)
    samples = [
        DescriptionSample(store.clip_ids[indices[i]], truth[i], model.classes[int(best[i])], texts[i], references[i][0])
        for i in chosen
    ]
    return samples, said, accuracy
