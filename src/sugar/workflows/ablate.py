"""Ablations: every row of a table trained and evaluated over several seeds, resumable at any point.

`OUT/stage1/HASH` holds what rows share: stage 1 (and the baseline, which knows no texts) is trained once for all rows
that agree in all that it depends on. `OUT/runs/ROW-SEED` starts from it and trains stage 2; `OUT/reports/ROW-SEED` is
its report on the test side. `OUT/table.json` and `OUT/table.md` are written anew after every run, so that what is done
can be read at any time; several processes may work on one folder.
"""

import fcntl
import hashlib
import json
import shutil
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from rich.console import Console

from sugar.config import as_plain, differences, parse_config, read_yaml, write_config
from sugar.errors import InputError
from sugar.evaluation.report import read_report
from sugar.files import atomic_folder, check_folder, write_text
from sugar.models.run_folder import CLASSES_FILE
from sugar.training.config import RunConfig, StageName
from sugar.training.engine.checkpoint import Checkpoint, checkpoint_path
from sugar.training.fingerprint import check_out
from sugar.training.run import train
from sugar.workflows.ablation_summary import RECORD_FILE, summarize, table_markdown
from sugar.workflows.ablation_table import AblationTable, folder_name, read_table
from sugar.workflows.evaluate import evaluate_run

# What may go wrong in one run without ending the others; a signal or a mistake of ours elsewhere does.
_FAILURES = (InputError, RuntimeError, ValueError, OSError, MemoryError)


def run_table(
    table: AblationTable | str | Path,
    out: str | Path,
    *,
    store: str | None = None,
    llm: Mapping[str, str] | None = None,
    rows: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    short: bool = False,
    console: Console | None = None,
) -> dict[str, Any]:
    """Train and evaluate what is not done yet, and write the table.

    Args:
        table: a table, or its file.
        out: folder of the ablation; called again with the same table it goes on where it stopped.
        store: in place of the base config's.
        llm: folders of LLMs by name, see `AblationTable.config` and `llm_folders`.
        rows, seeds: train these alone; the table shows all that is done.
        short: the table's short form.
        console: where progress goes, a line a run.

    Returns:
        the content of table.json; its ``failures`` are the runs that did not end, one line each.

    Raises:
        InputError: the table is wrong or has no such row, or ``out`` cannot be written.
        Interrupted, KeyboardInterrupt: a signal came; call again to go on.
    """
    check_folder(Path(out))
    table = table if isinstance(table, AblationTable) else read_table(table)
    for row in rows or ():
        if row not in table.rows:
            raise InputError(f"{table.path}: no row {row!r}; its rows are {', '.join(table.rows)}")
    for row in table.rows:  # before hours of training, not between them
        table.config(row, 0, short=short)
    work = _Work(table, Path(out), short, store, dict(llm or {}))
    console = console or Console(stderr=True)
    chosen = tuple(seeds or table.seeds)
    known = (*table.seeds, *(seed for seed in chosen if seed not in table.seeds))
    # Seed by seed: the first seed's table is whole long before the last one's.
    asked = [(row, seed) for seed in chosen for row in table.rows if rows is None or row in rows]
    for number, (row, seed) in enumerate(asked, start=1):
        started = time.monotonic()
        told = work.attempt(row, seed)
        result = work.write(known)
        console.print(
            f"{number}/{len(asked)} {row}, seed {seed}: {told} ({time.monotonic() - started:.0f} s)",
            markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print(table_markdown(result), markup=False, highlight=False, soft_wrap=True)
    return result


def llm_folders(given: Sequence[str]) -> dict[str, str]:
    """``NAME=FOLDER`` gives the LLM that rows call NAME; ``FOLDER`` alone that of every other row.

    Raises:
        InputError: one is given twice or empty.
    """
    folders: dict[str, str] = {}
    for entry in given:
        name, equals, folder = entry.partition("=")
        name, folder = (name, folder) if equals else ("*", name)
        if not name or not folder or name in folders:
            raise InputError(f"--llm {entry}: give NAME=FOLDER, each name once, or FOLDER for all rows")
        folders[name] = folder
    return folders


def stage_one_config(config: RunConfig) -> RunConfig:
    """What a run's stage 1 depends on; all else is as it is by default."""
    fresh = RunConfig()
    model = replace(
        config.model,
        views=fresh.model.views,
        projector=fresh.model.projector,
        language=fresh.model.language,
        unseen_weights=fresh.model.unseen_weights,
    )
    stages: tuple[StageName, ...] = ("alignment",)
    return replace(
        config, model=model, stages=stages, start_from="", baseline=fresh.baseline, instruction=fresh.instruction
    )


def baseline_config(config: RunConfig) -> RunConfig:
    """What its baseline depends on: no text, so that rows with other texts share it."""
    fresh = RunConfig()
    model = replace(
        fresh.model, frames=config.model.frames, preprocess=config.model.preprocess, encoder=config.model.encoder
    )
    model.motion.weight = 0.0
    knowledge = replace(fresh.knowledge, pack=config.knowledge.pack)
    stages: tuple[StageName, ...] = ("baseline",)
    return replace(
        fresh,
        data=config.data,
        knowledge=knowledge,
        model=model,
        stages=stages,
        baseline=config.baseline,
        seed=config.seed,
    )


def config_hash(config: RunConfig) -> str:
    """Twelve hexadecimal digits of what differs from the defaults, so that a field that a later version adds does not
    count."""
    changed = differences(as_plain(RunConfig()), as_plain(config))
    text = json.dumps({key: value for key, (_, value) in changed.items()}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass
class _Work:
    """One ablation in its folder."""

    table: AblationTable
    out: Path
    short: bool
    store: str | None
    llm: dict[str, str]
    broken: dict[Path, str] = field(default_factory=dict)
    """Shared trainings that failed: not tried again for every row."""

    def attempt(self, row: str, seed: int) -> str:
        """One run to its report, whatever it takes. Returns what to tell of it."""
        failure = self.failure(row, seed)
        try:
            report = self.run(row, seed)
        except _FAILURES as error:
            line = " ".join(str(error).split()) or type(error).__name__
            write_text(failure, f"{line}\n\n{traceback.format_exc()}")
            return f"failed: {line}"
        failure.unlink(missing_ok=True)
        shown = (scorer for scorer in self.table.scores if scorer in report["scores"])
        return ", ".join(f"{scorer} {100 * report['scores'][scorer]['top1']:.1f}" for scorer in shown)

    def run(self, row: str, seed: int) -> dict[str, Any]:
        """Train and evaluate; what is there already is taken. Returns the report."""
        config = self.table.config(row, seed, short=self.short, store=self.store, llm=self.llm)
        name = folder_name(row, seed)
        run, report = self.out / "runs" / name, self.out / "reports" / name
        with _locked(self.out / "locks" / name):
            check_out(config, report, resume=True)
            if (report / RECORD_FILE).is_file():
                return read_report(report)
            start = self.starting_point(config)
            instruction: tuple[StageName, ...] = ("instruction",) if "instruction" in config.stages else ()
            train_once(replace(config, stages=instruction, start_from=str(start)), run)
            write_config(config, report / "config.yaml")
            began = time.monotonic()
            written = evaluate_run(run, report, describe=False)
            seconds = {"evaluate": round(time.monotonic() - began, 1)}
            baseline = [self.baseline(config)] if "baseline" in config.stages else []
            for folder in (self.stage_one(config), *baseline, run):
                seconds |= training_seconds(folder)
            record = {"row": row, "seed": seed, "started_from": start.name, "seconds": seconds}
            write_text(report / RECORD_FILE, json.dumps(record, indent=1) + "\n")
        return written

    def starting_point(self, config: RunConfig) -> Path:
        """A folder with stage 1 and, if the run wants it, the baseline, each trained once for all rows alike in it."""
        if config.start_from:
            raise InputError(f"{self.table.path}: start_from is for the runner to set; take it out")
        if "alignment" not in config.stages:
            raise InputError(f"{self.table.path}: stages lacks alignment, without which a row has nothing to evaluate")
        first = self.stage_one(config)
        self.train_shared(stage_one_config(config), first)
        if "baseline" not in config.stages:
            return first
        second = self.baseline(config)
        self.train_shared(baseline_config(config), second)
        both = self.out / "stage1" / f"{first.name}-with-{second.name}"
        with _locked(self.out / "locks" / both.name):
            if not (both / CLASSES_FILE).is_file():
                with atomic_folder(both) as temporary:
                    described = (first / name for name in (CLASSES_FILE, "config.yaml", "environment.json"))
                    for file in (*described, *first.glob("*.safetensors"), second / "baseline.safetensors"):
                        shutil.copy2(file, temporary)
        return both

    def stage_one(self, config: RunConfig) -> Path:
        return self.out / "stage1" / config_hash(stage_one_config(config))

    def baseline(self, config: RunConfig) -> Path:
        return self.out / "stage1" / config_hash(baseline_config(config))

    def train_shared(self, config: RunConfig, folder: Path) -> None:
        if folder in self.broken:
            raise InputError(self.broken[folder])
        try:
            with _locked(self.out / "locks" / folder.name):
                train_once(config, folder)
        except _FAILURES as error:
            self.broken[folder] = f"{folder}: {error}"
            raise

    def write(self, seeds: Sequence[int]) -> dict[str, Any]:
        """Write the table of all that is done."""
        done = {
            row: {seed: report for seed in seeds if ((report := self.report(row, seed)) / RECORD_FILE).is_file()}
            for row in self.table.rows
        }
        failed = {
            folder_name(row, seed): self.failure(row, seed).read_text(encoding="utf-8").splitlines()[0]
            for row in self.table.rows
            for seed in seeds
            if self.failure(row, seed).is_file()
        }
        result = summarize(self.table, done, seeds=seeds, short=self.short, failures=failed)
        write_text(self.out / "table.json", json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
        write_text(self.out / "table.md", table_markdown(result))
        return result

    def failure(self, row: str, seed: int) -> Path:
        return self.out / "failures" / f"{folder_name(row, seed)}.txt"

    def report(self, row: str, seed: int) -> Path:
        return self.out / "reports" / folder_name(row, seed)


def train_once(config: RunConfig, folder: Path) -> None:
    """Train ``folder`` to its end, from where it stopped; nothing if it is finished.

    Raises:
        InputError: it was started with another config.
    """
    path = folder / "config.yaml"
    if path.is_file():  # the ablation may have moved: where a run starts from is no setting of its result
        saved, _ = parse_config(RunConfig, read_yaml(path), where=str(path))
        if saved.start_from != config.start_from:
            write_config(replace(saved, start_from=config.start_from), path)
    check_out(config, folder, resume=True)
    if not (folder / CLASSES_FILE).is_file():
        train(config, folder, resume=True)


def training_seconds(folder: Path) -> dict[str, float]:
    """Seconds of training by stage, parts before a resume included, as the checkpoints of a run have them."""
    paths = {stage: checkpoint_path(folder, stage) for stage in get_args(StageName)}
    return {stage: round(Checkpoint.load(p).scalars["seconds"], 1) for stage, p in paths.items() if p.is_file()}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Only one process at a time is in here; a lock ends with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
