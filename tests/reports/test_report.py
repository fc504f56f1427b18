"""The JSON holds every figure, the page shows them safely, seeds are averaged only where they may be."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from rich.console import Console

from sugar.errors import InputError
from sugar.evaluation.descriptions import DescriptionMetrics
from sugar.evaluation.report import DescriptionSample, evaluate, markdown_table, read_report
from sugar.reports.report_files import scores_table, write_report
from sugar.reports.report_page import render_page
from sugar.workflows.aggregate import aggregate_seeds, write_summary

CLASSES = ("sit down", "stand up", "<img src=x onerror=alert(1)>")
VOID = {"meta", "br", "img", "path", "circle", "input"}


def make(seed=0, scorers=("text", "llm", "fused", "fc"), classes=CLASSES, **changes):
    rng = np.random.default_rng(seed)
    labels = np.arange(30) % 3 if len(classes) == 3 else rng.integers(0, len(classes), 200)
    probabilities = {}
    for name in scorers:
        logits = rng.normal(size=(len(labels), len(classes)))
        logits[np.arange(len(labels)), labels] += 2.0
        probabilities[name] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    arguments = {"protocol": "cross-view", "split": "test", "data_hash": "abc123", "seed": seed} | changes
    return evaluate(probabilities, labels, classes, **arguments)


class Checker(HTMLParser):
    """Collects tags and checks that they nest."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_json_has_the_agreed_shape(tmp_path):
    result = make()
    report = write_report(result, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text()) == report == read_report(tmp_path)
    assert result.scores() == {"n": report["n"], "scores": report["scores"]}
    assert list(report["scores"]) == ["text", "llm", "fused", "fc"]
    assert {"top1", "top5", "mean_class", "ece"} <= set(report["scores"]["text"])
    assert np.sum(report["details"]["llm"]["confusion"]) == report["n"] == 30
    assert report["class_counts"] == [10, 10, 10]
    assert [(c["a"], c["b"]) for c in report["comparisons"]] == [("fused", n) for n in ("text", "llm", "fc")]
    for pair in report["details"]["text"]["worst_pairs"]:
        i, j = CLASSES.index(pair["true"]), CLASSES.index(pair["predicted"])
        assert i != j
        assert pair["count"] == report["details"]["text"]["confusion"][i][j] > 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["probabilities.npz", "report.html", "report.json"]


def test_probabilities_come_back_without_pickle(tmp_path):
    result = make(clip_ids=[f"clip{i}" for i in range(30)])
    write_report(result, tmp_path)
    with np.load(tmp_path / "probabilities.npz", allow_pickle=False) as tables:
        assert tables["clip_ids"][3] == "clip3"
        np.testing.assert_array_equal(tables["labels"], result.labels)
        np.testing.assert_allclose(tables["score_llm"], result.scorers["llm"].probabilities, atol=1e-6)


def test_page_is_safe_self_contained_and_well_formed(tmp_path):
    evil = "<script>alert('&')</script>"
    result = make(
        protocol=evil,
        run={"folder": evil, "llm": {"id": evil, "revision": None}},
        environment={evil: evil, "cores": 2, "list": [evil]},
        fusion={"weights": {evil: 1.0}},
        descriptions=[DescriptionSample(evil, evil, evil, evil, evil)],
        description_metrics=DescriptionMetrics(1, 0.5, 1.0, 1.0, 40.0, evil),
        scorers=("text", evil),
    )
    write_report(result, tmp_path)
    page = (tmp_path / "report.html").read_text()
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    assert not {"script", "img", "link", "iframe"} & set(checker.tags)
    assert not [a for a in checker.attributes if a[1] in ("src", "href") or a[1].startswith("on")]
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page
    assert "&lt;script&gt;" in page


def test_every_figure_of_the_page_follows_the_json(tmp_path):
    report = write_report(make(), tmp_path)
    report["scores"]["llm"]["top1"] = 0.123
    page = render_page(report)
    assert "12.3" in page
    assert page != (tmp_path / "report.html").read_text()
    report["scores"]["llm"]["top1"] = json.loads((tmp_path / "report.json").read_text())["scores"]["llm"]["top1"]
    assert render_page(report) == (tmp_path / "report.html").read_text()


@pytest.mark.parametrize("size", [1, 2, 20, 120])
def test_any_number_of_classes(size, tmp_path):
    write_report(make(classes=tuple(f"class {i}" for i in range(size))), tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") >= 8
    assert "nan" not in re.sub(r"<[^>]+>", "", page).lower().split()
    assert len(page) < 1_500_000


def test_tables_for_the_terminal_and_for_markdown(tmp_path):
    report = write_report(make(), tmp_path)
    console = Console(record=True, width=120)
    console.print(scores_table(report))
    assert f"{100 * report['scores']['fused']['top1']:.1f}" in console.export_text()
    assert r"a\|b" in markdown_table(["x"], [["a|b"]])


def test_evaluate_names_the_scorer_at_fault():
    good = np.full((2, 2), 0.5)
    fixed = {"protocol": "p", "split": "test", "data_hash": "h"}
    with pytest.raises(InputError, match=r"'llm'.*not finite"):
        evaluate({"text": good, "llm": good * np.nan}, [0, 1], ["a", "b"], **fixed)
    with pytest.raises(InputError, match="2 classes but 3 names"):
        evaluate({"text": good}, [0, 1], ["a", "b", "c"], **fixed)
    with pytest.raises(InputError, match="no scorer"):
        evaluate({}, [0, 1], ["a", "b"], **fixed)
    with pytest.raises(InputError, match="1 clip ids for 2"):
        evaluate({"text": good}, [0, 1], ["a", "b"], clip_ids=["x"], **fixed)


@pytest.mark.parametrize(
    "text", ["{", "[1]", "{}", '{"format_version": 99, "scores": {}, "protocol": "", "split": ""}']
)
def test_bad_reports_are_refused(text, tmp_path):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(InputError, match=r"report\.json"):
        read_report(tmp_path)


def test_missing_report_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such report"):
        read_report(tmp_path / "nothing.json")


def test_seeds_are_averaged(tmp_path):
    values = []
    for seed in range(3):
        values.append(write_report(make(seed), tmp_path / str(seed))["scores"]["text"]["top1"])
    summary = aggregate_seeds([tmp_path / str(s) for s in range(3)])
    spread = summary.scores["text"]["top1"]
    assert summary.seeds == (0, 1, 2)
    assert spread.mean == pytest.approx(np.mean(values))
    assert spread.deviation == pytest.approx(np.std(values, ddof=1))
    write_summary(summary, tmp_path / "all")
    assert json.loads((tmp_path / "all" / "seeds.json").read_text())["scores"]["fc"]["ece"]["values"]
    assert f"{100 * spread.mean:.1f} ± {100 * spread.deviation:.1f}" in (tmp_path / "all" / "seeds.md").read_text()


def test_a_single_seed_has_no_deviation(tmp_path):
    write_report(make(0), tmp_path)
    summary = aggregate_seeds([tmp_path / "report.json"])
    assert summary.scores["text"]["top1"].deviation is None
    assert "±" not in summary.to_markdown()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "cross-subject"}, "protocol is not that of"),
        ({"split": "validation"}, "split is not that of"),
        ({"data_hash": "other"}, "data_hash is not that of"),
        ({"classes": ("a", "b", "c")}, "classes is not that of"),
        ({"scorers": ("text",)}, "scorers"),
        ({"seed": 0}, "seed of its own"),
    ],
)
def test_different_things_are_not_averaged(changes, message, tmp_path):
    write_report(make(0), tmp_path / "a")
    seed = changes.pop("seed", 1)
    write_report(make(seed, **changes), tmp_path / "b")
    with pytest.raises(InputError, match=message):
        aggregate_seeds([tmp_path / "a", tmp_path / "b"])


def test_nothing_to_average():
    with pytest.raises(InputError, match="no reports"):
        aggregate_seeds([])
