"""docs/results.md is what lab/results/results.py makes of figures taken from reports, and of nothing else."""

import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sugar.evaluation.descriptions import DescriptionMetrics
from sugar.evaluation.report import evaluate
from sugar.reports.report_files import write_report
from sugar.workflows.ablation_summary import RECORD_FILE, summarize, table_markdown
from sugar.workflows.ablation_table import read_table
from sugar.workflows.aggregate import aggregate_seeds

ROOT = Path(__file__).parents[2]
SPEC = importlib.util.spec_from_file_location("results", ROOT / "lab" / "results" / "results.py")
assert SPEC
assert SPEC.loader
results: Any = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(results)

DATA = sorted((ROOT / "lab" / "results" / "data").glob("*.json"))
NOTEBOOK_DATA = sorted((ROOT / "lab" / "results" / "notebook_data").glob("*.json"))
CLASSES = ("sit down", "stand up", "clap")


def report(folder: Path, draw: int = 0, **changes: Any) -> Path:
    """The report of scores that are chance's, more or less, written as `sugar eval` does."""
    rng = np.random.default_rng(draw)
    labels = np.arange(30) % 3
    scores = {name: rng.dirichlet(np.ones(3), 30) for name in changes.pop("scorers", ("text", "llm", "fused"))}
    machine = {"commit": "c0ffee", "python": "3.11.7", "packages": {}, "system": "Linux-of-someone", "cpu": "a CPU"}
    machine |= {"cores": 2, "threads": 1, "gpus": []}
    trained = machine | {"llm": {"name": "/home/someone/models/small-lm", "hash": "1234"}}
    given = {
        "protocol": "cross-view",
        "split": "test",
        "data_hash": "abc123",
        "seed": draw,
        "clip_ids": [f"clip-{i}" for i in range(30)],
        "run": {"folder": folder.parent.name, "trained": trained, "free_generation_top1": draw / 4},
        "environment": machine | {"commit": "beef"},
        "description_metrics": DescriptionMetrics(
            n=30,
            rouge_l=0.25,
            label_first=0.5,
            label_named=0.5,
            chrf=25.0,
            chrf_signature="nc:6",
            faithfulness=0.75 + draw / 10,
            claims=10 + draw,
        ),
    }
    write_report(evaluate(scores, labels, CLASSES, **given | changes), folder)
    (folder.parent / "config.yaml").write_text(f"seed: {draw}\nmodel: {{language: {{name: /home/someone/small-lm}}}}\n")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    (folder / "lab" / "results" / "data").mkdir(parents=True)
    (folder / "docs").mkdir()
    return folder


def take(root: Path, *words: Any) -> dict[str, Any]:
    results.main(["--root", str(root), "take", *map(str, words)])
    return json.loads((root / "lab" / "results" / "data" / f"{words[0]}.json").read_text())


def written(root: Path, template: str) -> str:
    (root / "lab" / "results" / "results.template.md").write_text(template)
    results.main(["--root", str(root), "write"])
    return (root / "docs" / "results.md").read_text()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from strings(each)
    if isinstance(value, str):
        yield value


def test_the_page_is_that_of_template_and_data() -> None:
    assert (ROOT / "docs" / "results.md").read_text() == results.render(ROOT), (
        "docs/results.md is not edited by hand: change the template, then `python lab/results/results.py write`"
    )


def test_the_page_is_short() -> None:
    assert len((ROOT / "docs" / "results.md").read_text().splitlines()) <= 200


def test_the_readme_has_the_figures_of_the_page() -> None:
    taken = {path.stem: json.loads(path.read_text()) for path in DATA}
    readme = (ROOT / "README.md").read_text()
    assert results.table(taken["nw_ucla"]) in readme
    for scorer in ("fused", "fc"):
        mean = results.figure(taken, ["zero_shot", f"zero_shot.scores.{scorer}.top1", "mean"], "%")
        assert mean in readme.split("over eight such pairs")[1][:60]


def test_every_run_kept_the_weights_of_its_llm() -> None:
    """The page claims it."""
    llms = []
    for path in DATA:
        taken = json.loads(path.read_text())
        llms += [report["trained"].get("llm") for group in taken.get("groups", ()) for report in group["reports"]]
    hashes = [(llm["hash_before"], llm["hash_after"]) for llm in llms if llm]
    assert len(hashes) > 30
    assert all(before == after for before, after in hashes)


def test_the_notebook_is_whole_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "lab" / "notebook.md").read_text()
    assert len(text.splitlines()) > 1158
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / "lab" / target).exists(), target
    template = (ROOT / "lab" / "results" / "results.template.md").read_text()
    assert not [path.stem for path in NOTEBOOK_DATA if f" {path.stem} " in template]


@pytest.mark.parametrize("path", DATA + NOTEBOOK_DATA, ids=lambda path: path.stem)
def test_data_say_nothing_of_machines_and_clips(path: Path) -> None:
    taken = json.loads(path.read_text())
    found = set(strings(taken))
    assert not [text for text in found if re.search(r"(?<![\w.])/\w", text) or "Linux-" in text]
    said = set() if taken["kind"] == "ablation" else {"descriptions"}  # an ablation's are figures, not texts
    assert not found & {"clip_ids", "clip_id", "predictions", "system", *said}


def test_scores_come_through(root: Path, tmp_path: Path) -> None:
    reports = [report(tmp_path / f"run-{seed}" / "report", seed) for seed in range(3)]
    taken = take(root, "scores", *reports)
    assert [r["seed"] for r in taken["groups"][0]["reports"]] == [0, 1, 2]
    assert taken["groups"][0]["data_hash"] == ["abc123"]
    first = taken["groups"][0]["reports"][0]
    assert first["trained"]["llm"] == {"name": "small-lm", "hash": "1234"}
    assert first["evaluated"] == {"commit": "beef"}
    assert taken["differs"] == {}
    assert not {"clip-0", "system"} & set(strings(taken))
    figures = (
        "{{ figure scores description_metrics.faithfulness % }}; {{ figure scores scores.text.top1 each % }}; "
        "{{ figure scores description_metrics.claims mean .0f }}; {{ figure scores run range s }}; "
        "{{ figure scores scores.llm.top1 less scores scores.text.top1 % }}"
    )
    page = written(root, f"# Results\n\n{{{{ table scores }}}}\n\n{figures}\n")
    texts = [json.loads((r / "report.json").read_text())["scores"] for r in reports]
    each = [100 * scores["text"]["top1"] for scores in texts]
    less = np.mean([100 * (scores["llm"]["top1"] - scores["text"]["top1"]) for scores in texts])
    assert page == (
        f"# Results\n\n{aggregate_seeds(reports).to_markdown()}\n85.0 ± 10.0; "
        f"{each[0]:.1f}, {each[1]:.1f}, {each[2]:.1f}; 11; run-0 to run-2; {less:+.1f}\n"
    )
    assert f"{np.mean(each):.1f} ± {np.std(each, ddof=1):.1f}" in page
    assert len(set(each)) > 1


def test_columns_may_be_of_several_protocols(root: Path, tmp_path: Path) -> None:
    a = [report(tmp_path / f"a-{seed}" / "report", seed) for seed in range(2)]
    b = report(tmp_path / "b" / "report", 3, protocol="cross-subject", data_hash="def", scorers=("fc", "fused"))
    (b.parent / "config.yaml").write_text("seed: 3\nmodel: {language: {name: other-lm}}\n")
    taken = take(root, "both", "--column", "two seeds", *a, "--column", "one", b)
    assert taken["differs"] == {"model.language.name": {"two seeds": "small-lm", "one": "other-lm"}}
    lines = written(root, "{{ table both }}\n").splitlines()
    assert lines[0] == "| top-1 % | two seeds | one |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| `fc`", "| `text`", "| `llm`", "| `fused`"]
    assert re.fullmatch(r"\| `fc` \|  \| \d+\.\d \|", lines[2])
    assert re.fullmatch(r"\| `text` \| \d+\.\d ± \d+\.\d \|  \|", lines[3])


@pytest.mark.parametrize("changes", [{"protocol": "cross-subject"}, {"data_hash": "def"}, {"split": "validation"}])
def test_a_mix_is_refused(changes: dict[str, str], root: Path, tmp_path: Path) -> None:
    mixed = [report(tmp_path / "a" / "report", 0), report(tmp_path / "b" / "report", 1, **changes)]
    for words in (mixed, ["--column", "both", *mixed]):
        with pytest.raises(SystemExit, match=f"{next(iter(changes))} is not that of"):
            take(root, "mixed", *words)
    assert not list((root / "lab" / "results" / "data").iterdir())


def test_seeds_may_have_data_of_their_own_where_the_table_says_so(root: Path, tmp_path: Path) -> None:
    reports = [report(tmp_path / f"run-{seed}" / "report", seed, data_hash=f"{seed}") for seed in range(2)]
    assert take(root, "demo", *reports, "--own-data")["groups"][0]["data_hash"] == ["0", "1"]


def test_zero_shot_rows(root: Path, tmp_path: Path) -> None:
    def section(seed: int) -> dict[str, Any]:
        fused = {"top1": 0.6 + seed / 5, "top5": 1.0, "generalized": {"harmonic": 0.4 + seed / 10}}
        return {"chance": 1 / 3, "scores": {"fc": {"top1": 0.5, "top5": 1.0}, "fused": fused}}

    seen = [report(tmp_path / f"a-{seed}" / "report", seed, zero_shot=section(seed)) for seed in range(2)]
    other = section(0) | {"scores": {"fc": {"top1": 0.5, "top5": 1.0}, "fused": {"top1": 0.6, "top5": 0.9}}}
    cross = report(tmp_path / "c" / "report", 0, protocol="another", zero_shot=other)
    take(root, "zero_shot", "--row", "split", *seen, "--row", "one to another", cross)
    figure = "{{ figure zero_shot zero_shot.scores.fused.top1 less zero_shot zero_shot.scores.fc.top1 % }}"
    lines = written(root, "{{ table zero_shot }}\n" + figure).splitlines()
    assert lines[0] == "| protocol | clips | seeds | chance | `fc` | `fused` |"
    assert lines[2] == "| split | 30 | 2 | 33.3 | 50.0 ± 0.0 | 70.0 ± 14.1 |"
    assert lines[3] == "| one to another | 30 | 1 | 33.3 | 50.0 | 60.0 |"
    assert lines[4] == "+15.0"
    lines = written(root, "{{ table zero_shot generalized.harmonic }}").splitlines()
    assert (lines[0], lines[2:]) == ("| protocol | clips | seeds | `fused` |", ["| split | 30 | 2 | 45.0 ± 7.1 |"])
    lines = written(root, "{{ table zero_shot top5 }}").splitlines()
    assert lines[3] == "| one to another | 30 | 1 | 100.0 | 90.0 |"
    with pytest.raises(SystemExit, match="no actions that were never trained"):
        take(root, "none", "--row", "split", report(tmp_path / "d" / "report"))


def test_an_ablation_comes_through(root: Path, tmp_path: Path) -> None:
    table = read_table(ROOT / "lab" / "ablations" / "utd_mhad_table4_projector.yaml")
    scorers = ("text", "motion", "llm", "fused")
    done = {
        row: {seed: report(tmp_path / f"{place}-{seed}" / "report", 10 * place + seed, seed=seed, scorers=scorers)}
        for place, row in enumerate(table.rows)
        for seed in [1]
    }
    for folder in (path for by_seed in done.values() for path in by_seed.values()):
        (folder / RECORD_FILE).write_text('{"seconds": {"instruction": 2.5}}')
    result = summarize(table, done, seeds=[1], short=False, failures={"TQP-2": "/home/someone/run: broken"})
    (tmp_path / "table.json").write_text(json.dumps(result))
    taken = take(root, "table4", tmp_path / "table.json")["content"]
    assert taken["rows"] == result["rows"]
    assert taken["failures"] == {"TQP-2": "run: broken"}
    page = written(root, '## Table 4\n\n{{ table table4 }}\n\n{{ figure table4 "one Q-Former" scores.llm.top1 % }}\n')
    llm = 100 * result["rows"]["one Q-Former"]["scores"]["llm"]["top1"]["mean"]
    expected = table_markdown(result).replace(f"## {table.title}", "## Table 4").replace("/home/someone/", "")
    assert page == f"{expected}\n{llm:.1f}\n"
    (tmp_path / "table.json").write_text(json.dumps(result | {"data_hash": ["a", "b"]}))
    with pytest.raises(SystemExit, match="data_hash"):
        take(root, "table4", tmp_path)


def test_json_of_a_benchmark(root: Path, tmp_path: Path) -> None:
    (tmp_path / "speed.json").write_text('{"shapes": {"NTU": {"clips/s": 182.94}}, "file": "/home/someone/x.json"}')
    assert take(root, "speed", tmp_path / "speed.json")["content"]["file"] == "x.json"
    assert written(root, '{{ figure speed "shapes.NTU.clips/s" .1f }} clips/s') == "182.9 clips/s"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{ table speed }} {{ figure speed a .1f }}", "table speed"),
        ("{{ figure speed b .1f }}", "figure speed b"),
        ("{{ figure speed a .1f }} {{ table other }}", "data/other.json"),
        ("{{ figure speed a less other b .1f }}", "data/other.json"),
        ('{{ figure speed "a .1f }}', "No closing quotation"),
        ("{{ figure speed a .1f }} {{table speed}}", "no placeholder"),
        ("nothing", "data/speed.json: not in"),
    ],
)
def test_a_template_that_does_not_fit_is_refused(template: str, words: str, root: Path) -> None:
    (root / "lab" / "results" / "data" / "speed.json").write_text('{"kind": "figures", "content": {"a": 1.5}}')
    with pytest.raises(SystemExit, match=words):
        written(root, template)
    assert not (root / "docs" / "results.md").exists()


def test_what_cannot_be_taken_is_refused(root: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    given = report(tmp_path / "run" / "report")
    for words, message in (
        ([tmp_path / "absent.json"], "cannot be read"),
        ([tmp_path / "broken.json"], "cannot be read"),
        ([], "give them after the name"),
        (["--column", "a", given, "--column", "a", given], "a label twice"),
        (["--column", "a"], "no reports"),
        ([given, given], "seed of its own"),
    ):
        with pytest.raises(SystemExit, match=message):
            take(root, "x", *words)
