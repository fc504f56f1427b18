"""Reading back: ``python lab/benchmarks/store.py [--store stores/nw-ucla] [--clips 4000] [--json]``.

- Random clips a second out of a store, from a warm and from a cold page cache: the given store, and a synthetic one of
  NTU RGB+D's shape. "Cold" is what the system is asked to forget (posix_fadvise); "megabytes_from_disk" says whether
  it did. Reading a clip checks it (`SkeletonClip`) and touches all its numbers.
- The share of stage 1's steps that the training waits for its data: the real engine, default encoder and batches,
  knowledge texts alone (what makes the steps shortest, hence the share largest), one thread, the first epoch left out.
  "waiting" is by the clock, "loading" by the training process's processor time, which other work disturbs less.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sugar.training.engine.fit as engine
from sugar.datasets.store.clip_dataset import ClipDataset
from sugar.datasets.store.store import Store, write_store
from sugar.knowledge.bank import TextBank
from sugar.models.encoders.build import EncoderConfig, build_encoder
from sugar.models.heads.alignment import AlignmentConfig, KnowledgeAlignment
from sugar.skeleton.clip import SkeletonClip
from sugar.skeleton.layouts import NTU25
from sugar.training.engine.config import LoopConfig, OptimizationConfig
from sugar.training.stages.alignment import AlignmentObjective
from sugar.transforms.augment import AugmentConfig
from sugar.transforms.batches import PreprocessConfig, collate

FRAMES = 64
"""Frames that a clip is resampled to, as in the configuration for NW-UCLA."""
TEXTS, TEXT_CHANNELS = 40, 384


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", type=Path, default=Path("stores/nw-ucla"), help="a store with labels")
    parser.add_argument("--clips", type=int, default=4000, help="clips of the synthetic store")
    parser.add_argument("--train-clips", type=int, default=512, help="clips of an epoch")
    parser.add_argument("--epochs", type=int, default=3, help="epochs, the first to warm up")
    parser.add_argument("--batch", type=int, default=64, help="clips in a batch")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    options = parser.parse_args()
    if options.epochs < 2:
        parser.error("--epochs must be at least 2: the first is to warm up")
    with tempfile.TemporaryDirectory() as folder:
        synthetic = write_store(
            Path(folder, "store"),
            ntu_clips(options.clips),
            name="synthetic",
            classes=(),
            layout=NTU25,
            source="benchmark",
        )
        report = {
            "reading": {
                str(options.store): read_randomly(options.store),
                f"synthetic, {options.clips} clips of NTU RGB+D's shape": read_randomly(synthetic.path),
            },
            "training": {
                f"cache {'on' if cache else 'off'}, {workers} workers": share_of_waiting(
                    Store.open(options.store),
                    options.train_clips,
                    LoopConfig(
                        epochs=options.epochs,
                        batch_size=options.batch,
                        precision="bf16",
                        threads=1,
                        workers=workers,
                        checkpoint_seconds=1e9,
                        checkpoint_epochs=0,
                        tensorboard="off",
                    ),
                    cache=cache,
                    folder=Path(folder, f"run-{cache}-{workers}"),
                )
                for cache in (True, False)
                for workers in (0, 1)
            },
        }
    print(json.dumps(report, indent=None if options.json else 1))


def ntu_clips(count: int) -> Iterator[SkeletonClip]:
    """Clips of 50 to 150 frames, every fourth with two persons, with confidence."""
    rng = np.random.default_rng(0)
    for i in range(count):
        shape = (int(rng.integers(50, 151)), 2 if i % 4 == 0 else 1, 25)
        joints = rng.standard_normal((*shape, 3), dtype=np.float32)
        yield SkeletonClip(joints, NTU25, confidence=np.ones(shape, np.float32), clip_id=f"clip{i}")


def read_randomly(path: Path) -> dict[str, dict[str, float]]:
    """Clips a second of one pass over the store in random order."""
    report = {}
    for name, cold in (("cold", True), ("warm", False)):
        if cold:
            forget(path / "clips.arrow")
        started, before = time.perf_counter(), bytes_from_disk()
        store = Store.open(path)
        opened = time.perf_counter() - started
        order = np.random.default_rng(0).permutation(len(store)).tolist()
        numbers = 0
        for i in order:
            numbers += np.count_nonzero(store[i].joints)
        seconds = time.perf_counter() - started - opened
        report[name] = {
            "clips_per_second": round(len(store) / seconds),
            "megabytes_per_second": round(numbers * 4 / seconds / 1e6),
            "seconds_to_open": round(opened, 3),
            "megabytes_from_disk": round((bytes_from_disk() - before) / 1e6, 1),
        }
    return report


def forget(file: Path) -> None:
    """Ask the system to drop the file's pages; only written ones that nobody has mapped go."""
    with file.open("rb") as opened:
        os.fsync(opened.fileno())
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def bytes_from_disk() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("read_bytes:"))


@dataclass
class Watched:
    """Passes batches on and notes how long each took to come, by clock and by processor; the marks are its ends."""

    batches: Any
    waits: list[tuple[float, float]] = field(default_factory=list)
    marks: list[tuple[float, float]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Any]:
        batches = iter(self.batches)
        while True:
            clock, processor = time.perf_counter(), time.process_time()
            batch = next(batches, None)
            now = time.perf_counter(), time.process_time()
            self.waits.append((now[0] - clock, now[1] - processor))
            self.marks.append(now)
            if batch is None:
                return
            yield batch


def share_of_waiting(store: Store, clips: int, loop: LoopConfig, *, cache: bool, folder: Path) -> dict[str, float]:
    """Train stage 1 and compare what the next batch took with what the steps took, after the first epoch."""
    chosen = np.flatnonzero(store.labels >= 0)
    chosen = chosen[:: max(1, len(chosen) // clips)][:clips]
    watched: list[Watched] = []
    loader = engine.loader

    def watching(*arguments: Any) -> Watched:
        watched.append(Watched(loader(*arguments)))
        return watched[0]

    engine.loader = watching  # type: ignore[assignment]
    try:
        engine.fit(
            objective(store),
            ClipDataset(store, chosen, PreprocessConfig(), cache=cache),
            collate,  # type: ignore[arg-type]
            loop=loop,
            optimization=OptimizationConfig(),
            seed=0,
            folder=folder,
            resume=False,
            name="alignment",
        )
    finally:
        engine.loader = loader
    # The last step has no mark at its end, so the time from the last batch of the first epoch to the last of all.
    waits, marks = np.array(watched[0].waits), np.array(watched[0].marks)
    first = len(waits) // loop.epochs
    clock, processor = marks[-1] - marks[first - 1]
    waiting, loading = waits[first:].sum(axis=0)
    steps = len(waits) - first
    return {
        "waiting_percent": round(100 * float(waiting / clock), 2),
        "loading_percent": round(100 * float(loading / processor), 2),
        "milliseconds_waiting": round(1e3 * float(waiting) / steps, 2),
        "milliseconds_loading": round(1e3 * float(loading) / steps, 2),
        "milliseconds_a_step": round(1e3 * float(clock) / steps, 1),
        "steps": steps,
    }


def objective(store: Store) -> AlignmentObjective:
    """Stage 1 with random texts, whose values do not matter for time."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(), store.layout)
    number = len(store.classes)
    bank = TextBank(
        embeddings=torch.nn.functional.normalize(torch.randn(TEXTS * number, TEXT_CHANNELS), dim=-1),
        classes=torch.arange(number).repeat_interleave(TEXTS),
        kinds=("motion",) * (TEXTS * number),
        texts=tuple(f"text {i}" for i in range(TEXTS * number)),
        names=store.classes,
        encoder="none",
        fingerprint="none",
    )
    alignment = KnowledgeAlignment(
        in_channels=encoder.out_channels,
        text_channels=TEXT_CHANNELS,
        num_classes=number,
        config=AlignmentConfig(),
        num_branches=encoder.num_branches,
    )
    return AlignmentObjective(
        encoder=encoder,
        alignment=alignment,
        bank=bank,
        layout=store.layout,
        augmentation=AugmentConfig(),
        frames=FRAMES,
    )


if __name__ == "__main__":
    main()
