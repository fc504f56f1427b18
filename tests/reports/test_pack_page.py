"""A pack as a page: all figures on it are those of the JSON, nothing in its texts can act, and a browser shows it."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest
from word_encoder import WordEncoder

from sugar.knowledge.pack import ClassKnowledge, KnowledgePack, load_pack
from sugar.knowledge.quality.figures import Quality, measure_quality, texts_of
from sugar.reports.pack_page import render_pack_page, text_origins

HOSTILE = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\" & ' onfocus=alert(3) autofocus "
RTL = "\u202eيرفع اليد\u202c"


class Elements(HTMLParser):
    """Tags with their attributes, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.said = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.said += data


def page_of(pack: KnowledgePack, origins: dict[tuple[str, str], str] | None = None) -> tuple[str, Quality]:
    quality = measure_quality(pack, WordEncoder())
    return render_pack_page(pack, quality, origins), quality


@pytest.fixture(scope="module")
def nw_ucla() -> tuple[str, Quality]:
    return page_of(load_pack("nw_ucla"))


@pytest.fixture(scope="module")
def large() -> tuple[str, Quality]:
    return page_of(load_pack("ntu120"))


def data_of(page: str) -> dict:
    return json.loads(re.search(r"<script type='application/json' id='data'>(.*?)</script>", page, re.S)[1])


def test_every_text_of_the_pack_is_on_the_page(nw_ucla: tuple[str, Quality]):
    page = unescape(nw_ucla[0])
    for entry in load_pack("nw_ucla").classes:
        assert all(f">{text}<" in page for texts in texts_of(entry).values() for text in texts)


def test_figures_of_the_page_are_those_of_the_json(nw_ucla: tuple[str, Quality]):
    page, quality = nw_ucla
    found = quality.to_json()
    similarity = data_of(page)["similarity"]
    assert set(similarity) == set(found["similarity"])
    for kind, matrix in found["similarity"].items():
        assert [value / 10000 for value in similarity[kind]] == [v for i, row in enumerate(matrix) for v in row[:i]]
    pairs = re.findall(r"<details class='two'.*?</details>", page, re.S)
    assert len(pairs) == len(found["closest"])
    for shown, pair in zip(pairs, found["closest"], strict=True):
        assert f"<span class='value'>{pair['cosine']:.3f}</span>" in shown
        assert f"{pair['mixed_up']} held-out text" in shown or not pair["mixed_up"]
        assert all(f"<bdi>{word['word']}</bdi> {word['texts']}<" in shown for word in pair["words_first"])
        assert all(
            f"{part['part']} <span class='quiet'>cosine {part['cosine']:.3f}<" in shown for part in pair["parts"]
        )
        assert all(claim in unescape(shown) for claim in (*pair["claims_first"], *pair["claims_second"]))
    for part in found["parts"]:
        row = "".join(f"<td>{part[what]}</td>" for what in ("moving", "still", "missing"))
        assert f"<th scope='row'>{part['part']}</th>{row}" in page
    for kind, figures in found["held_out"].items():
        assert f"<td>{100 * figures['right'] / figures['n']:.1f}</td>" in page, kind


def test_cells_of_the_map_are_shaded_by_their_value(nw_ucla: tuple[str, Quality]):
    page, quality = nw_ucla
    matrix = quality.similarity["visual"]
    values = [value for i, row in enumerate(matrix) for value in row[:i]]
    drawing = re.search(r"data-kind='visual'>(.*?)</svg>", page, re.S)[1]
    shades: dict[tuple[int, int], int] = {}
    for level, path in re.findall(r"<path class='l(\d)' d='([^']*)'", drawing):
        for column, row, width in re.findall(r"M(\d+) (\d+)h(\d+)", path):
            shades |= {(int(row), int(column) + i): int(level) for i in range(int(width))}
    assert set(shades) == {(i, j) for i in range(10) for j in range(10) if i != j}
    for (i, j), level in shades.items():
        place = (matrix[i][j] - min(values)) / (max(values) - min(values))
        assert level == min(int(10 * place), 9)


def test_nothing_in_a_text_can_act():
    entry = ClassKnowledge(
        HOSTILE,
        (f"An action of {HOSTILE}: head {HOSTILE}; hand {RTL}; arm bends; hip turns; leg steps; foot lifts",),
        (HOSTILE, RTL),
        (HOSTILE,),
        (HOSTILE,),
    )
    pack = load_pack("nw_ucla")
    made = replace(pack.provenance, author=HOSTILE, method=HOSTILE, license=HOSTILE)
    # Two of them, so that either side of a pair is hostile.
    classes = (entry, replace(entry, name=RTL), replace(entry, name=HOSTILE + "2"), *pack.classes)
    pack = replace(pack, name=HOSTILE, version=HOSTILE, language=HOSTILE, provenance=made, classes=classes)
    rows = [{"class": HOSTILE, "text": HOSTILE, "model": {"model": HOSTILE}, "media": [HOSTILE], "at": HOSTILE}]
    page, _ = page_of(pack, text_origins(rows))
    clean, _ = page_of(load_pack("nw_ucla"))
    elements, harmless = Elements(page), Elements(clean)
    assert HOSTILE.strip() in elements.said
    assert {tag for tag, _ in elements.tags} == {tag for tag, _ in harmless.tags} | {"small", "b"}
    assert [tag for tag, _ in elements.tags].count("script") == 2
    attributes = {name for _, given in elements.tags for name in given}
    assert not {name for name in attributes if name.startswith("on")} | (attributes & {"src", "autofocus"})
    assert all((given.get("href") or "#").startswith("#") for _, given in elements.tags)
    assert data_of(page)["names"][:2] == [HOSTILE, RTL]
    # What is written from right to left keeps to its own element.
    assert f"<h3 dir='auto'>{RTL}</h3>" in page
    assert f"<li dir='auto'>{RTL}</li>" in page
    assert "default-src 'none'" in page


def test_findings_are_told_apart():
    pack = load_pack("nw_ucla")
    throw = replace(pack["throw"], visual=pack["throw"].visual[:-1], motion=("An action of throw: head turns",) * 3)
    page, quality = page_of(replace(pack, classes=tuple(throw if e.name == "throw" else e for e in pack.classes)))
    for severity, title in (("error", "Errors, to be fixed"), ("advice", "Advice")):
        findings = [finding for finding in quality.findings if finding.severity == severity]
        assert findings
        assert f"{title}: {len(findings)}</summary>" in page
    for finding in quality.findings:
        assert f"</a>, {finding.field}: <span dir='auto'>{finding.problem}</span>" in unescape(page)
    assert "<a href='#c8'><bdi>throw</bdi></a>, visual: " in page


@pytest.mark.parametrize("texts", ["all", "none"])
def test_a_pack_of_one_class(texts: str):
    pack = load_pack("nw_ucla")
    only = pack.classes[0] if texts == "all" else ClassKnowledge("hop", (), (), ())
    page, _ = page_of(replace(pack, classes=(only,)))
    assert "There are no two classes with texts to compare." in page
    assert "<svg" not in page
    assert page.count("<article") == 1


def test_a_pack_without_motion_sentences():
    pack = load_pack("nw_ucla")
    bare = replace(pack, classes=tuple(replace(entry, motion_sentences=()) for entry in pack.classes))
    page, _ = page_of(bare)
    assert "motion sentences</label>" not in page
    assert "<h4>motion sentences</h4>" not in page
    assert page.count("<svg") == 5


def test_origins_are_shown_once_where_all_texts_of_a_kind_share_them():
    pack = load_pack("nw_ucla").subset(["throw", "carry"])
    rows = [{"class": "throw", "text": text, "model": "m-1", "template": "visual.txt"} for text in pack["throw"].visual]
    rows += [{"class": "carry", "text": text, "at": f"day {i}"} for i, text in enumerate(pack["carry"].visual)]
    page, _ = page_of(pack, text_origins(rows))
    assert page.count("<small dir='auto'>m-1 · visual.txt</small>") == 1
    assert page.count("<small dir='auto'>day ") == 6


def test_an_origin_names_model_prompt_and_media():
    row = {"class": "a", "text": "t", "kind": "visual", "model": {"model": "m", "temperature": 1}, "key": "abc"}
    row |= {"template": "visual.txt", "media": [f"v.mp4 at {i} s" for i in range(5)], "at": "2026"}
    said = "m · visual.txt · v.mp4 at 0 s, v.mp4 at 1 s, v.mp4 at 2 s and 2 more · 2026"
    assert text_origins([row]) == {("a", "t"): said}
    assert text_origins([{"class": "a", "text": "t"}]) == {("a", "t"): ""}


def test_120_classes_fit_one_page(large: tuple[str, Quality]):
    page, quality = large
    assert len(page.encode()) < 1_500_000
    assert page.count("<article") == len(quality.names) == 120
    assert page.count("<details class='two'") == 20


@pytest.fixture(scope="module")
def browser() -> str:
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("no chromium or chrome to open the page with")


def root_of(browser: str, page: str, folder: Path, width: int) -> dict[str, str | None]:
    """Attributes of the page's root element after its script ran."""
    path = folder / "pack.html"
    path.write_text(page, encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'home'}"]
    command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", path.as_uri() + "#selftest"]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    return Elements(re.search(r"<html[^>]*>", text)[0]).tags[0][1]


@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_120_classes_and_the_page_fits(width: int, large: tuple[str, Quality], browser, tmp_path: Path):
    page, quality = large
    root = root_of(browser, page, tmp_path, width)
    assert root["data-ready"] == "120 classes"
    assert "data-error" not in root
    assert root["data-overflow"] == "0"
    first, second = quality.names[:2]
    assert root["data-said"] == f"{first} and {second}: {quality.similarity['all'][0][1]:.3f}"
    assert root["data-shown"] == "2"
    assert root["data-found"] == "c0"


def test_a_browser_is_not_moved_by_odd_names(browser, tmp_path: Path):
    pack = load_pack("nw_ucla")
    names = (HOSTILE, RTL, "Donaudampfschifffahrtsgesellschaft" * 4)
    odd = [replace(entry, name=name, visual=(name * 3,)) for entry, name in zip(pack.classes, names, strict=False)]
    root = root_of(browser, page_of(replace(pack, classes=(*odd, *pack.classes[3:])))[0], tmp_path, 390)
    assert root["data-ready"] == "10 classes"
    assert "data-error" not in root
    assert root["data-overflow"] == "0"
    assert root["data-said"].startswith(HOSTILE + " and " + RTL)


def test_a_browser_shows_a_pack_of_one_class(browser, tmp_path: Path):
    root = root_of(browser, page_of(load_pack("nw_ucla").subset(["throw"]))[0], tmp_path, 390)
    assert root["data-ready"] == "1 classes"
    assert "data-error" not in root
