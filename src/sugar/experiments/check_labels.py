"""Training labels under suspicion: each part of the training side judged by a model that was trained on the others.

`OUT/round-R/PART` is the run that was trained without a part, as far as stage 1. The second round trains without the
clips that the first doubted, whose wrong labels may have made its models doubt right ones, and so on until a round
doubts the same clips as the one before. `OUT/doubtful.txt` lists them, for `data.leave_out`. No test clip is looked at.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from rich.console import Console

from sugar.datasets.protocols import ValidationConfig, get_protocol, split
from sugar.datasets.store import COLUMNS, Store
from sugar.errors import InputError
from sugar.evaluation.doubtful_labels import Doubt, doubtful_labels
from sugar.evaluation.recognize import Indices, Table, score_clips
from sugar.files import write_text
from sugar.models.sugar import Sugar
from sugar.training.config import RunConfig
from sugar.training.run import check_named, train

RECORDING = ("subject", "camera", "setup")


def check_labels(
    config: RunConfig, out: str | Path, *, by: str = "subject", rounds: int = 3, console: Console | None = None
) -> list[str]:
    """Find the training clips whose labels are doubtful; called again it goes on where it stopped.

    Args:
        config: how stage 1 trains and on what; its ``data.leave_out`` is not read.
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
    check_named(config)
    store = Store.open(config.data.store)
    side = split(store, get_protocol(config.data.protocol), ValidationConfig(by="none"))
    if rounds < 1:
        raise InputError(f"--rounds {rounds}: give one or more")
    if by not in COLUMNS:
        raise InputError(f"--by {by}: give a column of the store, one of {', '.join(COLUMNS)}")
    values = store.column(by)[side.train]
    if (values < 0).any() or len(np.unique(values)) < 2:
        raise InputError(f"store {store.path}: the training clips need a {by} each, and two of them or more")
    labels = store.view(classes=side.seen).labels[side.train]
    recordings = list(zip(*(store.column(name)[side.train].tolist() for name in RECORDING), strict=True))
    ids = [store.clip_ids[i] for i in side.train]
    doubted: list[str] = []
    for number in range(1, rounds + 1):
        folder = out / f"round-{number}"
        table = np.zeros((len(ids), len(side.seen)))
        for value in np.unique(values).tolist():
            part = np.flatnonzero(values == value)
            asked = [ids[row] for row in part]
            others = [clip for clip in ids if clip not in {*doubted, *asked}]
            model = _trained(config, folder / f"{by}-{value}", others, asked)
            table[part] = _judged(model, store, side.train[part])
        found = doubtful_labels(table, labels, recordings)
        before, doubted = doubted, sorted(ids[row] for doubt in found for row in doubt.clips)
        console.print(f"round {number}: {len(doubted)} of {len(ids)} clips doubtful", highlight=False)
        if doubted == before:
            break
    text = _listing(found, ids, recordings, side.seen, f"{store.name}, {config.data.protocol}, by {by}")
    write_text(out / "doubtful.txt", text)
    console.print(text, markup=False, highlight=False, soft_wrap=True)
    return doubted


def _trained(config: RunConfig, folder: Path, clips: Sequence[str], asked: Sequence[str]) -> Sugar:
    """The run of stage 1 on these clips."""
    protocol = folder.with_suffix(".yaml")
    write_text(protocol, yaml.safe_dump({"train_clips": list(clips), "test_clips": list(asked)}))
    data = replace(config.data, protocol=str(protocol), validation=ValidationConfig(by="none"), leave_out="")
    return train(replace(config, data=data, stages=("represent",)), folder, resume=folder.exists())


def _judged(model: Sugar, store: Store, clips: Indices) -> Table:
    """Probabilities ``[N, K]``: the mean of what the knowledge texts and the motion sentences say."""
    scorers = ("text",) if model.motion is None else ("text", "motion")
    scores = score_clips(model, store, clips, model.candidates(model.classes), scorers=scorers)
    return np.mean([np.exp(table) for table in scores.values()], axis=0)


def _listing(
    found: Sequence[Doubt], ids: Sequence[str], recordings: Sequence[tuple[int, ...]], classes: Sequence[str], of: str
) -> str:
    lines = [f"# Doubtful training labels of {of}; made by `sugar check-labels`, read by data.leave_out."]
    for doubt in found:
        numbers = zip(RECORDING, recordings[doubt.clips[0]], strict=True)
        where = ", ".join(f"{name} {number}" for name, number in numbers if number >= 0)
        lines.append(
            f"# {where}: {classes[doubt.label]!r} ({doubt.own:.2f}) seems to be {classes[doubt.taken_for]!r} "
            f"({doubt.other:.2f})"
        )
        lines += [ids[row] for row in doubt.clips]
    return "\n".join([*lines, ""])
