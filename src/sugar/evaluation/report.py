"""The figures of one evaluation: what report.json holds."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sugar.errors import InputError
from sugar.evaluation.confusion import ClassTexts, worst_pairs
from sugar.evaluation.descriptions import DescriptionMetrics
from sugar.evaluation.metrics import (
    Metrics,
    ReliabilityBin,
    check_labels,
    check_probabilities,
    class_accuracy,
    compare_paired,
    compute_metrics,
    confusion_matrix,
    ranks,
    reliability,
    wilson_interval,
)

FORMAT_VERSION = 1


@dataclass(frozen=True)
class DescriptionSample:
    """One clip and what the LLM said of it, if anything."""

    clip_id: str
    label: str
    predicted: str
    text: str
    reference: str = ""
    claims: Sequence[Mapping[str, Any]] = ()
    """Checkable claims of the text: ``text`` and whether the joints bear it out, ``holds`` (None: cannot tell)."""
    index: int | None = None
    """Position of the clip among those that were evaluated."""
    chosen: Literal["any", "wrong", ""] = ""
    """Drawn from all clips, or from those that the first scorer of interest has wrong."""


@dataclass(frozen=True, eq=False)
class ScorerResult:
    """One scorer: its probabilities [N, K] and all that follows from them and the labels."""

    probabilities: NDArray[np.float64]
    metrics: Metrics
    confusion: NDArray[np.int64]
    reliability: list[ReliabilityBin]


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """All of one evaluation, scorers in the order in which they are shown; make it with `evaluate`."""

    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    clip_ids: tuple[str, ...]
    scorers: Mapping[str, ScorerResult]
    protocol: str
    split: str
    data_hash: str
    seed: int | None
    run: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    fusion: Mapping[str, Any] | None = None
    descriptions: Sequence[DescriptionSample] = ()
    description_metrics: DescriptionMetrics | None = None
    faithfulness_interval: tuple[float, float] | None = None
    texts: ClassTexts | None = None
    representation: Mapping[str, Any] | None = None
    zero_shot: Mapping[str, Any] | None = None

    def scores(self) -> dict[str, Any]:
        """What ``sugar eval --json`` prints: ``{"n": N, "scores": {scorer: metrics}}``."""
        return {"n": len(self.labels), "scores": {n: s.metrics.to_dict() for n, s in self.scorers.items()}}

    def to_dict(self) -> dict[str, Any]:
        """The content of report.json."""
        names = list(self.scorers)
        reference = "fused" if "fused" in names else names[0]
        return {
            "format_version": FORMAT_VERSION,
            **self.scores(),
            "protocol": self.protocol,
            "split": self.split,
            "data_hash": self.data_hash,
            "seed": self.seed,
            "classes": list(self.classes),
            "class_counts": np.bincount(self.labels, minlength=len(self.classes)).tolist(),
            "details": {n: _details(s, self.classes, self.texts) for n, s in self.scorers.items()},
            "comparisons": [
                {
                    "a": reference,
                    "b": n,
                    **compare_paired(
                        self.scorers[reference].probabilities, self.scorers[n].probabilities, self.labels
                    ).to_dict(),
                }
                for n in names
                if n != reference
            ],
            "fusion": dict(self.fusion) if self.fusion is not None else None,
            "description_metrics": _description_figures(self.description_metrics, self.faithfulness_interval),
            "descriptions": [asdict(d) for d in self.descriptions],
            "run": dict(self.run),
            "environment": dict(self.environment),
            "representation": dict(self.representation) if self.representation else None,
            "zero_shot": dict(self.zero_shot) if self.zero_shot else None,
            "predictions": _predictions(self),
        }


def evaluate(
    probabilities: Mapping[str, ArrayLike],
    labels: ArrayLike,
    classes: Sequence[str],
    *,
    protocol: str,
    split: str,
    data_hash: str,
    seed: int | None = None,
    clip_ids: Sequence[str] | None = None,
    run: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    fusion: Mapping[str, Any] | None = None,
    descriptions: Sequence[DescriptionSample] = (),
    description_metrics: DescriptionMetrics | None = None,
    faithfulness_interval: tuple[float, float] | None = None,
    texts: ClassTexts | None = None,
    representation: Mapping[str, Any] | None = None,
    zero_shot: Mapping[str, Any] | None = None,
) -> EvaluationResult:
    """Measure scorers side by side on the same clips.

    Args:
        probabilities: [N, K] by scorer (``text``, ``llm``, ``fused``, ``fc``, ...).
        labels: [N] class indices.
        classes: K names.
        seed: of the training run; `sugar.workflows.aggregate` tells reports apart by it.
        run: what was evaluated (folder, config, LLM and its hashes); shown as it is, must fit into JSON.
        environment: versions and hardware, likewise.
        fusion: weights and temperatures, as `Fusion.to_json` has them.
        faithfulness_interval: of the descriptions' ``faithfulness``.
        texts: by which the worst pairs are explained.
        representation: what `sugar.evaluation.embedding_map.representation` made.
        zero_shot: figures of classes that never trained: ``scores`` by scorer, nested shares and intervals, and any
            facts beside them (``candidates``, ``chance``, ...).

    Raises:
        InputError: no scorer, sizes that do not fit, or what `compute_metrics` refuses.
    """
    if not probabilities:
        raise InputError("no scorer to evaluate: give probabilities of at least one")
    results: dict[str, ScorerResult] = {}
    truth = np.asarray(labels)
    for name, values in probabilities.items():
        try:
            array = check_probabilities(values)
            truth = check_labels(labels, *array.shape)
        except InputError as error:
            raise InputError(f"scorer {name!r}: {error}") from error
        if array.shape[1] != len(classes):
            raise InputError(f"scorer {name!r} has {array.shape[1]} classes but {len(classes)} names: list each once")
        results[name] = ScorerResult(
            probabilities=array,
            metrics=compute_metrics(array, truth),
            confusion=confusion_matrix(array.argmax(axis=1), truth, len(classes)),
            reliability=reliability(array, truth),
        )
    ids = tuple(clip_ids) if clip_ids is not None else tuple(str(i) for i in range(len(truth)))
    if len(ids) != len(truth):
        raise InputError(f"{len(ids)} clip ids for {len(truth)} clips: give one each")
    return EvaluationResult(
        classes=tuple(classes),
        labels=truth,
        clip_ids=ids,
        scorers=results,
        protocol=protocol,
        split=split,
        data_hash=data_hash,
        seed=seed,
        run=run or {},
        environment=environment or {},
        fusion=fusion,
        descriptions=descriptions,
        description_metrics=description_metrics,
        faithfulness_interval=faithfulness_interval,
        texts=texts,
        representation=representation,
        zero_shot=zero_shot,
    )


def report_json(report: Mapping[str, Any]) -> str:
    """Indented, but lists of numbers on one line each."""
    text = json.dumps(report, indent=1, allow_nan=False, ensure_ascii=False)
    # A bracket before a line break is never inside a string, where breaks are escaped.
    return re.sub(r"\[\n([^\[\]{}\"]*)\]", lambda found: "[" + " ".join(found[1].split()) + "]", text)


def read_report(path: Path) -> dict[str, Any]:
    """Content of a report.json (or of the folder that holds one).

    Raises:
        InputError: no such file, not a report, or from a newer version.
    """
    path = Path(path)
    path = path / "report.json" if path.is_dir() else path
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such report: run `sugar eval` first") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not JSON ({error}): run `sugar eval` again") from error
    if not isinstance(report, dict) or not {"format_version", "scores", "protocol", "split"} <= report.keys():
        raise InputError(f"{path}: not a report of `sugar eval`: give its report.json")
    if report["format_version"] > FORMAT_VERSION:
        raise InputError(
            f"{path}: report format {report['format_version']} is newer than {FORMAT_VERSION}, "
            "the newest this version reads: upgrade sugar"
        )
    return report


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, first column to the left and the others to the right; pipes in cells are escaped."""

    def line(cells: Sequence[object]) -> str:
        return "| " + " | ".join(str(c).replace("|", r"\|").replace("\n", " ") for c in cells) + " |"

    rule = ["---", *["---:"] * (len(headings) - 1)]
    return "\n".join([line(headings), line(rule), *(line(r) for r in rows)]) + "\n"


def _details(scorer: ScorerResult, classes: Sequence[str], texts: ClassTexts | None) -> dict[str, Any]:
    recall, counts = class_accuracy(scorer.confusion), scorer.confusion.sum(axis=1)
    return {
        "class_accuracy": [None if np.isnan(r) else float(r) for r in recall],
        "class_intervals": [
            list(wilson_interval(int(right), int(n))) if n else None
            for right, n in zip(np.diag(scorer.confusion), counts, strict=True)
        ],
        "confusion": scorer.confusion.tolist(),
        "worst_pairs": worst_pairs(scorer.confusion, classes, texts),
        "reliability": [asdict(b) for b in scorer.reliability],
    }


def _predictions(result: EvaluationResult) -> dict[str, Any]:
    """What each scorer made of each clip; classes by their place in ``classes``, ranks from 0, the best."""
    rows = np.arange(len(result.labels))

    def rounded(shares: NDArray[np.float64]) -> list[float]:
        return [float(f"{share:.6g}") for share in shares]

    return {
        "clip_ids": list(result.clip_ids),
        "labels": result.labels.tolist(),
        "scorers": {
            name: {
                "top": scorer.probabilities.argmax(axis=1).tolist(),
                "p_top": rounded(scorer.probabilities.max(axis=1)),
                "p_true": rounded(scorer.probabilities[rows, result.labels]),
                "rank": ranks(scorer.probabilities, result.labels).tolist(),
            }
            for name, scorer in result.scorers.items()
        },
    }


def _description_figures(
    metrics: DescriptionMetrics | None, faithfulness: tuple[float, float] | None
) -> dict[str, Any] | None:
    """The figures with Wilson intervals of those that are shares of texts."""
    if metrics is None:
        return None
    shares = {
        "label_first": metrics.label_first,
        "label_named": metrics.label_named,
        "claiming": metrics.claiming,
    }
    intervals = {
        f"{name}_interval": list(wilson_interval(round(share * metrics.n), metrics.n)) for name, share in shares.items()
    }
    if faithfulness is not None:
        intervals["faithfulness_interval"] = list(faithfulness)
    return {**metrics.to_dict(), **intervals}
