"""Several runs that differ in their seed alone, as mean and standard deviation."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.evaluation.report import markdown_table, read_report
from sugar.files import write_text

MEASURES = ("top1", "top5", "mean_class", "ece")
# What must agree before figures may be averaged.
SHARED_FIELDS = ("protocol", "split", "data_hash", "classes", "n")


@dataclass(frozen=True)
class Spread:
    """Mean and sample standard deviation (None for a single run) of one figure, and each run's figure."""

    mean: float
    deviation: float | None
    values: tuple[float, ...]


@dataclass(frozen=True)
class SeedSummary:
    """Each scorer's figures over the seeds; scorers are those that every report has."""

    protocol: str
    split: str
    data_hash: str
    n: int
    seeds: tuple[int | None, ...]
    scores: dict[str, dict[str, Spread]]

    def to_dict(self) -> dict[str, Any]:
        """Plain types for JSON."""
        return asdict(self)

    def to_markdown(self) -> str:
        """Scorers side by side in percent, mean and deviation."""
        rows = [[f"`{name}`", *(percent(spreads[m]) for m in MEASURES)] for name, spreads in self.scores.items()]
        return markdown_table(["scorer", "top-1 %", "top-5 %", "mean class %", "ECE %"], rows)


def aggregate_seeds(paths: Sequence[Path]) -> SeedSummary:
    """Average several report.json files (or folders that hold one), one per seed.

    Raises:
        InputError: no report; protocols, splits, data, classes or scorers that differ; a seed twice.
    """
    reports = read_alike(paths)
    first = reports[0]
    scores = {
        scorer: {m: spread([r["scores"][scorer][m] for r in reports]) for m in MEASURES} for scorer in first["scores"]
    }
    return SeedSummary(
        protocol=first["protocol"],
        split=first["split"],
        data_hash=first["data_hash"],
        n=first["n"],
        seeds=tuple(r.get("seed") for r in reports),
        scores=scores,
    )


def read_alike(paths: Sequence[Path], *, own_data: bool = False) -> list[dict[str, Any]]:
    """Reports of runs that differ in their seed alone.

    Args:
        own_data: each seed makes its own data, as the demo does, so that hashes differ.

    Raises:
        InputError: no report; protocols, splits, data, classes or scorers that differ; a seed twice.
    """
    if not paths:
        raise InputError("no reports to average: give one report.json for each seed")
    reports = [read_report(p) for p in paths]
    first = reports[0]
    for path, report in zip(paths[1:], reports[1:], strict=True):
        for name in SHARED_FIELDS:
            if report.get(name) != first.get(name) and not (own_data and name == "data_hash"):
                raise InputError(
                    f"{path}: {name} is not that of {paths[0]}: average reports of one protocol and data only"
                )
        if set(report["scores"]) != set(first["scores"]):
            raise InputError(
                f"{path}: scorers {sorted(report['scores'])} are not those of {paths[0]}: evaluate both alike"
            )
    seeds = [r.get("seed") for r in reports]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"seeds {seeds}: each report must come from a run with a seed of its own")
    return reports


def write_summary(summary: SeedSummary, folder: Path) -> None:
    """Write seeds.json and seeds.md into ``folder``."""
    folder = Path(folder)
    write_text(folder / "seeds.json", json.dumps(summary.to_dict(), indent=1, allow_nan=False) + "\n")
    write_text(folder / "seeds.md", summary.to_markdown())


def spread(values: Sequence[float]) -> Spread:
    """Of one figure over runs."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return Spread(mean=math.fsum(values) / len(values), deviation=deviation, values=tuple(values))


def percent(spread: Spread) -> str:
    """A share as it stands in tables."""
    mean = f"{100 * spread.mean:.1f}"
    return mean if spread.deviation is None else f"{mean} ± {100 * spread.deviation:.1f}"
