"""docs/results.md from the figures of real runs.

    python lab/results/results.py take NAME REPORT [REPORT ...]                     # every scorer, mean over seeds
    python lab/results/results.py take NAME --column LABEL REPORT ... --column LABEL REPORT ...  # top-1 side by side
    python lab/results/results.py take NAME --row LABEL REPORT ... --row LABEL REPORT ...     # a protocol each row
    python lab/results/results.py take NAME FILE  # table.json of `sugar lab ablate`, or JSON that a benchmark printed
    python lab/results/results.py write

`take` writes the figures of finished reports (folders of `sugar eval`) to lab/results/data/NAME.json. Reports of one
column or row are the seeds of one run: protocol, data and scorers must be the same. `write` makes docs/results.md of
lab/results/results.template.md, where ``{{ table NAME }}`` and ``{{ figure ... }}`` (see `figure`) stand for them.
"""

import argparse
import json
import math
import re
import shlex
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from sugar.config import flatten, read_yaml
from sugar.errors import InputError
from sugar.evaluation.report import markdown_table
from sugar.files import write_text
from sugar.workflows.ablation_summary import table_markdown
from sugar.workflows.ablation_table import SCORES
from sugar.workflows.aggregate import MEASURES, SHARED_FIELDS, percent, read_alike, spread
from sugar.workflows.zero_shot import TRANSDUCTIVE

ROOT = Path(__file__).parents[2]
MACHINE = ("time", "commit", "python", "packages", "cpu", "cores", "threads", "gpus", "llm")
# Settings that say where a run lies or which of the seeds it is, not how it was trained.
NOT_COMPARED = ("seed", "data.store", "start_from")
FOLDERS = re.compile(r"(?<![\w.])/(?:[\w.-]+/)+")
UNSEEN_SCORES = (*SCORES, TRANSDUCTIVE)
PLACEHOLDER = re.compile(r"\{\{ (table|figure) (.+?) \}\}")
STATISTICS = ("spread", "mean", "each", "range")

Json = dict[str, Any]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    commands = parser.add_subparsers(dest="command", required=True)
    taking = commands.add_parser("take", help="the figures of one table")
    taking.add_argument("name")
    taking.add_argument("reports", type=Path, nargs="*")
    groups = taking.add_mutually_exclusive_group()
    groups.add_argument("--column", nargs="+", action="append", metavar=("LABEL", "REPORT"))
    groups.add_argument("--row", nargs="+", action="append", metavar=("LABEL", "REPORT"))
    taking.add_argument("--own-data", action="store_true", help="each seed makes its own data, as the demo does")
    taking.add_argument("--runs", type=Path, help="folder of the runs, where reports lie elsewhere")
    commands.add_parser("write", help="docs/results.md")
    given = parser.parse_args(arguments)
    try:
        if given.command == "take":
            asked = given.column or given.row or []
            labeled = {label: [Path(p) for p in paths] for label, *paths in asked}
            if len(labeled) < len(asked):
                raise InputError("a label twice: give each column or row a label of its own")
            if bool(labeled) == bool(given.reports):
                raise InputError("reports: give them after the name, or behind --column or --row, each with a label")
            if not labeled and not _is_report(given.reports[0]):
                taken = take_file(given.reports)
            else:
                kind = "columns" if given.column else "rows" if given.row else "scores"
                taken = take(kind, labeled or {"": given.reports}, own_data=given.own_data, runs=given.runs)
            write_text(given.root / "lab" / "results" / "data" / f"{given.name}.json", to_json(taken))
        else:
            write_text(given.root / "docs" / "results.md", render(given.root))
    except InputError as error:
        raise SystemExit(f"error: {error}") from error


def take(kind: str, paths: Mapping[str, Sequence[Path]], *, own_data: bool = False, runs: Path | None = None) -> Json:
    """The figures of reports by label, without clips and folders.

    Args:
        kind: of table: ``scores``, ``columns`` or ``rows``.
        own_data: see `read_alike`.
        runs: where the runs lie; looked for beside the reports too.

    Raises:
        InputError: what `read_alike` refuses; a report of ``rows`` that has no unseen actions.
    """
    groups, settings = [], {}
    for label, files in paths.items():
        reports = read_alike(files, own_data=own_data)
        for path, report in zip(files, reports, strict=True):
            if kind == "rows" and not report.get("zero_shot"):
                raise InputError(f"{path}: has no actions that were never trained: leave it out of --row {label!r}")
        shared = {name: reports[0][name] for name in SHARED_FIELDS}
        shared["data_hash"] = list(dict.fromkeys(report["data_hash"] for report in reports))
        groups.append({"label": label, **shared, "reports": [_trimmed(report) for report in reports]})
        settings[label] = [_settings(path, r["run"], runs) for path, r in zip(files, reports, strict=True)]
    return {"kind": kind, "groups": groups, "differs": _differing(settings)}


def take_file(paths: Sequence[Path]) -> Json:
    """An ablation's table.json (or the folder that holds it), or the JSON of a benchmark as it is.

    Raises:
        InputError: several files, no JSON object, or rows of several protocols or data.
    """
    path = paths[0] / "table.json" if paths[0].is_dir() else paths[0]
    if len(paths) > 1:
        raise InputError(f"{paths[1]}: one file of this kind makes a table: give {path} alone")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}): give a report, table.json or JSON") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object: give a report, table.json or JSON of a benchmark")
    if not {"rows", "reference", "varies"} <= content.keys():
        return {"kind": "figures", "content": content}
    if mixed := [key for key in ("protocol", "split", "data_hash") if len(content[key]) != 1]:
        raise InputError(f"{path}: {mixed[0]} {content[mixed[0]]}: a table is of one: finish it, or run it again")
    return {"kind": "ablation", "content": content}


def to_json(taken: Json) -> str:
    """As it is written, lists of numbers on one line each: no folders of a machine, no names of systems."""

    def clean(value: Any) -> Any:
        if isinstance(value, dict):
            return {clean(key): clean(each) for key, each in value.items() if key != "system"}
        if isinstance(value, list):
            return [clean(each) for each in value]
        return FOLDERS.sub("", value) if isinstance(value, str) else value

    text = json.dumps(clean(taken), indent=1, allow_nan=False, ensure_ascii=False)
    return re.sub(r"\[\n([^\[\]{}\"]*)\]", lambda found: "[" + " ".join(found[1].split()) + "]", text) + "\n"


def render(root: Path) -> str:
    """The page: the template with its placeholders filled.

    Raises:
        InputError: a placeholder without data or that says nothing, or data that no placeholder asks for.
    """
    folder = root / "lab" / "results"
    template = folder / "results.template.md"
    data = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (folder / "data").glob("*.json")}
    used: set[str] = set()

    def filled(found: re.Match[str]) -> str:
        try:
            words = shlex.split(found[2])
            used.update([words[0], *(words[i + 1] for i, word in enumerate(words) if word == "less")])
            if missing := used - data.keys():
                raise KeyError(f"data/{missing.pop()}.json")
            if found[1] == "table":
                return table(data[words[0]], *words[1:]).rstrip("\n")
            return figure(data, words[:-1], words[-1])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(f"{template.name}: {found[0]}: {error!r} not found: correct it, or `take`") from error

    page = PLACEHOLDER.sub(filled, template.read_text(encoding="utf-8"))
    if "{{" in page:
        line = page[page.index("{{") :].splitlines()[0]
        raise InputError(f"{template.name}: {line}: no placeholder: write {{{{ table NAME }}}} or {{{{ figure ... }}}}")
    if unused := sorted(data.keys() - used):
        raise InputError(f"data/{unused[0]}.json: not in {template.name}: name it there or delete it")
    return page


def table(taken: Json, measure: str = "top1") -> str:
    """Markdown of one data file; of ``rows`` one measure of `zero_shot`, such as ``generalized.harmonic``."""
    if taken["kind"] == "ablation":
        return table_markdown(taken["content"]).split("\n", 2)[2]  # the template has headings of its own
    if taken["kind"] == "figures":  # a benchmark that has drawn its own
        return str(taken["content"]["markdown"])
    groups = taken["groups"]
    if taken["kind"] == "scores":
        rows = [[f"`{s}`", *(_over(groups[0], "scores", s, m) for m in MEASURES)] for s in _scorers(groups)]
        return markdown_table(["scorer", "top-1 %", "top-5 %", "mean class %", "ECE %"], rows)
    if taken["kind"] == "columns":
        rows = [[f"`{s}`", *(_over(group, "scores", s, "top1") for group in groups)] for s in _scorers(groups)]
        return markdown_table(["top-1 %", *(group["label"] for group in groups)], rows)
    rows = []
    for group in groups:
        by_scorer = [_over(group, "zero_shot", "scores", scorer, *measure.split(".")) for scorer in UNSEEN_SCORES]
        chance = f"{100 * group['reports'][0]['zero_shot']['chance']:.1f}" if measure == "top1" else ""
        if any(by_scorer):
            rows.append([group["label"], group["n"], len(group["reports"]), chance, *by_scorer])
    if not rows:
        raise KeyError(measure)
    headings = ["protocol", "clips", "seeds", "chance", *(f"`{scorer}`" for scorer in UNSEEN_SCORES)]
    told = [place for place in range(len(headings)) if any(row[place] != "" for row in rows)]
    return markdown_table([headings[k] for k in told], [[row[k] for k in told] for row in rows])


def figure(data: Mapping[str, Json], words: Sequence[str], unit: str) -> str:
    """A figure of a data file in words: ``NAME [LABEL] KEY.KEY [STATISTIC] UNIT``, or ``A less B UNIT``.

    LABEL is a column or row (an ablation's too), or a pattern of several, by default all. STATISTIC is ``spread``
    (mean and deviation over seeds, the default), ``mean`` (of the means of the labels), ``each`` or ``range``. UNIT is
    ``%`` for a share in percent, else a format of Python's. A less B is the signed difference of two means.
    """
    words = list(words)

    def shown(value: Any, sign: str = "") -> str:
        return f"{100 * value:{sign}.1f}" if unit == "%" else format(value, sign + unit)

    if "less" in words:
        at = words.index("less")
        return shown(_mean(_values(data, words[:at])) - _mean(_values(data, words[at + 1 :])), "+")
    statistic = words.pop() if words[-1] in STATISTICS else "spread"
    values = _values(data, words)
    flat = [value for group in values for value in group]
    if statistic == "each":
        return ", ".join(map(shown, flat))
    if statistic == "range":
        return f"{shown(min(flat))} to {shown(max(flat))}"
    if statistic == "mean":
        return shown(_mean(values))
    if all(value == flat[0] for value in flat) and isinstance(flat[0], str):
        return shown(flat[0])
    if len(values) > 1:
        raise ValueError("several labels have no spread: say which, or `mean`")
    found = spread(flat)
    return shown(found.mean) if found.deviation is None else f"{shown(found.mean)} ± {shown(found.deviation)}"


def _values(data: Mapping[str, Json], words: Sequence[str]) -> list[list[Any]]:
    """``NAME [LABEL] KEY.KEY``: the values of every run, by label; a KEY into a list is its index."""
    taken = data[words[0]]
    label, path = words[1] if len(words) > 2 else "*", words[-1].split(".")
    if taken["kind"] in ("figures", "ablation"):
        rows = [taken["content"]]
        if taken["kind"] == "ablation":
            rows = [row for name, row in taken["content"]["rows"].items() if fnmatchcase(name, label)]
        found = [_at(row, path) for row in rows]
        values = [each["values"] if isinstance(each, dict) else [each] for each in found]
    else:
        groups = [group for group in taken["groups"] if fnmatchcase(group["label"], label)]
        values = [[_at(report, path) for report in group["reports"]] for group in groups]
    if not values:
        raise KeyError(label)
    return values


def _at(content: Any, path: Sequence[str]) -> Any:
    for key in path:
        content = content[int(key)] if isinstance(content, list) else content[key]
    return content


def _mean(values: Sequence[Sequence[float]]) -> float:
    return math.fsum(math.fsum(group) / len(group) for group in values) / len(values)


def _over(group: Json, *path: str) -> str:
    """The cell of one share over the seeds; empty where a report lacks it."""
    try:
        return percent(spread([_at(report, path) for report in group["reports"]]))
    except KeyError:
        return ""


def _scorers(groups: Sequence[Json]) -> list[str]:
    found = dict.fromkeys(scorer for group in groups for report in group["reports"] for scorer in report["scores"])
    return sorted(found, key=lambda scorer: SCORES.index(scorer) if scorer in SCORES else len(SCORES))


def _is_report(path: Path) -> bool:
    return (path / "report.json").is_file() or path.name == "report.json"


def _trimmed(report: Json) -> Json:
    trained = {key: value for key, value in report["run"].get("trained", {}).items() if key in MACHINE}
    here = report["environment"]
    return {
        "seed": report["seed"],
        "run": report["run"].get("folder"),
        "scores": {
            name: {key: value for key, value in found.items() if key != "n"} for name, found in report["scores"].items()
        },
        "description_metrics": report["description_metrics"],
        "free_generation_top1": report["run"].get("free_generation_top1"),
        "zero_shot": report.get("zero_shot"),
        "trained": trained,
        "evaluated": {key: here[key] for key in MACHINE if key in here and here[key] != trained.get(key)},
    }


def _settings(path: Path, run: Json, runs: Path | None) -> dict[str, Any]:
    """Of the run's config.yaml, flat with dots; empty where it lies nowhere near."""
    folder = path.resolve()
    folder = folder.parent if folder.name == "report.json" else folder
    for base in [*([runs] if runs else []), folder.parent.parent, folder.parent]:
        config = base / str(run.get("folder")) / "config.yaml"
        if config.is_file():
            return {key: value for key, value in flatten(read_yaml(config)).items() if key not in NOT_COMPARED}
    return {}


def _differing(settings: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, dict[str, Any]] | None:
    """Settings that are not the same in all runs, by label (a list where seeds differ); None where some are unknown."""
    runs = [run for group in settings.values() for run in group]
    if not all(runs):
        return None
    differing: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(key for run in runs for key in run):
        if any(run.get(name) != runs[0].get(name) for run in runs):
            by_label = {label: [run.get(name) for run in group] for label, group in settings.items()}
            alike = {label: all(value == values[0] for value in values) for label, values in by_label.items()}
            differing[name] = {label: values[0] if alike[label] else values for label, values in by_label.items()}
    return differing


if __name__ == "__main__":
    main()
