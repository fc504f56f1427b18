"""`sugar demo`: knowledge, stage 1, stage 2 and recognition on built-in data, offline, in minutes."""

import shutil
from pathlib import Path
from typing import Any

from rich.console import Console

from sugar.config import parse_config
from sugar.datasets.protocols import SYNTHETIC_CROSS_PERSON, get_protocol, split
from sugar.datasets.store import Store, write_store
from sugar.datasets.synthetic import SYNTHETIC_CLASSES, generate
from sugar.errors import InputError
from sugar.evaluation.report import scores_table
from sugar.experiments.evaluate import evaluate_run
from sugar.experiments.small_lm import train_small_lm
from sugar.knowledge.pack import load_pack
from sugar.models.sugar import Sugar
from sugar.skeleton.layout import NTU25
from sugar.training.config import RunConfig
from sugar.training.run import train

CLIPS_PER_CLASS = 48
SHOWN = 5


def demo_config(store: Path, llm: Path, seed: int) -> RunConfig:
    """The demo's recipe: small enough for two cores and a few minutes."""
    bf16 = {"precision": "bf16", "batch_size": 32}
    values = {
        "seed": seed,
        "data": {"store": str(store), "protocol": SYNTHETIC_CROSS_PERSON.name, "validation": {"by": "fraction"}},
        "knowledge": {"pack": "synthetic"},
        "model": {"language": {"name": str(llm)}},
        "represent": {"loop": {"epochs": 20, **bf16}},
        "baseline": {"loop": {"epochs": 20, **bf16}},
        "instruct": {
            "loop": {"epochs": 8, "batch_size": 16},
            "optimisation": {"learning_rate": 2e-3},
        },
    }
    return parse_config(RunConfig, values, where="demo")[0]


def run_demo(out: Path, *, seed: int, overwrite: bool, console: Console) -> dict[str, Any]:
    """Make the data, train, evaluate on unseen people and an unseen camera, and tell what was seen.

    Returns:
        ``{"seen": {"n", "scores"}}`` of the test side.

    Raises:
        InputError: ``out`` is not empty and ``overwrite`` is off, or it is no former demo.
    """
    store_folder, llm_folder, run = out / "store", out / "llm" / "model", out / "run"
    if out.exists() and any(out.iterdir()):
        if not overwrite:
            raise InputError(f"{out}: exists; give --overwrite to replace it, or another --out")
        if not (store_folder / "manifest.json").is_file():
            raise InputError(f"{out}: is not a former demo, so it is not replaced; give another --out")
        shutil.rmtree(out)
    console.rule("1. Data and knowledge")
    store = write_store(
        store_folder,
        generate(CLIPS_PER_CLASS, seed),
        name="synthetic",
        classes=SYNTHETIC_CLASSES,
        layout=NTU25,
        source=f"forward kinematics, seed {seed}",
    )
    pack = load_pack("synthetic")
    console.print(f"{len(store)} clips of {len(store.classes)} actions; one of the texts that supervise them:")
    console.print(f"  [italic]{pack.classes[0].motion[0]}[/italic]")
    console.print("A small LLM is pre-trained from the texts of the knowledge packs, then stays frozen.")
    train_small_lm([pack, load_pack("nw_ucla")], llm_folder, epochs=30, seed=seed)

    console.rule("2. and 3. Representation, baseline, recognition")
    train(demo_config(store_folder, llm_folder, seed), run)

    console.rule("People and a camera that training never saw")
    report = evaluate_run(run, out / "report")
    console.print(scores_table(report))
    _show_clips(Sugar.load(run), store, console)
    console.print(f"The report: {out / 'report' / 'report.html'}")
    console.print(f"More: sugar predict {run} FILE")
    return {"seen": {"n": report["n"], "scores": report["scores"]}}


def _show_clips(model: Sugar, store: Store, console: Console) -> None:
    from sugar.datasets.protocols import ValidationConfig

    test = split(store, get_protocol(SYNTHETIC_CROSS_PERSON.name), ValidationConfig(by="none")).test
    chosen = [store[int(i)] for i in test[:: max(1, len(test) // SHOWN)][:SHOWN]]
    for clip, found in zip(chosen, model.recognize_all(chosen), strict=True):
        console.print(f"[bold]{clip.label}[/bold] -> {found.label} ({found.top[0][1]:.0%}). {found.description}")
