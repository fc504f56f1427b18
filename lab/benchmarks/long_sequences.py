"""Table 4 on long sequences: every projector, some seeds, two tasks (`sugar.workflows.long_sequences`).

`OUT/cells` holds one JSON for each row, task and seed; what is there is not run again. `OUT/table.json` and
`OUT/table.md` are written anew after every cell. Several processes may work on different seeds of one folder.
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sugar.config import as_plain
from sugar.datasets.protocols.protocols import get_protocol, split
from sugar.datasets.protocols.validation import ValidationConfig
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.evaluation.metrics import wilson_interval
from sugar.evaluation.paired import paired_difference
from sugar.evaluation.report import markdown_table
from sugar.files import write_text
from sugar.models.encoders import Encoder
from sugar.models.projectors.projectors import ProjectorConfig
from sugar.models.run_folder import load_tensors, save_tensors
from sugar.training.engine.randomness import seed_everything, stable_seed
from sugar.training.environment import environment
from sugar.transforms.augment import AugmentConfig
from sugar.workflows.aggregate import percent, spread
from sugar.workflows.long_sequences import (
    LongConfig,
    LongReader,
    SideTokens,
    Task,
    encode_side,
    read_encoder,
    recognize,
    train_reader,
)

TASKS: tuple[Task, ...] = ("rest", "last")
# No dropout: the tokens of a clip come in several looks already, and on a CPU it costs more than a third.
ROWS = {
    "cross-attention": ProjectorConfig(kind="cross_attention", dropout=0.0),
    "one Q-Former": ProjectorConfig(kind="qformer", dropout=0.0),
    "one linear layer": ProjectorConfig(kind="linear", dropout=0.0),
    "TQP, segments of 4": ProjectorConfig(dropout=0.0),
    "TQP, segments of 16": ProjectorConfig(dropout=0.0, segment_length=16),
    "TQP, segments of 64": ProjectorConfig(dropout=0.0, segment_length=64),
    "gated TQP, segments of 4": ProjectorConfig(dropout=0.0, carry="gated"),
    "gated TQP, segments of 16": ProjectorConfig(dropout=0.0, segment_length=16, carry="gated"),
    "gated TQP, segments of 64": ProjectorConfig(dropout=0.0, segment_length=64, carry="gated"),
}
REFERENCE = "one Q-Former"
# Every projector is also tested on sequences so many times as long, by one clip in so many.
LONGER = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a finished run with an LLM; {seed} in it stands for the seed")
    parser.add_argument("--store", required=True, type=Path)
    parser.add_argument("--protocol", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=LongConfig.steps, help="encoder tokens in a sequence")
    parser.add_argument("--updates", type=int, default=LongConfig.updates)
    parser.add_argument("--held-out", nargs="+", type=int, default=[], metavar="SUBJECT",
                        help="people of the training side to test on, in place of the test side")  # fmt: skip
    given = parser.parse_args()
    try:
        run_cells(given)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


def run_cells(given: argparse.Namespace) -> None:
    """Every cell that is not there yet, seed by seed."""
    for seed in given.seeds:
        run = Path(given.run.replace("{seed}", str(seed)))
        data = Data(run, given.store, given.protocol, given.held_out, given.out)
        for task in given.tasks:
            for row in given.rows:
                config = LongConfig(task=task, steps=given.steps, updates=given.updates, seed=seed)
                path = given.out / "cells" / f"{task} {row} {seed}.json".replace(",", "").replace(" ", "-")
                settings = as_plain(config) | as_plain(ROWS[row]) | data.settings
                if path.is_file():
                    if json.loads(path.read_text(encoding="utf-8"))["settings"] != settings:
                        raise InputError(f"{path}: was made with other settings; give another --out")
                    continue
                cell = {"row": row, "task": task, "seed": seed} | run_cell(row, config, data)
                cell |= {"settings": settings, "environment": environment(seed=seed, store_hash=data.store.hash)}
                write_text(path, json.dumps(cell, indent=1, allow_nan=False) + "\n")
                write_table(given.out)
                print(f"{task}, {row}, seed {seed}: {told(cell)}", flush=True)
    write_table(given.out)


class Data:
    """The encoder's tokens of both sides, kept under ``out``, and the LLM to begin with."""

    def __init__(self, run: Path, store: Path, protocol: str, held_out: Sequence[int], out: Path) -> None:
        encoder, self.config, names = read_encoder(run)
        self.run, self.names = run, names
        self.store = Store.open(store).view(classes=names)
        by = ValidationConfig(by="subject", values=tuple(held_out)) if held_out else ValidationConfig(by="none")
        sides = split(self.store, get_protocol(protocol), by)
        augmentation = self.config.instruction.augment
        self.settings = {
            "run": run.name, "store": self.store.hash, "protocol": protocol, "held_out": list(held_out)
        }  # fmt: skip
        self.train, self.test = (
            self._side(out / f"tokens-{run.name}-{name}.safetensors", encoder, indices, looks, varied)
            for name, indices, looks, varied in (
                ("train", sides.train, 6, augmentation),
                ("test", sides.validation if held_out else sides.test, 1, None),
            )
        )

    def _side(
        self, file: Path, encoder: Encoder, indices: NDArray[np.int64], looks: int, augmentation: AugmentConfig | None
    ) -> SideTokens:
        """Encode, or read what an earlier call with these settings encoded."""
        made_of = json.dumps(self.settings)
        described = file.with_suffix(".json")
        if described.is_file() and described.read_text(encoding="utf-8") == made_of:
            return SideTokens(**load_tensors(file))
        side = encode_side(
            encoder, self.config.model, self.store, indices, looks=looks, augmentation=augmentation, seed=0
        )
        save_tensors(side.tensors(), file)
        write_text(described, made_of)
        return side


def run_cell(row: str, config: LongConfig, data: Data) -> dict[str, Any]:
    """Train and test one projector."""
    seed_everything(stable_seed(config.seed, "init", row))
    reader = LongReader(
        projector=ROWS[row],
        language=data.config.model.language,
        adapter=data.run / "adapter",
        in_channels=data.train.actions.shape[3],
    )
    mask = torch.ones(1, config.steps, dtype=torch.bool)
    tokens_to_llm = int(reader.projector.output_mask(mask).sum())
    try:  # before minutes of training
        recognize(reader, data.test, data.names, config.task, config.steps, every=len(data.test.labels))
    except InputError as error:
        return {"tokens_to_llm": tokens_to_llm, "does_not_fit": str(error)}
    trained = train_reader(reader, data.train, data.names, config)
    right, seconds = recognize(reader, data.test, data.names, config.task, config.steps)
    cell = {
        "tokens_to_llm": tokens_to_llm,
        "parameters": sum(parameter.numel() for parameter in reader.projector.parameters()),
        "n": len(right),
        "top1": float(right.mean()),
        "interval": wilson_interval(int(right.sum()), len(right)),
        "right": right.astype(int).tolist(),
        "loss": trained["loss"],
        "seconds": {"training": trained["seconds"], "recognition": seconds},
        "steps_per_second": {
            "training": trained["steps"] / trained["seconds"],
            "recognition": len(right) * config.steps / seconds,
        },
    }
    try:
        longer, _ = recognize(reader, data.test, data.names, config.task, LONGER * config.steps, every=LONGER)
    except InputError as error:
        return cell | {"longer": {"steps": LONGER * config.steps, "does_not_fit": str(error)}}
    return cell | {
        "longer": {
            "steps": LONGER * config.steps,
            "n": len(longer),
            "top1": float(longer.mean()),
            "interval": wilson_interval(int(longer.sum()), len(longer)),
        }
    }


def write_table(out: Path) -> None:
    """The table of all cells that are there."""
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((out / "cells").glob("*.json"))]
    summaries = [summarize(row, task, cells) for task in TASKS for row in ROWS]
    found = [row for row in summaries if row["seeds"]]
    machines = [cell["environment"] for cell in cells]
    shared = {
        key: sorted({json.dumps(cell["settings"][key]) for cell in cells})
        for key in ("run", "protocol", "held_out", "steps", "updates", "batch_size")
    }
    page = markdown(found, shared, machines)
    result = {"shared": shared, "rows": found, "environments": machines, "markdown": page}
    write_text(out / "table.json", json.dumps(result, default=asdict) + "\n")
    write_text(out / "table.md", page)


def summarize(row: str, task: str, cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of one task over its seeds."""
    mine = {cell["seed"]: cell for cell in cells if cell["row"] == row and cell["task"] == task}
    result: dict[str, Any] = {"task": task, "row": row, "seeds": sorted(mine)}
    if not mine:
        return result
    first = next(iter(mine.values()))
    result["tokens_to_llm"] = first["tokens_to_llm"]
    if "does_not_fit" in first:
        return result | {"does_not_fit": first["does_not_fit"]}
    result["top1"] = {seed: [mine[seed]["top1"], *mine[seed]["interval"]] for seed in result["seeds"]}
    result["over_seeds"] = spread([mine[seed]["top1"] for seed in result["seeds"]])
    fits = [cell["longer"]["top1"] for cell in mine.values() if "top1" in cell["longer"]]
    result["longer"] = spread(fits) if fits else None
    for key in ("steps_per_second", "seconds"):
        result[key] = {
            part: spread([cell[key][part] for cell in mine.values()]).mean for part in ("training", "recognition")
        }
    theirs = {cell["seed"]: cell for cell in cells if cell["row"] == REFERENCE and cell["task"] == task}
    both = [seed for seed in result["seeds"] if seed in theirs]
    if both and row != REFERENCE:
        a, b = (np.array([side[seed]["right"] for seed in both], dtype=np.float64) for side in (mine, theirs))
        result["difference"] = paired_difference(a, b).to_dict()
    return result


def markdown(
    rows: Sequence[Mapping[str, Any]], shared: Mapping[str, list[str]], machines: Sequence[Mapping[str, Any]]
) -> str:
    """Both tasks, with what one must know to read them."""
    headings = ["projector", "tokens to the LLM", "top-1 %", "each seed (95 %)", f"less {REFERENCE}",
                f"{LONGER} times as long", "steps/s training", "steps/s recognition"]  # fmt: skip
    asked = {
        "rest": "One action at a random place, the same person standing still otherwise (`rest`)",
        "last": "One action after another, the last one asked for (`last`)",
    }
    lines = []
    for task, title in asked.items():
        mine = [row for row in rows if row["task"] == task]
        if not mine:
            continue
        lines += [f"#### {title}", "", markdown_table(headings, [cells_of(row) for row in mine])]
        lines += [f"{row['row']} does not fit: {row['does_not_fit']}.\n" for row in mine if "does_not_fit" in row]
    said = {key: ", ".join(str(json.loads(value)) for value in values) for key, values in shared.items()}
    people = "the test side" if said["held_out"] == "[]" else f"people {said['held_out']} of the training side"
    lines.append(
        f"{said['protocol']}, {said['steps']} encoder steps, {said['updates']} updates of {said['batch_size']} "
        f"sequences that grow from one clip to all steps; the encoder and the LLM's first adapters of {said['run']}; "
        f"tested on {people}. Mean ± deviation over seeds; the difference to `{REFERENCE}` with its 95 % paired "
        "bootstrap interval over sequences."
    )
    cpus = sorted({f"{machine['cpu']}, {machine['threads']} threads" for machine in machines})
    return "\n".join([*lines, "", f"{'; '.join(cpus)}.", ""])


def cells_of(row: Mapping[str, Any]) -> list[str]:
    if "does_not_fit" in row:
        return [row["row"], str(row["tokens_to_llm"]), "does not fit", *[""] * 5]
    each = "; ".join(
        f"{100 * top:.1f} ({100 * low:.1f} to {100 * high:.1f})" for top, low, high in row["top1"].values()
    )
    less = ""
    if "difference" in row:
        low, high = row["difference"]["interval"]
        less = f"{100 * row['difference']['difference']:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})"
    speed = row["steps_per_second"]
    return [
        row["row"],
        str(row["tokens_to_llm"]),
        percent(row["over_seeds"]),
        each,
        less,
        percent(row["longer"]) if row["longer"] else "",
        *(f"{speed[part]:,.0f}" for part in ("training", "recognition")),
    ]


def told(cell: Mapping[str, Any]) -> str:
    if "does_not_fit" in cell:
        return f"does not fit: {cell['does_not_fit']}"
    return f"top-1 {100 * cell['top1']:.1f} ({sum(cell['seconds'].values()):.0f} s)"


if __name__ == "__main__":
    main()
