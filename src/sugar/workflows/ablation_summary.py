"""What the reports of an ablation say together: means, deviations and paired differences to the reference row."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sugar.errors import InputError
from sugar.evaluation.compare import ClipTable, check_same_clips, differences, read_clips
from sugar.evaluation.report import markdown_table
from sugar.workflows.ablation_table import AblationTable, folder_name
from sugar.workflows.aggregate import MEASURES, Spread, percent, spread

FORMAT_VERSION = 1
RECORD_FILE = "record.json"
"""Beside a report: what it took to make it. Written last, so that a report with it is whole."""
DESCRIPTION_MEASURES = ("label_first", "faithfulness", "chrf", "rouge_l")


def summarize(
    table: AblationTable,
    done: Mapping[str, Mapping[int, Path]],
    *,
    seeds: Sequence[int],
    short: bool,
    failures: Mapping[str, str],
) -> dict[str, Any]:
    """The content of table.json.

    Args:
        done: folders of finished reports by row and seed.
        seeds: that the table is to have.
        failures: lines of runs that did not end, by name.

    Raises:
        InputError: a report is damaged.
    """
    clips = {row: {seed: read_clips(path) for seed, path in by_seed.items()} for row, by_seed in done.items()}
    reports = [found.report for by_seed in clips.values() for found in by_seed.values()]
    reference = clips[table.reference]
    value_of = dict(zip(table.rows, table.values, strict=True)) if table.varied else {}
    return {
        "format_version": FORMAT_VERSION,
        "table": table.path.name,
        "title": table.title,
        "note": table.note,
        "short": short,
        "reference": table.reference,
        "seeds": list(seeds),
        "scores": list(table.scores),
        "varied": table.varied,
        "varies": table.differences(short=short),
        "missing": [folder_name(row, seed) for row in table.rows for seed in seeds if seed not in done[row]],
        "failures": dict(failures),
        **{key: _all([r[key] for r in reports]) for key in ("protocol", "split", "data_hash", "n")},
        "llms": _all([r["run"]["trained"].get("llm") for r in reports]),
        "environments": _all([_machine(r["run"]["trained"]) for r in reports]),
        "rows": {
            row: {
                "value": value_of.get(row),
                "seeds": list(by_seed),
                "reports": [str(done[row][seed].name) for seed in by_seed],
                "scores": _scores([found.report for found in by_seed.values()], table.scores),
                "descriptions": _descriptions([found.report for found in by_seed.values()]),
                "seconds": _seconds(list(done[row].values())),
            }
            | ({} if row == table.reference else _against(by_seed, reference, table.scores))
            for row, by_seed in clips.items()
        },
    }


def table_markdown(result: Mapping[str, Any]) -> str:
    """The table, with what one must know to read it."""
    reference, headings = result["reference"], ["row"]
    there = [s for s in result["scores"] if any(s in found["scores"] for found in result["rows"].values())]
    for scorer in there:
        headings += [f"`{scorer}` top-1 %", f"less {reference}"]
    rows = []
    for row, found in result["rows"].items():
        cells = [row]
        for scorer in there:
            paired = found.get("differences", {}).get(scorer, {}).get("top1")
            cells += [_cell(found["scores"].get(scorer, {}).get("top1")), _difference(paired)]
        rows.append(cells)
    ran = sorted({seed for found in result["rows"].values() for seed in found["seeds"]})
    lines = [f"## {result['title']}", "", markdown_table(headings, rows)]
    if result["note"]:
        lines += [result["note"], ""]
    lines += [
        f"{_list(result['protocol'])}, {_list(result['split'])} side, {_list(result['n'])} clips; seeds "
        f"{_list(ran)}{', short form' if result['short'] else ''}. Mean ± deviation over the seeds; "
        f"difference to `{reference}` with its 95 % paired bootstrap interval over clips (a clip is drawn with all "
        "its seeds), which says nothing of other seeds.",
        "",
        "What varies:",
        "",
    ]
    for setting, by_row in result["varies"].items():
        lines.append(f"- `{setting}`: " + "; ".join(f"{row}: {_value(value)}" for row, value in by_row.items()))
    lines.append("")
    for row, found in result["rows"].items():
        if "unpaired" in found:
            lines.append(f"- {row}: not compared: {found['unpaired']}")
    lines += [f"- {name}: FAILED: {line}" for name, line in result["failures"].items()]
    missing = [name for name in result["missing"] if name not in result["failures"]]
    lines += [f"- not run: {', '.join(missing)}"] if missing else []
    lines += [""] if lines[-1] else []
    seconds = [f"{row} {found['seconds']['run']:.0f}" for row, found in result["rows"].items() if found["seconds"]]
    if seconds:
        shared = "stage 1 and baseline included, which rows may share"
        lines += [f"Seconds a run ({shared}): {', '.join(seconds)}.", ""]
    machines: dict[str, None] = {}
    for machine in result["environments"]:
        packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items() if version)
        said = f"{machine['cpu']}, {machine['threads']} threads, {_list(machine['gpus']) or 'no GPU'}; {packages}."
        machines[said] = None
    lines += machines
    lines.append(f"Data {_list(str(h)[:12] for h in result['data_hash'])}; commits {_list(_commits(result))}.")
    return "\n".join(lines) + "\n"


def _against(
    by_seed: Mapping[int, ClipTable], reference: Mapping[int, ClipTable], scorers: Sequence[str]
) -> dict[str, Any]:
    """Paired differences to the reference row, over the seeds that both have."""
    seeds = [seed for seed in by_seed if seed in reference]
    if not seeds:
        return {"differences": {}}
    a, b = [by_seed[seed] for seed in seeds], [reference[seed] for seed in seeds]
    try:
        check_same_clips([*a, *b])
    except InputError as error:
        return {"differences": {}, "unpaired": str(error)}
    both = [s for s in scorers if all(s in found.probabilities for found in (*a, *b))]
    return {"differences": {s: differences(a, b, s, same_seeds=True) for s in both}, "paired_seeds": seeds}


def _scores(reports: Sequence[Mapping[str, Any]], scorers: Sequence[str]) -> dict[str, dict[str, Any]]:
    return {
        scorer: {m: _plain([r["scores"][scorer][m] for r in reports]) for m in MEASURES}
        for scorer in scorers
        if reports and all(scorer in r["scores"] for r in reports)
    }


def _descriptions(reports: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    said = [r["description_metrics"] or {} for r in reports]
    return {
        m: _plain([entry[m] for entry in said])
        for m in DESCRIPTION_MEASURES
        if said and all(entry.get(m) is not None for entry in said)
    }


def _plain(values: Sequence[float]) -> dict[str, Any]:
    """`Spread` of one figure over seeds, as plain types."""
    return asdict(spread(values)) | {"values": list(values)}


def _seconds(folders: Sequence[Path]) -> dict[str, float] | None:
    """Mean seconds of a run by part, and of all parts as ``run``."""
    found = [json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))["seconds"] for folder in folders]
    if not found:
        return None
    means = {
        part: math.fsum(f.get(part, 0.0) for f in found) / len(found)
        for part in dict.fromkeys(k for f in found for k in f)
    }
    return {part: round(value, 1) for part, value in (means | {"run": math.fsum(means.values())}).items()}


def _machine(trained: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: trained.get(key) for key in ("python", "packages", "system", "cpu", "cores", "threads", "gpus", "commit")
    }


def _commits(result: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(str(machine["commit"])[:12] for machine in result["environments"]))


def _all(values: Sequence[Any]) -> list[Any]:
    """Each value once."""
    return [value for i, value in enumerate(values) if value not in values[:i]]


def _cell(found: Mapping[str, Any] | None) -> str:
    return "" if found is None else percent(Spread(**found))


def _difference(paired: Mapping[str, Any] | None) -> str:
    if paired is None:
        return ""
    low, high = paired["interval"]
    return f"{100 * paired['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"


def _value(value: Any) -> str:
    return "none" if value in ([], None, "") else _list(value) if isinstance(value, list) else str(value)


def _list(values: Any) -> str:
    return ", ".join(map(str, values))
