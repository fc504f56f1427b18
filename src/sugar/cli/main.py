"""The command line: `sugar COMMAND ...`. Exit codes: 0 done, 2 bad usage or bad input, 1 our fault, 130 interrupted."""

import io
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentError

from sugar import __version__
from sugar.cli.common import print_json
from sugar.cli.derive import Command, Commands, find, group_parser
from sugar.errors import InputError

if TYPE_CHECKING:
    from sugar.training.config import RunConfig

# Torch, transformers and the rest are imported inside the commands: `sugar --help` must be instant.

_ABOUT = "Skeleton-based action recognition and description with knowledge texts and a frozen LLM."
_VERDICTS = {True: "true: ", False: "false:", None: "?:    "}
"""By whether the joints confirm a claim."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # A tokenizer's threads must not outlive the fork of a data worker.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack characters of a name
        sys.stdout.reconfigure(errors="backslashreplace")
    words = [_underscored(a) for a in (sys.argv[1:] if arguments is None else arguments)]
    try:
        _run(words)
        print(end="", flush=True)  # what cannot be written is said below, not at the interpreter's end
    except (InputError, ArgumentError) as error:
        print(f"sugar: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print(f"sugar: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        _drop_output()
    except OSError as error:  # a file or folder that cannot be read or written
        print(f"sugar: {_reason(error)}", file=sys.stderr)
        try:
            print(end="", flush=True)
        except OSError:
            _drop_output()
        return 2
    return 0


def _drop_output() -> None:
    """What still waits for standard output goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reason(error: OSError) -> str:
    where = error.filename2 or error.filename
    said = error.strerror or str(error) or type(error).__name__
    return " ".join((f"{where}: {said}" if where else said).split())


def _underscored(argument: str) -> str:
    """``--short-track`` is ``--short_track``: flags are names of fields."""
    flag, equals, value = argument.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value if flag.startswith("--") else argument


def _run(words: list[str]) -> None:
    found, name, rest = find(COMMANDS, words)
    if isinstance(found, Command):
        found.run(name, rest)
        return
    parser = group_parser(found, name, _ABOUT)
    if name == "sugar":
        parser.add_argument("--version", action="version", version=__version__)
    parser.parse_args(rest)


def demo(*, out: Path = Path("runs/demo"), seed: int = 0, overwrite: bool = False, json: bool = False) -> None:
    """Train, evaluate and describe on built-in data with a built-in LLM, offline.

    Args:
        out: folder of the demo's run
        seed: seed of everything random
        overwrite: replace a former demo in that folder
        json: one JSON object on standard output
    """
    from rich.console import Console

    from sugar.workflows.demo import run_demo

    result = run_demo(out, seed=seed, overwrite=overwrite, console=Console(stderr=json))
    if json:
        print_json(result)


def train(
    config: "RunConfig", *, out: Path, resume: bool = False, store: str | None = None, llm: str | None = None
) -> None:
    """Train a run from a config file; flags override the file.

    Args:
        out: run folder
        resume: go on where the run in --out stopped
        store: short for --data.store
        llm: short for --model.language.name
    """
    from sugar.training.run import train as train_run

    if store is not None:
        config = replace(config, data=replace(config.data, store=store))
    if llm is not None:
        language = replace(config.model.language, name=llm)
        config = replace(config, model=replace(config.model, language=language))
    train_run(config, out, resume=resume)


def evaluate(
    run: Path,
    *,
    out: Path,
    store: Path | None = None,
    protocol: str | None = None,
    knowledge: str | None = None,
    split: Literal["test", "validation"] = "test",
    classes: Literal["protocol", "new"] = "protocol",
    transductive: bool = False,
    llm: str | None = None,
    json: bool = False,
) -> None:
    """Evaluate a run on a protocol's test side and write the report.

    Args:
        run: run folder
        out: folder of the report
        store: another store than the run's
        protocol: another protocol than the run's
        knowledge: pack with texts of classes that are new to the run
        split: which side
        classes: new: only actions that mean none of the run's, for another data set
        transductive: actions never trained also with all clips looked at together, a figure of its own
        llm: where the LLM is, if not where the run says
        json: one JSON object on standard output
    """
    from rich.console import Console

    from sugar.reports.report_files import scores_table
    from sugar.workflows.evaluate import evaluate_run

    report = evaluate_run(
        run,
        out,
        store=store,
        protocol=protocol,
        llm=llm,
        pack=knowledge,
        side=split,
        classes=classes,
        transductive=transductive,
    )
    if json:
        zero_shot = (report["zero_shot"] or {"scores": {}})["scores"]
        harmonic = {name: f["generalized"]["harmonic"] for name, f in zero_shot.items() if "generalized" in f}
        print_json({"n": report["n"], "scores": report["scores"]} | ({"harmonic": harmonic} if harmonic else {}))
    else:
        Console().print(scores_table(report))
        print(f"{out / 'report.html'}: the report")


def predict(
    *sources: str,
    model: Path,
    candidates: str | None = None,
    knowledge: str | None = None,
    llm: str | None = None,
    json: bool = False,
) -> None:
    """Recognize and describe clips.

    Args:
        sources: files, folders with a dataset.yaml, stores, or - for JSON on standard input
        model: run folder
        candidates: a file, one name a line, or "a,b,c"
        knowledge: pack with texts of classes that are new to the run
        llm: where the LLM is, if not where the run says
        json: one JSON object a clip on standard output
    """
    from sugar.inference.predict import as_json, find_pack, parse_candidates
    from sugar.inference.recognizer import Recognizer
    from sugar.inference.sources import read_clips

    names = None if candidates is None else parse_candidates(candidates)
    recognizer = Recognizer.load(model, llm=llm)
    pack = None if names is None else find_pack(model, knowledge)
    clips = chain.from_iterable(read_clips(source, sys.stdin, recognizer.model.layout) for source in sources)
    for found in recognizer.recognize_each(clips, names, pack):
        if json:
            print_json(as_json(found))
        else:
            share = found.probabilities[found.label]
            print(f"{found.clip_id}: {found.label} ({share:.0%}). {found.description}", flush=True)
            for claim in found.claims:
                print(f"  {_VERDICTS[claim.holds]} {claim.text}", flush=True)


COMMANDS: Commands = {
    "predict": Command(predict),
    "demo": Command(demo),
    "train": Command(train, "sugar.training.config:RunConfig"),
    "eval": Command(evaluate),
    "data": "sugar.cli.data:COMMANDS",
    "knowledge": "sugar.cli.knowledge:COMMANDS",
    "lab": "sugar.cli.lab:COMMANDS",
}
