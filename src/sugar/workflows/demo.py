"""`sugar demo`: knowledge, stage 1, stage 2 and recognition on built-in data, offline, in minutes."""

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.table import Table

from sugar.config import parse_config
from sugar.datasets.protocols.protocols import ValidationConfig, get_protocol, split
from sugar.datasets.store.store import Store, write_store
from sugar.datasets.synthetic import SEEN_CLASSES, UNSEEN_CLASSES, generate
from sugar.errors import InputError
from sugar.files import write_text
from sugar.inference.recognition import Recognition
from sugar.inference.recognizer import Recognizer
from sugar.inference.sources import write_clip
from sugar.knowledge.pack import load_pack
from sugar.reports.animation import animate
from sugar.reports.demo_page import DemoStory, StoryClip, render_demo_page
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25
from sugar.training.config import RunConfig
from sugar.training.run import train
from sugar.workflows.evaluate import evaluate_run

PROTOCOL = "synthetic-cross-person"
CLIPS_PER_CLASS = 36
SHOWN = 8
SHOWN_UNSEEN = 4


def demo_config(store: Path, seed: int) -> RunConfig:
    """The demo's recipe: small enough for two cores and a few minutes."""
    encoder = {
        "loop": {"epochs": 20, "batch_size": 32, "tensorboard": "off"},
        "optimization": {"learning_rate": 3e-3, "warmup": 0.1, "ema": 0.99},
        "augment": {"min_crop": 0.9},
    }
    values = {
        "seed": seed,
        "data": {"store": str(store), "protocol": PROTOCOL, "validation": {"by": "none"}},
        "knowledge": {"pack": "synthetic"},
        "model": {"motion": {"phrasings": 1}, "soft_label_tokens": True},
        "alignment": encoder,
        "baseline": encoder,
        "instruction": {
            "loop": {"epochs": 2, "batch_size": 8, "tensorboard": "off"},
            "optimization": {"learning_rate": 2e-3},
            "augment": {"min_crop": 0.9},
            "text_only": {"share": 0.5, "nonsense": 0.5, "exclude": ["synthetic"]},
        },
    }
    return parse_config(RunConfig, values, where="demo")[0]


def run_demo(out: Path, *, seed: int, overwrite: bool, console: Console) -> dict[str, Any]:
    """Make the data, train, evaluate on unseen people, cameras and actions, and write ``report.html``.

    Returns:
        ``{"seen", "unseen": {"n", "scores"}, "faithfulness"}`` of the test side.

    Raises:
        InputError: ``out`` is not empty and ``overwrite`` is off, or it is no former demo; a seed below 0.
    """
    if seed < 0:
        raise InputError(f"--seed must be 0 or more, not {seed}")
    _clear(out, overwrite)
    clock = _Clock()
    console.rule("1. Motions and knowledge")
    with clock.step("making motions"):
        seen = _store(out / "store", SEEN_CLASSES, seed)
        unseen = _store(out / "store-unseen", UNSEEN_CLASSES, seed)
    pack = load_pack("synthetic")
    console.print(
        f"{len(seen)} clips of {len(seen.classes)} actions; {len(unseen.classes)} more are kept from training."
    )
    console.print(f"A text that supervises: [italic]{pack.classes[0].motion[0]}[/italic]")
    console.print(f"And in the words of what joints can show: [italic]{pack.classes[0].motion_sentences[0]}[/italic]")

    console.rule("2. and 3. Representation and recognition")
    run = out / "run"
    with clock.step("training"):
        train(demo_config(seen.path, seed), run)

    console.rule("People, a camera and actions that training never saw")
    with clock.step("evaluating"):
        reports = {
            "seen": evaluate_run(run, out / "report-seen"),
            "unseen": evaluate_run(run, out / "report-unseen", store=unseen.path),
        }
    result: dict[str, Any] = {side: {"n": report["n"], "scores": report["scores"]} for side, report in reports.items()}
    result["faithfulness"] = reports["seen"]["description_metrics"]["faithfulness"]
    console.print(_table(result))
    gallery = _gallery(run, seen, unseen, out / "clips")
    for _, clip, found in gallery[:: max(1, len(gallery) // 5)]:
        console.print(
            f"[bold]{clip.label}[/bold] -> {found.label} ({found.probabilities[found.label]:.0%}). {found.description}"
        )
    story = DemoStory(
        title="SUGAR: skeletons, named and described",
        seen=reports["seen"],
        unseen=reports["unseen"],
        clips=[_story_clip(side, clip, found) for side, clip, found in gallery],
        curves=_curves(run),
        seconds=clock.seconds,
        environment=reports["seen"]["environment"],
        faithfulness=result["faithfulness"],
        note="The motions are made up by a program: the figures say that the parts work, not how well people are read.",
    )
    write_text(out / "report.html", render_demo_page(story))
    console.print(f"The report: {out / 'report.html'}")
    console.print(f"Try: sugar predict {next(iter(sorted((out / 'clips').iterdir())))} --model {run}")
    return result


class _Clock:
    """Seconds by step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - start, 1)


def _clear(out: Path, overwrite: bool) -> None:
    if not out.exists() or not any(out.iterdir()):
        return
    if not overwrite:
        raise InputError(f"{out}: exists; give --overwrite to replace it, or another --out")
    if not (out / "store" / "manifest.json").is_file():
        raise InputError(f"{out}: is not a former demo, so it is not replaced; give another --out")
    shutil.rmtree(out)


def _store(path: Path, classes: Sequence[str], seed: int) -> Store:
    return write_store(
        path,
        generate(CLIPS_PER_CLASS, seed, classes),
        name=path.name,
        classes=classes,
        layout=NTU25,
        source=f"forward kinematics, seed {seed}",
    )


def _gallery(
    run: Path, seen: Store, unseen: Store, folder: Path
) -> list[tuple[Literal["seen", "unseen"], SkeletonClip, Recognition]]:
    """Some clips of the test side and what the model says of them; the clips are also written as files."""
    recognizer, pack = Recognizer.load(run), load_pack("synthetic")
    sides: tuple[tuple[Literal["seen", "unseen"], Store, int], ...] = (
        ("unseen", unseen, SHOWN_UNSEEN),
        ("seen", seen, SHOWN),
    )
    shown = []
    for side, store, count in sides:
        test = split(store, get_protocol(PROTOCOL), ValidationConfig(by="none")).test
        # Evenly over the classes, which come one after the other; always drawn the same way, never by the result.
        clips = [store[int(test[i])] for i in np.linspace(0, len(test) - 1, count).round().astype(int)]
        for clip in clips:
            write_clip(clip, folder / f"{clip.clip_id}.json")
        found = recognizer.recognize_all(clips, store.classes, pack)
        shown += [(side, clip, recognition) for clip, recognition in zip(clips, found, strict=True)]
    return shown


def _story_clip(side: Literal["seen", "unseen"], clip: SkeletonClip, found: Recognition) -> StoryClip:
    return StoryClip(
        clip_id=clip.clip_id,
        side=side,
        label=clip.label or "",
        predicted=found.label,
        scores=found.scores,
        description=found.description,
        facts=found.claims,
        animation=animate(clip),
    )


def _curves(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Loss by step of every stage, from the run's log."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "loss" in entry:
            curves.setdefault(entry["stage"], []).append((entry["step"], entry["loss"]))
    return curves


def _table(result: dict[str, Any]) -> Table:
    """Top-1 of every scorer, seen and unseen side by side."""
    seen, unseen = result["seen"], result["unseen"]
    table = Table(title=f"top-1 %, unseen people and cameras (n = {seen['n']} and {unseen['n']})")
    table.add_column("scorer")
    table.add_column(f"{len(SEEN_CLASSES)} seen actions", justify="right")
    table.add_column(f"{len(UNSEEN_CLASSES)} unseen, by name", justify="right")
    for name in seen["scores"]:
        cells = [side["scores"].get(name) for side in (seen, unseen)]
        table.add_row(name, *("" if cell is None else f"{100 * cell['top1']:.1f}" for cell in cells))
    if result["faithfulness"] is not None:
        table.caption = f"{100 * result['faithfulness']:.1f} % of what the descriptions claim is true of the joints"
    return table
