"""The table of zero-shot reports: `python benchmarks/zero_shot.py REPORT [REPORT ...]` (folders of `sugar eval`).

Reports of one protocol and run recipe that differ in their seed are averaged.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

SCORERS = ("fc", "text", "motion", "llm", "fused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reports", type=Path, nargs="+")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    groups: dict[tuple[str, int, int], list[dict[str, Any]]] = {}
    for folder in given.reports:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        groups.setdefault((report["protocol"], report["n"], len(report["classes"])), []).append(report)
    rows = [row(reports) for reports in groups.values()]
    if given.json:
        print(json.dumps(rows))
        return
    print(
        "| protocol | clips | seeds | chance | " + " | ".join(f"`{name}`" for name in SCORERS) + " | top-5 | harmonic |"
    )
    print("| --- |" + " ---: |" * (5 + len(SCORERS)))
    for each in rows:
        top1 = [shown(each["top1"].get(name)) for name in SCORERS]
        cells = [each["protocol"], each["n"], each["seeds"], f"{100 * each['chance']:.1f}", *top1]
        print("| " + " | ".join(map(str, [*cells, shown(each["top5"]), shown(each["harmonic"])])) + " |")


def row(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and deviation over seeds."""
    sections = [report["zero_shot"] for report in reports]
    names = [name for name in SCORERS if all(name in section["scores"] for section in sections)]
    fused = [section["scores"]["fused"] for section in sections]
    return {
        "protocol": reports[0]["protocol"],
        "n": reports[0]["n"],
        "seeds": len(reports),
        "chance": sections[0]["chance"],
        "left_out": sections[0].get("left_out", []),
        "top1": {name: spread([section["scores"][name]["top1"] for section in sections]) for name in names},
        "top5": spread([each["top5"] for each in fused]),
        "harmonic": spread([each["generalised"]["harmonic"] for each in fused if "generalised" in each]),
    }


def spread(values: list[float]) -> list[float] | None:
    return [float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0] if values else None


def shown(value: list[float] | None) -> str:
    if value is None:
        return ""
    return f"{100 * value[0]:.1f}" + (f" ± {100 * value[1]:.1f}" if value[1] else "")


if __name__ == "__main__":
    main()
