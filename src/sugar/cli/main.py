"""The command line: one typed function per command. Exit codes: 0 done, 2 bad usage or bad input, 1 our fault."""

import io
import os
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jsonargparse import ArgumentError, ArgumentParser, Namespace
from rich.console import Console

from sugar import __version__
from sugar.cli.common import new_parser, print_json
from sugar.errors import InputError

if TYPE_CHECKING:
    from sugar.training.config import RunConfig

# Torch, transformers and the rest are imported inside the commands: `sugar --help` must be instant.


# What the joints say of a claim.
_VERDICTS = {True: "true: ", False: "false:", None: "?:    "}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    # A tokenizer's threads must not outlive the fork of a data worker.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal may lack characters of a name
        sys.stdout.reconfigure(errors="backslashreplace")
    argv = [_underscored(a) for a in (sys.argv[1:] if arguments is None else arguments)]
    try:
        _run(argv)
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


def _run(argv: list[str]) -> None:
    given = _parser(argv).parse_args(argv)
    match given.command:
        case "demo":
            a = given.demo
            demo(a.out, a.seed, a.overwrite, a.json)
        case "train":
            train(argv[1:])
        case "eval":
            a = given.eval
            evaluate(a.run, a.store, a.protocol, a.out, a.llm, a.knowledge, a.split, a.classes, a.transductive, a.json)
        case "predict":
            a = given.predict
            predict(a.run, a.inputs, a.candidates, a.knowledge, a.llm, a.json)
        case "seeds":
            summarize(given.seeds.reports, given.seeds.out)
        case "ablate":
            a = given.ablate
            ablate(a.table, a.out, a.store, a.llm, a.rows, a.seeds, a.short)
        case "check-labels":
            check_labels(argv[1:])
        case "fit-fusion":
            fit_fusion(argv[1:])
        case "compare":
            a = given.compare
            compare_runs(a.a, a.b, a.json)
        case "data":
            from sugar.cli.data import run_data

            run_data(given.data)
        case "knowledge":
            from sugar.cli.knowledge import run_knowledge

            run_knowledge(given.knowledge, argv[1:])


def demo(out: Path, seed: int, overwrite: bool, as_json: bool) -> None:
    """The whole story on built-in data and a built-in LLM, offline."""
    from sugar.workflows.demo import run_demo

    result = run_demo(out, seed=seed, overwrite=overwrite, console=Console(stderr=as_json))
    if as_json:
        print_json(result)


def train(arguments: Sequence[str]) -> None:
    """Train a run from a config file; flags override the file."""
    from sugar.training.run import train as train_run

    config, given = _run_config(_train_parser(), arguments)
    if given["store"] is not None:
        config.data.store = given["store"]
    if given["llm"] is not None:
        config.model.language.name = given["llm"]
    train_run(config, given["out"], resume=given["resume"])


def evaluate(
    run: Path,
    store: Path | None,
    protocol: str | None,
    out: Path,
    llm: str | None,
    knowledge: str | None,
    split: Literal["test", "validation"],
    classes: Literal["protocol", "new"],
    transductive: bool,
    as_json: bool,
) -> None:
    """Evaluate a run on a protocol's test side and write the report."""
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
    if as_json:
        zero_shot = (report["zero_shot"] or {"scores": {}})["scores"]
        harmonic = {name: f["generalized"]["harmonic"] for name, f in zero_shot.items() if "generalized" in f}
        print_json({"n": report["n"], "scores": report["scores"]} | ({"harmonic": harmonic} if harmonic else {}))
    else:
        Console().print(scores_table(report))
        print(f"{out / 'report.html'}: the report")


def predict(
    run: Path, inputs: Sequence[str], candidates: str | None, knowledge: str | None, llm: str | None, as_json: bool
) -> None:
    """Recognize and describe clips."""
    from sugar.inference.predict import as_json as plain
    from sugar.inference.predict import find_pack, parse_candidates
    from sugar.inference.recognizer import Recognizer
    from sugar.inference.sources import read_clips

    names = None if candidates is None else parse_candidates(candidates)
    recognizer = Recognizer.load(run, llm=llm)
    pack = None if names is None else find_pack(run, knowledge)
    clips = chain.from_iterable(read_clips(source, sys.stdin, recognizer.model.layout) for source in inputs)
    for found in recognizer.recognize_each(clips, names, pack):
        if as_json:
            print_json(plain(found))
        else:
            print(
                f"{found.clip_id}: {found.label} ({found.probabilities[found.label]:.0%}). {found.description}",
                flush=True,
            )
            for claim in found.claims:
                print(f"  {_VERDICTS[claim.holds]} {claim.text}", flush=True)


def summarize(reports: Sequence[Path], out: Path) -> None:
    """Mean and deviation over the reports of several seeds."""
    from sugar.workflows.aggregate import aggregate_seeds, write_summary

    summary = aggregate_seeds(list(reports))
    write_summary(summary, out)
    print(summary.to_markdown())


def ablate(
    table: Path,
    out: Path,
    store: str | None,
    llm: Sequence[str],
    rows: Sequence[str],
    seeds: Sequence[int],
    short: bool,
) -> None:
    """Train and evaluate all rows of a table of variants; goes on where it stopped."""
    from sugar.workflows.ablate import llm_folders, run_table
    from sugar.workflows.ablation_summary import table_markdown

    found = run_table(
        table,
        out,
        store=store,
        llm=llm_folders(llm),
        rows=rows or None,
        seeds=seeds or None,
        short=short,
        console=Console(stderr=True),
    )
    print(table_markdown(found))
    if found["failures"]:
        raise InputError(f"{out}: {len(found['failures'])} runs failed; their reasons are in {out / 'failures'}")


def check_labels(arguments: Sequence[str]) -> None:
    """List training clips whose labels models that were not shown them do not believe."""
    from sugar.workflows.label_issues import check_labels as check

    config, given = _run_config(_check_labels_parser(), arguments)
    check(config, given["out"], by=given["by"], rounds=given["rounds"])


def fit_fusion(arguments: Sequence[str]) -> None:
    """Choose the fusion's weights by models that were not shown the training clips they judge."""
    from sugar.workflows.fit_fusion import cross_fit_fusion

    config, given = _run_config(_fit_fusion_parser(), arguments)
    cross_fit_fusion(config, given["out"], by=given["by"])


def compare_runs(a: Path, b: Path, as_json: bool) -> None:
    """Compare the reports of two runs clip by clip: differences with paired intervals."""
    from sugar.evaluation.compare import compare, compare_markdown

    found = compare(a, b)
    if as_json:
        print_json(found)
    else:
        print(compare_markdown(found))


def _run_config(parser: ArgumentParser, arguments: Sequence[str]) -> "tuple[RunConfig, Namespace]":
    """The config in the file that a command names, with the flags over it; and all that was given."""
    from sugar.config import parse_config, read_config
    from sugar.training.config import RunConfig

    path = Path(parser.parse_args(list(arguments)).config)
    return parse_config(RunConfig, read_config(path), where=str(path), parser=parser, arguments=arguments)


def _parser(command_line: Sequence[str]) -> ArgumentParser:
    """All commands. The flags of `train` are the fields of its config, whose classes take a while to import."""
    parser = new_parser("Skeleton-based action recognition and description with knowledge texts and a frozen LLM.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subcommands(dest="command")

    command = new_parser(demo.__doc__)
    command.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the demo's run")
    command.add_argument("--seed", type=int, default=0, help="seed of everything random")
    command.add_argument("--overwrite", action="store_true", help="replace a former demo in that folder")
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands.add_subcommand("demo", command, help=demo.__doc__)

    data = new_parser("Import and look at data.")
    commands.add_subcommand("data", data, help="Import and look at data.")
    if command_line[:1] == ["data"]:
        from sugar.cli.data import add_data_commands

        add_data_commands(data)

    knowledge = new_parser("Build and look at knowledge packs.")
    commands.add_subcommand("knowledge", knowledge, help="Build and look at knowledge packs.")
    if command_line[:1] == ["knowledge"]:
        from sugar.cli.knowledge import add_knowledge_commands

        add_knowledge_commands(knowledge, command_line)

    commands.add_subcommand(
        "train", _train_parser() if command_line[:1] == ["train"] else new_parser(None), help=train.__doc__
    )

    for name, of, own_parser in (
        ("check-labels", check_labels, _check_labels_parser),
        ("fit-fusion", fit_fusion, _fit_fusion_parser),
    ):
        command = own_parser() if command_line[:1] == [name] else new_parser(None)
        commands.add_subcommand(name, command, help=of.__doc__)

    command = new_parser(evaluate.__doc__)
    command.add_argument("run", type=Path, help="run folder")
    command.add_argument("--out", type=Path, required=True, help="folder of the report")
    command.add_argument("--store", type=Path | None, help="another store than the run's")
    command.add_argument("--protocol", type=str | None, help="another protocol than the run's")
    command.add_argument("--knowledge", type=str | None, help="pack with texts of classes that are new to the run")
    command.add_argument("--split", type=Literal["test", "validation"], default="test", help="which side")
    command.add_argument(
        "--classes",
        type=Literal["protocol", "new"],
        default="protocol",
        help="new: only actions that mean none of the run's, for another data set",
    )
    command.add_argument(
        "--transductive",
        action="store_true",
        help="actions never trained also with all clips looked at together, a figure of its own",
    )
    command.add_argument("--llm", type=str | None, help="where the LLM is, if not where the run says")
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands.add_subcommand("eval", command, help=evaluate.__doc__)

    command = new_parser(predict.__doc__)
    command.add_argument("run", type=Path, help="run folder")
    command.add_argument(
        "inputs",
        type=str,
        nargs="+",
        help="files, folders with a dataset.yaml, stores, or - for JSON on standard input",
    )
    command.add_argument("--candidates", type=str | None, help='a file, one name a line, or "a,b,c"')
    command.add_argument("--knowledge", type=str | None, help="pack with texts of classes that are new to the run")
    command.add_argument("--llm", type=str | None, help="where the LLM is, if not where the run says")
    command.add_argument("--json", action="store_true", help="one JSON object a clip on standard output")
    commands.add_subcommand("predict", command, help=predict.__doc__)

    command = new_parser(ablate.__doc__)
    command.add_argument("table", type=Path, help="YAML file of the table, such as those in lab/ablations/")
    command.add_argument("--out", type=Path, required=True, help="folder of the runs and the table")
    command.add_argument("--store", type=str | None, help="store, in place of the base config's")
    command.add_argument(
        "--llm", type=str, nargs="+", default=[], help="folders of LLMs: NAME=FOLDER, or one for all rows"
    )
    command.add_argument("--rows", type=str, nargs="+", default=[], help="only these rows")
    command.add_argument("--seeds", type=int, nargs="+", default=[], help="only these seeds")
    command.add_argument("--short", action="store_true", help="the table's short form")
    commands.add_subcommand("ablate", command, help=ablate.__doc__)

    command = new_parser(compare_runs.__doc__)
    command.add_argument("a", type=Path, help="report folder, or run folder with a report in it")
    command.add_argument("b", type=Path, help="the other one")
    command.add_argument("--json", action="store_true", help="one JSON object on standard output")
    commands.add_subcommand("compare", command, help=compare_runs.__doc__)

    command = new_parser(summarize.__doc__)
    command.add_argument("reports", type=Path, nargs="+", help="report folders or report.json files")
    command.add_argument("--out", type=Path, required=True, help="folder of the summary")
    commands.add_subcommand("seeds", command, help=summarize.__doc__)
    return parser


def _train_parser() -> ArgumentParser:
    from sugar.config import add_config
    from sugar.training.config import RunConfig

    parser = new_parser(train.__doc__)
    parser.add_argument("config", type=str, help="YAML file; every flag below may stand in it, and base: another file")
    parser.add_argument("--out", type=Path, required=True, help="run folder")
    parser.add_argument("--resume", action="store_true", help="go on where the run in --out stopped")
    parser.add_argument("--store", type=str | None, help="short for --data.store")
    parser.add_argument("--llm", type=str | None, help="short for --model.language.name")
    add_config(parser, RunConfig)
    return parser


def _check_labels_parser() -> ArgumentParser:
    parser = _held_out_parser(check_labels.__doc__, "the list")
    parser.add_argument("--rounds", type=int, default=3, help="most rounds; it ends when nothing changes any more")
    return parser


def _fit_fusion_parser() -> ArgumentParser:
    return _held_out_parser(fit_fusion.__doc__, "the weights")


def _held_out_parser(about: str | None, result: str) -> ArgumentParser:
    from sugar.config import add_config
    from sugar.training.config import RunConfig

    parser = new_parser(about)
    parser.add_argument("config", type=str, help="YAML file of a run, which is trained without each part in turn")
    parser.add_argument("--out", type=Path, required=True, help=f"folder of {result} and of its runs; goes on in it")
    parser.add_argument("--by", type=str, default="subject", help="column each of whose values is a part")
    add_config(parser, RunConfig)
    return parser
