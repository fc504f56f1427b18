"""Evaluate a run on one side of a protocol and write its report: what `sugar eval` does."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sugar.config import parse_config, read_yaml
from sugar.datasets.protocols.protocols import Split, get_protocol, split
from sugar.datasets.store.store import Store
from sugar.evaluation.confusion import class_texts
from sugar.evaluation.descriptions import DescriptionMetrics, describe_metrics
from sugar.evaluation.embedding_map import representation, stratified_sample
from sugar.evaluation.features import STAGE_ONE, feature_spaces
from sugar.evaluation.metrics import NUM_RESAMPLES, wilson_interval
from sugar.evaluation.report import DescriptionSample, evaluate
from sugar.evaluation.score_clips import describe_clips
from sugar.facts.description_check import CheckedClaim, check_claims
from sugar.facts.measure import measure
from sugar.files import check_folder
from sugar.knowledge.pack import load_pack
from sugar.models.candidates import Candidates
from sugar.models.llm.prompts import read_label
from sugar.models.run_folder import load_model
from sugar.models.sugar import Sugar
from sugar.reports.animation import animate
from sugar.reports.report_files import write_report
from sugar.training.config import DataConfig, RunConfig
from sugar.training.environment import environment, read_environment
from sugar.training.prepare_split import prepare_split
from sugar.training.texts import reference_descriptions
from sugar.workflows.zero_shot import Classes, Evaluated, Side, clips_to_evaluate, score_and_fuse, zero_shot_figures

SAMPLES = 8
WRONG_SAMPLES = 4
"""Further samples drawn from the clips that `fused` has wrong."""


def evaluate_run(
    run: Path,
    out: Path,
    *,
    store: Path | None = None,
    protocol: str | None = None,
    llm: str | None = None,
    pack: str | None = None,
    side: Side = "test",
    classes: Classes = "protocol",
    describe: bool = True,
    transductive: bool = False,
    device: str | None = None,
) -> dict[str, Any]:
    """Score every clip of one side with every scorer, describe them, and write the report folder ``out``.

    Args:
        store, protocol, llm, pack: in place of those that the run was trained with. Actions that are new to the run
            are recognized by name and the texts that ``pack`` has of them.
        classes: ``new``: only actions of the store that mean none of the run's (`clips_to_evaluate`).
        transductive: unseen actions also with all their clips looked at together; a figure of its own in the report.
        describe: off: without descriptions and maps, for tables of many runs.

    Returns:
        the content of report.json.

    Raises:
        InputError: no such run, store or protocol, classes that differ from the run's, or no place for ``out``.
    """
    check_folder(out)
    config, _ = parse_config(RunConfig, read_yaml(run / "config.yaml"), where=str(run / "config.yaml"))
    trained = read_environment(run)
    model = load_model(run, llm=llm).to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    opened = Store.open(store or config.data.store)
    name = protocol or config.data.protocol
    asked = get_protocol(name)
    own = name == config.data.protocol and (store is None or opened.hash == trained.get("store_hash"))
    sides = _sides(opened, replace(config.data, store=str(opened.path), protocol=name), side, own=own)
    evaluated = clips_to_evaluate(model, opened, asked, sides, side, classes)
    whole, opened, indices, labels = opened, evaluated.store, evaluated.indices, evaluated.labels
    knowledge = load_pack(pack or config.knowledge.pack)
    candidates = model.candidates(opened.classes, knowledge)
    probabilities = score_and_fuse(model, evaluated, knowledge)
    # Of a class that the LLM did not learn to describe every description is a reference.
    learned = candidates.names if config.instruction.text_only.unseen else model.classes
    references = {
        name: reference_descriptions(
            knowledge[name], config.instruction.held_out_descriptions if name in learned else 0
        )
        for name in candidates.names
        if name in knowledge
    }
    spoken = _describe(model, evaluated, candidates, probabilities["fused"], references) if describe else None
    samples = _samples(opened, indices, probabilities["fused"], spoken, references)
    result = evaluate(
        probabilities,
        labels,
        candidates.names,
        protocol=name,
        split=side,
        data_hash=opened.hash,
        seed=config.seed,
        clip_ids=[opened.clip_ids[i] for i in indices],
        run={
            "folder": run.name,
            "trained": trained,
            "free_generation_top1": spoken.accuracy if spoken else None,
            "free_generation_agrees": spoken.agreement if spoken else None,
            "free_generation_agrees_interval": list(spoken.agreement_interval) if spoken else None,
        },
        environment=environment(seed=config.seed, store_hash=opened.hash),
        fusion=None if model.fusion is None else json.loads(model.fusion.to_json()),
        descriptions=samples,
        description_metrics=spoken.metrics if spoken else None,
        faithfulness_interval=spoken.faithfulness_interval if spoken else None,
        texts=class_texts(knowledge, candidates.names, _similarity(candidates)),
        representation=_maps(model, evaluated, config.seed) if describe else None,
        zero_shot=zero_shot_figures(
            model, evaluated, probabilities, whole, asked, knowledge, transductive=transductive
        ),
    )
    animations = [animate(opened[int(indices[sample.index])]) for sample in samples if sample.index is not None]
    return write_report(result, out, animations)


def _sides(store: Store, data: DataConfig, side: Side, *, own: bool) -> Split:
    """The store as its protocol divides it.

    Args:
        own: store and protocol are the run's. What validates is then what the run held out: under fixed labels it
            drew other clips, and of the rest some trained. They are judged by the store's labels, like all.
    """
    if own and side == "validation":
        return prepare_split(data).split
    return split(store, get_protocol(data.protocol), data.validation)


def _maps(model: Sugar, evaluated: Evaluated, seed: int) -> dict[str, Any] | None:
    """Features before and after the knowledge, of clips of all classes alike."""
    labels = evaluated.labels
    shown = stratified_sample(labels)
    spaces = feature_spaces(model, evaluated.store, evaluated.indices[shown], seed=seed)
    return representation(spaces, labels[shown], reference=STAGE_ONE, clips=shown.tolist(), of=len(labels), seed=seed)


@dataclass(frozen=True)
class _Spoken:
    """Free answers of the LLM, one a clip: claims checked, figures against texts of the true class.

    ``accuracy`` is the share of answers that begin with the true name, ``agreement`` with the recognized one.
    """

    texts: list[str]
    claims: list[list[CheckedClaim]]
    metrics: DescriptionMetrics
    accuracy: float
    agreement: float
    agreement_interval: tuple[float, float]
    faithfulness_interval: tuple[float, float] | None


def _describe(
    model: Sugar,
    evaluated: Evaluated,
    candidates: Candidates,
    fused: npt.NDArray[np.float64],
    references: Mapping[str, Sequence[str]],
) -> _Spoken | None:
    """None without an LLM, or where a class has no reference."""
    store, indices, names = evaluated.store, evaluated.indices, candidates.names
    if model.language is None or not set(names) <= set(references):
        return None
    texts = describe_clips(model, store, indices, candidates, labels=None)
    claims = [check_claims(text, measure(store[int(i)])) for text, i in zip(texts, indices, strict=True)]
    truth = [names[int(i)] for i in store.labels[indices]]
    said = [read_label(text, names) for text in texts]
    agreed = [answer == names[int(k)] for answer, k in zip(said, fused.argmax(axis=1), strict=True)]
    return _Spoken(
        texts,
        claims,
        metrics=describe_metrics(texts, [list(references[name]) for name in truth], truth, names, claims),
        accuracy=float(np.mean([a == b for a, b in zip(said, truth, strict=True)])),
        agreement=float(np.mean(agreed)),
        agreement_interval=wilson_interval(sum(agreed), len(agreed)),
        faithfulness_interval=_faithfulness_interval(claims),
    )


def _faithfulness_interval(claims: Sequence[Sequence[CheckedClaim]]) -> tuple[float, float] | None:
    """95 % percentile bootstrap over answers, whose claims stand and fall together; None where none is decided."""
    true = np.array([sum(claim.holds is True for claim in said) for said in claims])
    decided = np.array([sum(claim.holds is not None for claim in said) for said in claims])
    if not decided.any():
        return None
    draws = np.random.default_rng(0).multinomial(len(claims), np.full(len(claims), 1 / len(claims)), NUM_RESAMPLES)
    totals = draws @ decided
    low, high = np.quantile((draws @ true)[totals > 0] / totals[totals > 0], [0.025, 0.975])
    return float(low), float(high)


def _samples(
    store: Store,
    indices: npt.NDArray[np.int64],
    fused: npt.NDArray[np.float64],
    spoken: _Spoken | None,
    references: Mapping[str, Sequence[str]],
) -> list[DescriptionSample]:
    """Clips drawn from all, and then some from those that are wrong; always the same, never by how they look."""
    rng = np.random.default_rng(0)
    labels, best = store.labels[indices], fused.argmax(axis=1)
    drawn = np.sort(rng.choice(len(indices), size=min(SAMPLES, len(indices)), replace=False))
    wrong = np.setdiff1d(np.flatnonzero(best != labels), drawn)
    wrong = np.sort(rng.choice(wrong, size=min(WRONG_SAMPLES, len(wrong)), replace=False))

    def sample(i: int, chosen: Literal["any", "wrong"]) -> DescriptionSample:
        name = store.classes[int(labels[i])]
        return DescriptionSample(
            clip_id=store.clip_ids[indices[i]],
            label=name,
            predicted=store.classes[int(best[i])],
            text=spoken.texts[i] if spoken else "",
            reference=references[name][0] if spoken else "",
            claims=[asdict(claim) for claim in spoken.claims[i]] if spoken else [],
            index=i,
            chosen=chosen,
        )

    return [sample(int(i), "any") for i in drawn] + [sample(int(i), "wrong") for i in wrong]


def _similarity(candidates: Candidates) -> dict[str, npt.NDArray[np.float32]]:
    """``[K, K]`` cosines of the candidates' mean texts, by kind."""
    banks = {"texts": candidates.texts, "motion sentences": candidates.motion}
    means = {kind: bank.prototypes().cpu().numpy() for kind, bank in banks.items() if bank is not None}
    return {kind: table @ table.T for kind, table in means.items()}
