"""The report of one evaluation as files: report.json (every figure), report.html (a page), probabilities.npz."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from sugar.evaluation.report import EvaluationResult, report_json
from sugar.files import atomic_write, write_text
from sugar.reports.animation import Animation
from sugar.reports.report_page import render_page


def write_report(result: EvaluationResult, folder: Path, animations: Sequence[Animation] = ()) -> dict[str, Any]:
    """Write report.json, report.html and probabilities.npz; returns the content of report.json.

    The page is made from that content, and the animations, alone. ``probabilities.npz`` (labels, clip_ids, classes
    and one [N, K] table per scorer, no pickle) lets later runs be compared clip by clip.

    Args:
        animations: of the clips of the result's descriptions, in their order; they go into the page alone.
    """
    folder = Path(folder)
    report = result.to_dict()
    text = report_json(report)
    tables: dict[str, Any] = {f"score_{n}": s.probabilities.astype(np.float32) for n, s in result.scorers.items()}
    with atomic_write(folder / "probabilities.npz") as path:
        np.savez_compressed(
            path,
            labels=result.labels,
            clip_ids=np.array(result.clip_ids, dtype=np.str_),
            classes=np.array(result.classes, dtype=np.str_),
            **tables,
        )
    write_text(folder / "report.json", text + "\n")
    write_text(folder / "report.html", render_page(json.loads(text), animations))
    return report


def scores_table(report: Mapping[str, Any]) -> Table:
    """The scorers side by side, for the terminal."""
    table = Table(title=f"{report['protocol']}, {report['split']}, n = {report['n']} (%, with 95 % intervals)")
    table.add_column("scorer")
    for heading in ("top-1", "interval", "top-5", "mean class", "interval", "ECE"):
        table.add_column(heading, justify="right")
    for name, m in report["scores"].items():
        table.add_row(name, *_cells(m))
    return table


def _cells(m: Mapping[str, Any]) -> list[str]:
    def interval(pair: Sequence[float]) -> str:
        return f"{100 * pair[0]:.1f} to {100 * pair[1]:.1f}"

    return [
        f"{100 * m['top1']:.1f}",
        interval(m["top1_interval"]),
        f"{100 * m['top5']:.1f}",
        f"{100 * m['mean_class']:.1f}",
        interval(m["mean_class_interval"]),
        f"{100 * m['ece']:.1f}",
    ]
