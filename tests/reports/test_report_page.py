"""Every figure on the report page is one of the JSON, and the drawings are of the same values."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest

from sugar.datasets.synthetic import UNSEEN_CLASSES, generate
from sugar.evaluation.confusion import class_texts, explain_pair, worst_pairs
from sugar.evaluation.descriptions import DescriptionMetrics
from sugar.evaluation.embedding_map import FeatureSpace, representation
from sugar.evaluation.report import DescriptionSample, evaluate
from sugar.knowledge.pack import load_pack
from sugar.reports.animation import animate
from sugar.reports.report_files import write_report
from sugar.reports.report_page import render_page

CLASSES = ("swipe left", "swipe right", "jog", "walk")
SCORERS = ("fc", "text", "a/b~c", "fused")
CLIPS = 80
# What may stand on the page without being a figure of this report.
PHRASES = ("95 %", "top-1", "top-5")
VOID = {"meta", "input", "br"}

FORMATS = {
    "text": lambda v: f"{v:.4g}" if isinstance(v, float) else ", ".join(map(str, v)) if isinstance(v, list) else str(v),
    "count": str,
    "size": lambda v: str(len(v)),
    "percent": lambda v: "–" if v is None else f"{100 * v:.1f}",  # noqa: RUF001
    "points": lambda v: f"{100 * v:+.1f}",
    "three": lambda v: f"{v:.3f}",
    "signed": lambda v: f"{v:+.3f}",
    "one": lambda v: f"{v:.1f}",
    "p": lambda v: "< 0.001" if v < 0.001 else f"{v:.3f}",
    "hash": lambda v: v[:12],
    "name": lambda v: v if len(v) <= 26 else v[:25] + "…",
    "true": lambda v: str([claim["holds"] for claim in v].count(True)),
}


class Page(HTMLParser):
    """Traced elements as (pointer, style, text), the other texts, and all attributes."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.traced, self.loose, self.elements = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.elements.append((tag, attrs))
        if tag in VOID:
            return
        self.open.append((tag, attrs))
        if "data-path" in attrs:
            assert not any("data-path" in outer for _, outer in self.open[:-1]), "traced values do not nest"
            self.traced.append([attrs["data-path"], attrs["data-as"], ""])

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if any("data-path" in attrs for _, attrs in self.open):
            self.traced[-1][2] += data
        elif self.open and self.open[-1][0] not in ("style", "script", "title"):
            self.loose.append((data, self.open[-1][1].get("class", "")))


def look_up(report, pointer):
    found = report
    for key in pointer.split("/")[1:]:
        key = key.replace("~1", "/").replace("~0", "~")
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def keys_of(value):
    if isinstance(value, dict):
        return set(value) | {key for inner in value.values() for key in keys_of(inner)}
    return {key for inner in value for key in keys_of(inner)} if isinstance(value, list) else set()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A report with every section, as (content of report.json, page, Page)."""
    rng = np.random.default_rng(0)
    labels = np.arange(CLIPS) % len(CLASSES)
    probabilities = {}
    for name in SCORERS:
        logits = rng.normal(size=(CLIPS, len(CLASSES)))
        logits[np.arange(CLIPS), labels] += 1.3
        probabilities[name] = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    pack = load_pack("utd_mhad")
    similarity = {"texts": np.array([[1, 0.9, 0.1, 0.2], [0.9, 1, 0.3, 0.1], [0.1, 0.3, 1, 0.8], [0.2, 0.1, 0.8, 1]])}
    spaces = [
        FeatureSpace(name, "what 2 it is", rng.normal(size=(CLIPS, 8)).astype(np.float32) + np.eye(8)[labels] * 3)
        for name in ("cross-entropy", "stage 1")
    ]
    clips = list(generate(1, 0, UNSEEN_CLASSES))[:2]
    samples = [
        DescriptionSample(
            f"clip{i}",
            CLASSES[labels[i]],
            CLASSES[2],
            "A person jogs 3 times.",
            "Someone jogs.",
            [
                {"text": "The person bends.", "holds": True},
                {"text": "<b>", "holds": None},
                {"text": "4", "holds": False},
            ],
            index=i,
            chosen=chosen,
        )
        for i, chosen in enumerate(("any", "wrong"))
    ]
    result = evaluate(
        probabilities,
        labels,
        CLASSES,
        protocol="cross-subject 7",
        split="test",
        data_hash="0123456789abcdef0123",
        seed=3,
        clip_ids=[f"clip{i}" for i in range(CLIPS)],
        run={"folder": "run-0", "trained": {"seed": 3, "empty": None}, "free_generation_agrees": 0.875},
        environment={"torch": "2.13", "sha256": "00ff", "cores": 2, "devices": ["cpu", "a & b"]},
        fusion={"weights": {"text": 0.123456}, "temperature": 1.5},
        descriptions=samples,
        description_metrics=DescriptionMetrics(80, 0.25, 0.9, 0.95, 31.4159, "nrefs:1|v:2.6", 0.91, 123, 0.7),
        faithfulness_interval=(0.86, 0.95),
        texts=class_texts(pack, CLASSES, similarity),
        representation=representation(spaces, labels, reference="stage 1", clips=list(range(CLIPS)), of=900, seed=0),
        zero_shot={
            "candidates": ["jog", "walk"],
            "chance": 0.5,
            "generalized": True,
            "scores": {
                "text": {"unseen": {"top1": 0.4, "top1_interval": [0.3, 0.5], "top5": 1.0}, "harmonic": 0.45},
                "llm": {"unseen": {"top1": 0.625}, "seen": {"top1": 0.875}},
            },
        },
    )
    folder = tmp_path_factory.mktemp("report")
    write_report(result, folder, [animate(clip) for clip in clips])
    page = (folder / "report.html").read_text()
    return json.loads((folder / "report.json").read_text()), page, Page(page)


def test_every_traced_value_is_that_of_the_json(told):
    report, _, page = told
    assert len(page.traced) > 500
    for pointer, style, text in page.traced:
        assert text == FORMATS[style](look_up(report, pointer)), pointer


def test_no_number_stands_on_the_page_by_itself(told):
    report, _, page = told
    keys = keys_of(report)
    ticks = [text for text, kind in page.loose if "tick" in kind.split()]
    assert set(ticks) == {"0", "50", "100"}
    for text, kind in page.loose:
        if "tick" in kind.split():
            continue
        for phrase in PHRASES:
            text = text.replace(phrase, "")
        # The names of scorers and of dotted facts are keys of the JSON.
        words = [word for word in re.split(r"[\s.:]+", text) if re.search(r"\d", word) and word not in keys]
        assert not words, text


def test_no_number_hides_in_an_attribute_that_is_read_out(told):
    _, _, page = told
    spoken = [attrs[name] for _, attrs in page.elements for name in ("aria-label", "title", "alt") if name in attrs]
    assert spoken
    # A map is named by its space, as the JSON has it.
    assert not [text for text in spoken if re.search(r"\d", text.replace("stage 1", ""))]


def test_every_figure_of_the_json_is_shown(told):
    report, _, page = told
    shown = {pointer for pointer, _, _ in page.traced}
    escaped = {name: name.replace("~", "~0").replace("/", "~1") for name in SCORERS}
    for name, figures in report["scores"].items():
        for key, value in figures.items():
            if key == "n":
                continue
            at = f"/scores/{escaped[name]}/{key}"
            assert {f"{at}/0", f"{at}/1"} <= shown if isinstance(value, list) else at in shown
        for k in range(len(CLASSES)):
            assert f"/details/{escaped[name]}/class_accuracy/{k}" in shown
        for i, one in enumerate(report["details"][name]["reliability"]):
            assert (f"/details/{escaped[name]}/reliability/{i}/accuracy" in shown) == bool(one["count"])
        for i, row in enumerate(report["details"][name]["confusion"]):
            for j, count in enumerate(row):
                assert (f"/details/{escaped[name]}/confusion/{i}/{j}" in shown) == bool(count)
    for i in range(2):
        for key in ("silhouette", "silhouette_interval/0", "margin", "margin_interval/1", "nearest"):
            assert f"/representation/spaces/{i}/{key}" in shown
    assert "/representation/differences/0/silhouette" in shown
    for key in (
        "label_first",
        "label_first_interval/1",
        "rouge_l",
        "chrf",
        "chrf_signature",
        "faithfulness",
        "faithfulness_interval/0",
        "claims",
    ):
        assert f"/description_metrics/{key}" in shown
    for place in ("text/unseen/top1", "text/unseen/top1_interval/0", "text/harmonic", "llm/seen/top1"):
        assert f"/zero_shot/scores/{place}" in shown
    assert {"/zero_shot/chance", "/run/free_generation_agrees", "/environment/sha256", "/data_hash"} <= shown
    assert "/run/trained/empty" not in shown


def test_bars_and_points_are_drawn_at_their_values(told):
    report, text, page = told
    bars = [attrs["style"] for tag, attrs in page.elements if tag == "b" and "style" in attrs]
    expected = []
    for name in ("fused", "fc", "text", "a/b~c"):
        detail = report["details"][name]
        for share, (low, high) in zip(detail["class_accuracy"], detail["class_intervals"], strict=True):
            assert low <= share <= high
            expected.append(f"--v:{100 * share:.1f}%;--a:{100 * low:.1f}%;--b:{100 * high:.1f}%")
    assert bars == expected

    diagrams = re.findall(r"aria-label='reliability diagram'>(.*?)</svg>", text)
    heights = [
        float(h) for h in re.findall(r"<rect class='right'[^>]*height='([^']*)' fill-opacity='0.75'", diagrams[0])
    ]
    bins = [one for one in report["details"]["fused"]["reliability"] if one["count"]]
    assert heights == pytest.approx([220 * one["accuracy"] for one in bins], rel=1e-4)

    if report["representation"]["note"]:
        pytest.skip("scikit-learn is missing")
    maps = re.findall(r"<svg[^>]*aria-label='t-SNE map[^']*'>(.*?)</svg>", text)
    assert len(maps) == 2
    labels = np.array(report["predictions"]["labels"])
    for drawn, space in zip(maps, report["representation"]["spaces"], strict=True):
        paths = dict(re.findall(r"<path class='k k(\d+) [^>]*d='([^']*)'", drawn))
        xs = {k: [float(x) for x in re.findall(r"M(-?[\d.]+) ", path)] for k, path in paths.items()}
        for k in range(len(CLASSES)):
            own = np.array(space["x"])[labels == k]
            assert len(xs[str(k)]) == len(own)
            # One scale for all: drawn places follow those of the JSON but for the shift of a mark.
            np.testing.assert_allclose(np.diff(xs[str(k)]), 292 * np.diff(own), atol=0.11)


def test_any_scorer_can_be_chosen_without_a_script(told):
    _, text, page = told
    radios = [attrs for tag, attrs in page.elements if tag == "input" and attrs.get("name") == "scorer"]
    assert [r["id"] for r in radios] == ["s0", "s1", "s2", "s3"]
    assert [r["id"] for r in radios if "checked" in r] == ["s0"]
    assert {attrs["for"] for tag, attrs in page.elements if tag == "label" and "for" in attrs} == {
        r["id"] for r in radios
    }
    for i in range(4):
        assert f"#s{i}:checked~#p{i}" in text
        assert any(attrs.get("id") == f"p{i}" for _, attrs in page.elements)


def test_page_loads_nothing_and_runs_one_script(told):
    _, text, page = told
    assert not {"link", "img", "iframe", "object"} & {tag for tag, _ in page.elements}
    assert not [a for _, attrs in page.elements for a in attrs if a in ("src", "href") or a.startswith("on")]
    policy = next(attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    scripts = [attrs for tag, attrs in page.elements if tag == "script"]
    assert [attrs.get("type") for attrs in scripts] == ["application/json", None]
    assert sum(tag == "canvas" for tag, _ in page.elements) == 2
    assert "&lt;b&gt;" in text


@pytest.mark.parametrize("width", [360, 1280])
def test_a_browser_runs_the_page_and_it_fits(told, width, tmp_path):
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if browser is None:
        pytest.skip("no chromium or chrome to open the page with")
    page = tmp_path / "report.html"
    page.write_text(told[1].replace("swipe left", "Donaudampfschifffahrtsgesellschaft" * 2), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'home'}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", page.as_uri() + "#selftest"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    root = re.search(r"<html[^>]*>", shown)[0]
    assert 'data-ready="2 clips"' in root
    assert "data-error" not in root
    assert 'data-overflow="0"' in root


def test_predictions_agree_with_the_scores(told):
    report, _, _ = told
    found = report["predictions"]
    labels = np.array(found["labels"])
    assert found["clip_ids"][5] == "clip5"
    assert np.bincount(labels).tolist() == report["class_counts"]
    for name, told_of in found["scorers"].items():
        top, rank = np.array(told_of["top"]), np.array(told_of["rank"])
        right = top == labels
        assert right.mean() == pytest.approx(report["scores"][name]["top1"])
        np.testing.assert_array_equal(rank == 0, right)
        p_top, p_true = np.array(told_of["p_top"]), np.array(told_of["p_true"])
        np.testing.assert_array_equal(p_top[right], p_true[right])
        assert (p_top >= p_true).all()


def test_sections_that_are_not_there_leave_no_trace():
    probabilities = {"text": np.full((4, 2), 0.5)}
    report = evaluate(probabilities, [0, 1, 0, 1], ("a", "b"), protocol="p", split="test", data_hash="h").to_dict()
    page = render_page(json.loads(json.dumps(report)))
    for heading in ("Unseen actions", "Representation", "Descriptions", "Clips", "<script"):
        assert heading not in page


def test_a_large_confusion_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    classes = tuple(f"class number {i}" for i in range(120))
    tables = {name: rng.dirichlet(np.ones(120), size=6000) for name in ("fc", "text", "motion", "llm", "fused")}
    result = evaluate(tables, rng.integers(0, 120, 6000), classes, protocol="p", split="test", data_hash="h")
    write_report(result, tmp_path)
    assert (tmp_path / "report.html").stat().st_size < 3_000_000


def test_pairs_are_explained_by_their_texts():
    texts = class_texts(load_pack("utd_mhad"), CLASSES)
    told = explain_pair(texts, CLASSES, 0, 1)
    assert told["true_claims"] == ["The right hand goes across the body."]
    assert told["predicted_claims"] == ["The right hand goes out to the side."]
    assert "The left hand stays still." in told["shared_claims"]
    back = explain_pair(texts, CLASSES, 1, 0)
    assert back["true_claims"] == told["predicted_claims"]
    assert back["true_words"] == told["predicted_words"]
    assert not set(told["true_words"]) & set(told["predicted_words"])
    assert "leftward" in told["true_words"]


def test_neighbors_are_counted_from_the_true_class():
    table = np.array([[1.0, 0.2, 0.9, 0.5], [0.2, 1, 0, 0], [0.9, 0, 1, 0], [0.5, 0, 0, 1]])
    texts = class_texts(load_pack("utd_mhad"), CLASSES, {"texts": table})
    assert [explain_pair(texts, CLASSES, 0, j)["similarity"]["texts"]["place"] for j in (1, 2, 3)] == [3, 1, 2]


def test_classes_without_texts_are_not_explained():
    confusion = np.array([[3, 2], [0, 5]])
    (pair,) = worst_pairs(confusion, ("swipe left", "not in the pack"), class_texts(load_pack("utd_mhad"), CLASSES))
    assert pair["texts"] is None
    assert (pair["count"], pair["of"]) == (2, 5)
