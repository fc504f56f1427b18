"""The `sugar lab` commands: experiments over several runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sugar.cli.common import print_json
from sugar.cli.derive import Command, Commands
from sugar.errors import InputError

if TYPE_CHECKING:
    from sugar.training.config import RunConfig


def ablate(
    table: Path,
    *,
    out: Path,
    store: str | None = None,
    llm: Sequence[str] = (),
    rows: Sequence[str] = (),
    seeds: Sequence[int] = (),
    short: bool = False,
) -> None:
    """Train and evaluate all rows of a table of variants; goes on where it stopped.

    Args:
        table: YAML file of the table, such as those in lab/ablations/
        out: folder of the runs and the table
        store: store, in place of the base config's
        llm: folders of LLMs: NAME=FOLDER, or one for all rows
        rows: only these rows
        seeds: only these seeds
        short: the table's short form
    """
    from rich.console import Console

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


def aggregate(*reports: Path, out: Path) -> None:
    """Mean and deviation over the reports of several seeds.

    Args:
        reports: report folders or report.json files
        out: folder of the summary
    """
    from sugar.workflows.aggregate import aggregate_seeds, write_summary

    summary = aggregate_seeds(list(reports))
    write_summary(summary, out)
    print(summary.to_markdown())


def compare(a: Path, b: Path, *, json: bool = False) -> None:
    """Compare the reports of two runs clip by clip: differences with paired intervals.

    Args:
        a: report folder, or run folder with a report in it
        b: the other one
        json: one JSON object on standard output
    """
    from sugar.evaluation.compare import compare as compare_reports
    from sugar.evaluation.compare import compare_markdown

    found = compare_reports(a, b)
    if json:
        print_json(found)
    else:
        print(compare_markdown(found))


def label_issues(config: "RunConfig", *, out: Path, by: str = "subject", rounds: int = 3) -> None:
    """Find likely label errors by cross-validation.

    Args:
        out: folder of the list and of its runs; goes on in it
        by: column each of whose values is a part
        rounds: most rounds; it ends when nothing changes any more
    """
    from sugar.workflows.label_issues import check_labels

    check_labels(config, out, by=by, rounds=rounds)


def fit_fusion(config: "RunConfig", *, out: Path, by: str = "subject") -> None:
    """Choose the fusion's weights by cross-validation.

    Args:
        out: folder of the weights and of its runs; goes on in it
        by: column each of whose values is a part
    """
    from sugar.workflows.fit_fusion import cross_fit_fusion

    cross_fit_fusion(config, out, by=by)


COMMANDS: Commands = {
    "ablate": Command(ablate),
    "aggregate": Command(aggregate),
    "compare": Command(compare),
    "label-issues": Command(label_issues, "sugar.training.config:RunConfig"),
    "fit-fusion": Command(fit_fusion, "sugar.training.config:RunConfig"),
}
