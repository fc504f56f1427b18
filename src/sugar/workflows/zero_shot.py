"""Which clips and candidates an evaluation is of where some actions were never trained, and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from sugar.datasets.protocols.class_overlap import overlapping
from sugar.datasets.protocols.protocols import Protocol, Split, ValidationConfig, split
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.evaluation.features import stage_one_features
from sugar.evaluation.metrics import compute_metrics
from sugar.evaluation.score_clips import score_clips
from sugar.evaluation.transductive import spread_labels
from sugar.evaluation.zero_shot import generalized_accuracy
from sugar.knowledge.pack import KnowledgePack
from sugar.models.scorers.scorers import fuse
from sugar.models.sugar import Sugar

Side = Literal["test", "validation"]
Classes = Literal["protocol", "new"]
Tables = Mapping[str, npt.NDArray[np.float64]]
TRANSDUCTIVE = "fused, transductive"


@dataclass(frozen=True, eq=False)
class Evaluated:
    """Clips of a store and the classes to choose from.

    Args:
        store: with the candidates as its classes.
        indices: the clips, all of them labeled.
        trained: ``[K]`` bool, candidates that the model was trained on.
        excluded: names of the store that mean an action of the model's, each with that action.
    """

    store: Store
    indices: npt.NDArray[np.int64]
    trained: npt.NDArray[np.bool_]
    excluded: Mapping[str, str] = field(default_factory=dict)

    @property
    def labels(self) -> npt.NDArray[np.int64]:
        return self.store.labels[self.indices]


def clips_to_evaluate(
    model: Sugar, store: Store, protocol: Protocol, sides: Split, side: Side, classes: Classes
) -> Evaluated:
    """One side of a protocol: its unseen classes where it has any and is not generalized, else all that take part.

    Args:
        sides: the store as the protocol divides it.
        classes: ``new``: only those that mean no action the model was trained on (`overlapping`), for another data set.

    Raises:
        InputError: there is no such clip or class.
    """
    indices = sides.test if side == "test" else sides.validation
    if not len(indices):
        raise InputError(f"store {store.path}: the run's config holds out no validation clips; evaluate the test side")
    names = sides.seen
    if sides.unseen and side == "test":
        names = sides.seen + sides.unseen if protocol.generalized else sides.unseen
    excluded = overlapping(names, model.classes) if classes == "new" else {}
    names = tuple(name for name in names if name not in excluded)
    if not names:
        raise InputError(f"store {store.path}: the run knows all its actions, so none is new; leave out --classes new")
    view = store.view(classes=names)
    indices = indices[view.labels[indices] >= 0]
    trained = np.array([name in model.classes for name in names])
    return Evaluated(view, indices, trained, excluded)


def zero_shot_figures(
    model: Sugar,
    evaluated: Evaluated,
    probabilities: Tables,
    store: Store,
    protocol: Protocol,
    knowledge: KnowledgePack,
    *,
    transductive: bool = False,
) -> dict[str, Any] | None:
    """The report's section on actions that were never trained; None where all were.

    Beside the unseen classes alone there is, for a zero-shot protocol, the generalized figure: all classes of the
    test side in one list.

    Args:
        probabilities: ``[N, K]`` by scorer of the evaluated clips.
        transductive: `fused` also after the clips have been looked at together (`sugar.evaluation.transductive`).
    """
    if transductive and evaluated.trained.any():
        raise InputError(
            "--transductive: some candidates were trained; evaluate a protocol's unseen classes, or use --classes new"
        )
    if evaluated.trained.all():
        return None
    count = len(evaluated.trained)
    scores: dict[str, dict[str, Any]] = {}
    if not evaluated.trained.any():
        tables = dict(probabilities)
        if transductive:
            features = stage_one_features(model, evaluated.store, evaluated.indices)
            tables[TRANSDUCTIVE] = spread_labels(tables["fused"], features)
        for scorer, table in tables.items():
            found = compute_metrics(table, evaluated.labels)
            scores[scorer] = {"top1": found.top1, "top1_interval": list(found.top1_interval), "top5": found.top5}
    generalized = _generalized(model, evaluated, probabilities, store, protocol, knowledge)
    for scorer, figures in generalized.items():
        scores.setdefault(scorer, {})["generalized"] = figures
    facts = {"candidates": count, "never_trained": int((~evaluated.trained).sum()), "chance": 1 / count}
    return facts | ({"excluded": sorted(evaluated.excluded)} if evaluated.excluded else {}) | {"scores": scores}


def _generalized(
    model: Sugar,
    evaluated: Evaluated,
    probabilities: Tables,
    store: Store,
    protocol: Protocol,
    knowledge: KnowledgePack,
) -> dict[str, dict[str, float]]:
    if evaluated.trained.any():
        tables, labels, trained = dict(probabilities), evaluated.labels, evaluated.trained
    elif protocol.unseen and (protocol.column or protocol.train_clips) and set(model.classes) <= set(store.classes):
        whole = replace(protocol, generalized=True)
        sides = split(store, whole, ValidationConfig(by="none"))
        both = clips_to_evaluate(model, store, whole, sides, "test", "protocol")
        tables, labels, trained = score_and_fuse(model, both, knowledge), both.labels, both.trained
    else:
        return {}
    return {
        scorer: generalized_accuracy(np.log(np.maximum(table, 1e-30)), labels, trained).to_dict()
        for scorer, table in tables.items()
    }


def score_and_fuse(model: Sugar, evaluated: Evaluated, knowledge: KnowledgePack) -> dict[str, npt.NDArray[np.float64]]:
    """Probabilities ``[N, K]`` of every scorer and of `fused`."""
    candidates = model.candidates(evaluated.store.classes, knowledge)
    scores = score_clips(model, evaluated.store, evaluated.indices, candidates)
    tables = {scorer: np.exp(table) for scorer, table in scores.items()}
    fused = fuse(model, {name: torch.from_numpy(table) for name, table in scores.items()}, candidates)
    return tables | {"fused": fused.numpy()}
