"""Training labels under suspicion: each part of the training side judged by a model that was trained on the others.

`OUT/round-R/PART` is the run that was trained without a part, as far as stage 1. The second round trains without the
clips that the first doubted, whose wrong labels may have made its models doubt right ones, and so on until a round
doubts the same clips as the one before. `OUT/doubtful.txt` lists them, for `data.exclude`. No test clip is looked at.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from sugar.errors import InputError
from sugar.evaluation.label_issues import Doubt, label_issues
from sugar.evaluation.score_clips import Indices, Table, score_clips
from sugar.files import check_folder, write_text
from sugar.models.sugar import Sugar
from sugar.training.config import RunConfig
from sugar.workflows.cross_validation import Parts

RECORDING = ("subject", "camera", "setup")


def check_labels(
    config: RunConfig, out: str | Path, *, by: str = "subject", rounds: int = 3, console: Console | None = None
) -> list[str]:
    """Find the training clips whose labels are doubtful; called again it goes on where it stopped.

    Args:
        config: how stage 1 trains and on what; its ``data.exclude`` and ``data.relabel`` are not read.
        by: column of the store; each of its values on the training side is a part.
        rounds: most rounds.
        console: where what is found goes.

    Returns:
        ids of the doubtful clips, as in OUT/doubtful.txt.

    Raises:
        InputError: no round, no such column, fewer than two values on the training side, or the config is not as it
            must be.
        Interrupted: a signal came; call again to go on.
    """
    out, console = Path(out), console or Console(stderr=True)
    if rounds < 1:
        raise InputError(f"--rounds {rounds}: give one or more")
    check_folder(out)
    parts = Parts.of(replace(config, data=replace(config.data, exclude="", relabel="")), by)
    store = parts.store
    recordings = list(zip(*(store.column(name)[parts.clips].tolist() for name in RECORDING), strict=True))
    doubted: list[str] = []
    for number in range(1, rounds + 1):
        folder = out / f"round-{number}"
        table = np.zeros((len(parts.ids), len(parts.classes)))
        for name, part in parts:
            model = parts.train_without(part, folder / name, ("alignment",), but=doubted)
            table[part] = _judged(model, parts, part)
        found = label_issues(table, parts.labels, recordings)
        before, doubted = doubted, sorted(parts.ids[row] for doubt in found for row in doubt.clips)
        console.print(f"round {number}: {len(doubted)} of {len(parts.ids)} clips doubtful", highlight=False)
        if doubted == before:
            break
    text = _listing(found, parts, recordings, f"{store.name}, {config.data.protocol}, by {by}")
    write_text(out / "doubtful.txt", text)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return doubted


def _judged(model: Sugar, parts: Parts, part: Indices) -> Table:
    """Probabilities ``[N, K]``: the mean of what the knowledge texts and the motion sentences say."""
    scorers = ("text",) if model.motion is None else ("text", "motion")
    scores = score_clips(model, parts.store, parts.clips[part], model.candidates(parts.classes), scorers=scorers)
    return np.mean([np.exp(table) for table in scores.values()], axis=0)


def _listing(found: Sequence[Doubt], parts: Parts, recordings: Sequence[tuple[int, ...]], of: str) -> str:
    lines = [f"# Doubtful training labels of {of}; made by `sugar lab label-issues`, read by data.exclude."]
    for doubt in found:
        numbers = zip(RECORDING, recordings[doubt.clips[0]], strict=True)
        where = ", ".join(f"{name} {number}" for name, number in numbers if number >= 0)
        label, other = (parts.classes[k] for k in (doubt.label, doubt.taken_for))
        lines.append(f"# {where}: {label!r} ({doubt.own:.2f}) seems to be {other!r} ({doubt.other:.2f})")
        lines += [parts.ids[row] for row in doubt.clips]
    return "\n".join([*lines, ""])
