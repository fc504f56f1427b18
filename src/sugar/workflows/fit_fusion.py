"""The fusion's weights without validation clips: from answers of models that were trained without the clips they judge.

Few clips are worth more in training than as validation clips; and where the test side differs in kind, such as by its
camera, so should what the weights are chosen on. `OUT/PART` is the run that was trained without a part of the training
side; `OUT/fusion.json` holds the weights that fit all parts together, for a config's ``fusion``.
"""

from pathlib import Path

import numpy as np
from rich.console import Console

from sugar.errors import InputError
from sugar.evaluation.fit_fusion import fit_fusion
from sugar.evaluation.score_clips import Table, score_clips
from sugar.files import check_folder, write_text
from sugar.models.scorers.fusion import Fusion
from sugar.models.scorers.scorers import FUSED_NAMES
from sugar.training.config import RunConfig
from sugar.workflows.cross_validation import Parts


def cross_fit_fusion(
    config: RunConfig, out: str | Path, *, by: str = "subject", console: Console | None = None
) -> Fusion:
    """Train without each part of the training side, ask it of the clips in it, and fit the fusion to all answers.

    Called again it goes on where it stopped.

    Args:
        config: how stages 1 and 2 train and on what; its ``fusion`` is not read.
        by: column of the store; each of its values on the training side is a part.
        console: where what is found goes.

    Raises:
        InputError: a config without stage 2, no such column, fewer than two values on the training side, or the config
            is not as it must be.
        Interrupted: a signal came; call again to go on.
    """
    out, console = Path(out), console or Console(stderr=True)
    if not {"alignment", "instruction"} <= {*config.stages}:
        raise InputError("stages: the fusion needs stages 1 and 2, alignment and instruction")
    check_folder(out)
    parts = Parts.of(config, by)
    scores: dict[str, list[Table]] = {}
    rows = []
    for name, part in parts:
        model = parts.train_without(part, out / name, ("alignment", "instruction"))
        tables = score_clips(
            model, parts.store, parts.clips[part], model.candidates(parts.classes), scorers=FUSED_NAMES
        )
        for scorer, table in tables.items():
            scores.setdefault(scorer, []).append(table)
        rows.append(part)
    truth = parts.labels[np.concatenate(rows)]
    together = {scorer: np.concatenate(tables) for scorer, tables in scores.items()}
    fusion = fit_fusion(together, truth)
    write_text(out / "fusion.json", fusion.to_json() + "\n")

    def right(table: Table) -> str:
        return f"{100 * float((table.argmax(axis=1) == truth).mean()):.1f}"

    for scorer, table in together.items():
        said = f"{scorer}: top-1 {right(table)}, weight {fusion.weights[scorer]:.2f}"
        console.print(f"{said}, temperature {fusion.temperatures[scorer]:.2f}", highlight=False)
    equal = Fusion.equal(together).apply(together)
    console.print(
        f"fused: top-1 {right(fusion.apply(together))}, with equal weights {right(equal)}, of {len(truth)} clips",
        highlight=False,
    )
    return fusion
