"""Two evaluations of the same clips set against each other, clip by clip: `sugar lab compare RUN_A RUN_B`.

Each side is one report, or several of one recipe, one a training seed. A clip's figures are averaged over the seeds of
its side, and the clip is the unit that is drawn: an interval says how far a difference would move with other clips. How
far it moves with other seeds is the deviation beside it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sugar.errors import InputError
from sugar.evaluation.metrics import ranks
from sugar.evaluation.paired import paired_difference
from sugar.evaluation.report import markdown_table, read_report

MEASURES = ("top1", "top5", "mean_class")
SHOWN = 10


@dataclass(frozen=True, eq=False)
class ClipTable:
    """One report clip by clip, clips in the order of their ids.

    Args:
        probabilities: ``[N, K]`` by scorer.
    """

    path: Path
    clip_ids: tuple[str, ...]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    probabilities: Mapping[str, NDArray[np.float64]]
    report: Mapping[str, Any]

    def measure(self, scorer: str, measure: str) -> NDArray[np.float64]:
        """``[N]``: whether the true class is the most probable one, or among five (`top5`)."""
        place = ranks(self.probabilities[scorer], self.labels)
        return (place < (5 if measure == "top5" else 1)).astype(np.float64)

    def predicted(self, scorer: str) -> NDArray[np.int64]:
        """``[N]`` the most probable class."""
        return self.probabilities[scorer].argmax(axis=1)


def read_clips(path: Path) -> ClipTable:
    """Read a report clip by clip.

    Args:
        path: the folder of a report, its report.json, or a run folder with a report in it.

    Raises:
        InputError: no report there, or its probabilities.npz is missing or damaged.
    """
    path = Path(path)
    if path.is_dir() and not (path / "report.json").exists() and (path / "report" / "report.json").exists():
        path = path / "report"
    report = read_report(path)
    file = (path if path.is_dir() else path.parent) / "probabilities.npz"
    try:
        with np.load(file, allow_pickle=False) as tables:
            found = {name: tables[name] for name in tables.files}
        ids, labels, classes = found["clip_ids"], found["labels"].astype(np.int64), found["classes"]
    except FileNotFoundError:
        raise InputError(f"{file}: missing; it holds the report clip by clip: run `sugar eval` again") from None
    except (ValueError, KeyError, OSError, EOFError, BadZipFile) as error:
        raise InputError(f"{file}: damaged ({error}); run `sugar eval` again") from error
    order = np.argsort(ids)
    columns = np.argsort(classes)  # classes too are brought into one order
    place = np.argsort(columns)
    scores = {name.removeprefix("score_"): table for name, table in found.items() if name.startswith("score_")}
    return ClipTable(
        path=path,
        clip_ids=tuple(ids[order].tolist()),
        labels=place[labels[order]],
        classes=tuple(classes[columns].tolist()),
        probabilities={name: table[order][:, columns].astype(np.float64) for name, table in scores.items()},
        report=report,
    )


def compare(
    a: Path | Sequence[Path], b: Path | Sequence[Path], *, scorers: Sequence[str] | None = None
) -> dict[str, Any]:
    """Side a less side b, scorer by scorer.

    Args:
        a, b: folders of reports (`read_clips`); several of a side are seeds of one recipe.
        scorers: of those that both have; None: all.

    Returns:
        plain types: ``scores`` holds per scorer the paired differences of top1, top5 and mean_class, ``classes`` by
        class and ``flipped`` the clips that most seeds of just one side have right.

    Raises:
        InputError: no report, other clips, labels or classes, a seed twice, or no scorer in common.
    """
    sides = [[read_clips(path) for path in ([side] if isinstance(side, str | Path) else side)] for side in (a, b)]
    tables = [table for side in sides for table in side]
    check_same_clips(tables)
    seeds = [[table.report.get("seed") for table in side] for side in sides]
    for side, found in zip(sides, seeds, strict=True):
        if len(set(found)) < len(found):
            raise InputError(f"{side[0].path}: seeds {found}: each report of a side must be of a seed of its own")
    common = [name for name in tables[0].probabilities if all(name in table.probabilities for table in tables)]
    chosen = list(common if scorers is None else scorers)
    if missing := [name for name in chosen if name not in common]:
        raise InputError(
            f"{tables[-1].path}: scorer {missing[0]!r} is not on both sides; they share {', '.join(common)}"
        )
    if not chosen:
        raise InputError(f"{tables[0].path} and {tables[-1].path} have no scorer in common")
    first = tables[0]
    return {
        "a": [str(table.path) for table in sides[0]],
        "b": [str(table.path) for table in sides[1]],
        "seeds": {"a": seeds[0], "b": seeds[1]},
        "protocols": sorted({str(table.report["protocol"]) for table in tables}),
        "data_hashes": sorted({str(table.report.get("data_hash")) for table in tables}),
        "n": len(first.labels),
        "scores": {name: _scorer(sides[0], sides[1], name, seeds[0] == seeds[1]) for name in chosen},
    }


def differences(
    a: Sequence[ClipTable], b: Sequence[ClipTable], scorer: str, *, same_seeds: bool
) -> dict[str, dict[str, object]]:
    """The paired differences of one scorer by measure; tables of the same clips."""
    found = {}
    for measure in MEASURES:
        of_a, of_b = (np.stack([table.measure(scorer, measure) for table in side]) for side in (a, b))
        groups = a[0].labels if measure == "mean_class" else None
        found[measure] = paired_difference(of_a, of_b, groups, same_seeds=same_seeds).to_dict()
    return found


def check_same_clips(tables: Sequence[ClipTable]) -> None:
    """Refuse reports of other clips, candidates or labels.

    Raises:
        InputError: names what differs.
    """
    first = tables[0]
    for table in tables[1:]:
        other = f"{table.path} and {first.path}"
        if table.clip_ids != first.clip_ids:
            alone = sorted(set(table.clip_ids) ^ set(first.clip_ids))
            raise InputError(
                f"{other} are of different clips ({len(alone)}, {alone[0]!r} among them); compare the same"
            )
        if table.classes != first.classes:
            alone = sorted(set(table.classes) ^ set(first.classes))
            raise InputError(f"{other} have other candidates ({alone[0]!r} is in one alone); compare the same classes")
        if (table.labels != first.labels).any():
            clip = first.clip_ids[int((table.labels != first.labels).argmax())]
            raise InputError(f"{other} give clip {clip!r} different labels; evaluate both on the same store")
    if len(set(first.clip_ids)) < len(first.clip_ids):
        raise InputError(f"{first.path}: a clip stands there twice; evaluate again")


def _scorer(a: Sequence[ClipTable], b: Sequence[ClipTable], scorer: str, same_seeds: bool) -> dict[str, Any]:
    right = [np.stack([table.measure(scorer, "top1") for table in side]).mean(axis=0) for side in (a, b)]
    labels, classes = a[0].labels, a[0].classes
    by_class: list[dict[str, Any]] = []
    for index in np.unique(labels):
        of_class = labels == index
        shares = [float(side[of_class].mean()) for side in right]
        by_class.append(
            {"class": classes[index], "n": int(of_class.sum()), "a": shares[0], "b": shares[1]}
            | {"difference": shares[0] - shares[1]}
        )
    most = [side > 0.5 for side in right]
    said = [[table.predicted(scorer) for table in side] for side in (a, b)]
    flipped = [
        {
            "clip_id": a[0].clip_ids[clip],
            "label": classes[labels[clip]],
            "right": "a" if most[0][clip] else "b",
            "a": [classes[table[clip]] for table in said[0]],
            "b": [classes[table[clip]] for table in said[1]],
        }
        for clip in np.flatnonzero(most[0] != most[1])
    ]
    return {
        "differences": differences(a, b, scorer, same_seeds=same_seeds),
        "only_a": int((most[0] & ~most[1]).sum()),
        "only_b": int((most[1] & ~most[0]).sum()),
        "classes": sorted(by_class, key=lambda entry: entry["difference"]),
        "flipped": flipped,
    }


def compare_markdown(comparison: Mapping[str, Any]) -> str:
    """A comparison as text: differences, the classes that moved most, the first clips that flipped."""
    rows = [
        [f"`{scorer}` {measure}", *_cells(found)]
        for scorer, of_scorer in comparison["scores"].items()
        for measure, found in of_scorer["differences"].items()
    ]
    sides = (f"{s}: {', '.join(comparison[s])} (seeds {_list(comparison['seeds'][s])})\n" for s in ("a", "b"))
    lines = [
        *sides,
        f"{comparison['n']} clips of {', '.join(comparison['protocols'])}; intervals are over clips, not over seeds.\n",
        markdown_table(["%", "a", "b", "a - b", "95 %", "± over seeds", "p"], rows),
    ]
    for scorer, found in comparison["scores"].items():
        lines += [*_moved(scorer, found), ""]
    return "\n".join(lines)


def _cells(d: Mapping[str, Any]) -> list[str]:
    low, high = d["interval"]
    deviation = "" if d["deviation"] is None else f"{100 * d['deviation']:.1f}"
    p_value = "" if d["p_value"] is None else f"{d['p_value']:.2g}"
    difference = f"{100 * d['difference']:+.1f}"
    interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
    return [f"{100 * d['a']:.1f}", f"{100 * d['b']:.1f}", difference, interval, deviation, p_value]


def _moved(scorer: str, found: Mapping[str, Any]) -> list[str]:
    """The classes that moved most and the first clips that flipped."""
    lines = [f"`{scorer}`: {found['only_a']} clips only a has right, {found['only_b']} only b.\n"]
    worse = [entry for entry in found["classes"] if entry["difference"] < 0]
    better = [entry for entry in reversed(found["classes"]) if entry["difference"] > 0]
    for word, entries in (("better in a", better), ("worse in a", worse)):
        told = (f"{e['class']} {100 * e['b']:.0f} to {100 * e['a']:.0f} (n {e['n']})" for e in entries[:SHOWN])
        lines += [f"- {word}: {', '.join(told)}"] if entries else []
    flipped = found["flipped"]
    lines += [f"- {f['clip_id']} ({f['label']}): a {_list(f['a'])}; b {_list(f['b'])}" for f in flipped[:SHOWN]]
    lines += [f"- and {len(flipped) - SHOWN} more clips"] if len(flipped) > SHOWN else []
    return lines


def _list(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))
