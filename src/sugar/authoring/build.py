"""The knowledge base of an action list, asked of models: SUGAR's step 1.

Imports pydantic. What is asked, in turn: what bare names mean, motion texts and motion sentences, what is seen in
clips, descriptions of classes, once more about classes that are easily confused, and descriptions of single clips.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sugar.authoring.client.desk import Runner, Told, ask_each
from sugar.authoring.client.request import Request
from sugar.authoring.config import BuildConfig, check_build
from sugar.authoring.contrast import confusable_pairs, contrast_pack
from sugar.authoring.media.shown_clips import Draw, ShownClip, shown_clips, training_clips
from sugar.authoring.tasks.answer_shape import Answer, words
from sugar.authoring.tasks.class_descriptions import DescriptionsAnswer, descriptions, descriptions_request
from sugar.authoring.tasks.clip_descriptions import ClipAnswer, clip_description_request
from sugar.authoring.tasks.label_expansion import ExpandedLabel, LabelAnswer, expanded_label, label_request
from sugar.authoring.tasks.motion_knowledge import MotionAnswer, People, motion_request, motion_texts
from sugar.authoring.tasks.motion_sentences import SentencesAnswer, motion_sentences, motion_sentences_request
from sugar.authoring.tasks.quoting import quoted
from sugar.authoring.tasks.visual_knowledge import VisualAnswer, visual_request
from sugar.config import write_config
from sugar.datasets.class_names import class_names
from sugar.datasets.store.store import Store
from sugar.errors import InputError
from sugar.facts.measure import measure
from sugar.files import write_text
from sugar.knowledge.embed import TextEncoder
from sugar.knowledge.pack import ClassKnowledge, KnowledgePack, Provenance
from sugar.knowledge.pack_file import write_pack

PACK, TEXTS, CLIPS, FAILURES = "pack.yaml", "texts.jsonl", "clip_descriptions.jsonl", "failures.jsonl"
UNKNOWN = "not asked yet"
"""Stands in a dry run for a text that another question is made from."""

Texts = dict[str, tuple[str, ...]]
"""Of each class."""
_Kind = TypeVar("_Kind", bound=Answer)


@dataclass
class Built:
    """A pack and how it came about.

    Args:
        rows: one for each text: class, kind, text, and the question that it answers.
        clips: one for each clip that was described.
        failures: what has no answer, and why.
    """

    pack: KnowledgePack
    rows: list[dict[str, Any]] = field(default_factory=list)
    clips: list[dict[str, Any]] = field(default_factory=list)
    failures: Mapping[str, str] = field(default_factory=dict)


def build_knowledge(
    config: BuildConfig, out: Path, desk: Runner, encoder: TextEncoder | None = None, draw: Draw | None = None
) -> Built:
    """Ask for all that ``config`` names and write it to the folder ``out``.

    It holds ``pack.yaml``; ``texts.jsonl``, where each text is from; ``clip_descriptions.jsonl``; ``failures.jsonl``;
    ``build.yaml``; the journal. Where some of it is there already, only what is new or changed is asked. With a desk
    that asks nothing nothing is written.

    Args:
        encoder: finds the classes whose texts are alike, for ``contrast``.
        draw: draws skeletons, for ``visual.source`` drawn.

    Raises:
        InputError: the config contradicts itself, a folder is not there, or the server cannot be worked with.
    """
    out, names = Path(out), action_names(config)
    build = _Build(config, names, desk, shown_clips(config.visual, names, out / "frames", draw))
    if not desk.dry:
        write_config(config, out / "build.yaml")
    built = build.run(encoder)
    if not desk.dry:
        _write(built, out)
    return built


def action_names(config: BuildConfig) -> tuple[str, ...]:
    """The names of the actions, in their order.

    Raises:
        InputError: the config contradicts itself, or a name cannot be sent or is given twice.
    """
    check_build(config)
    if config.classes:
        names = tuple(config.classes)
    elif (Path(config.class_list) / "manifest.json").is_file():
        names = Store.open(config.class_list).classes
    else:
        names = class_names(config.class_list)
    for name in names:
        quoted(name)
    if len({name.casefold() for name in names}) < len(names):
        raise InputError("knowledge build: a class is given twice; name each once")
    return names


class _Build:
    """The questions in their turn, and what came of them."""

    def __init__(self, config: BuildConfig, names: Sequence[str], desk: Runner, shown: list[ShownClip]) -> None:
        self.config, self.names, self.desk, self.shown = config, names, desk, shown
        self.labels: dict[str, ExpandedLabel] = {}
        self.rows: list[dict[str, Any]] = []

    def run(self, encoder: TextEncoder | None) -> Built:
        if self.config.expand:
            self._expand()
        motion, sentences, seen = self._motion(), self._sentences(), self._seen()
        told = self._descriptions(motion)
        entries = (
            ClassKnowledge(name, *(texts.get(name, ()) for texts in (motion, seen, told, sentences)))
            for name in self.names
        )
        pack = self._pack(tuple(entries))
        if self.config.contrast.pairs and encoder is not None and not self.desk.dry:
            pack = self._contrasted(pack, encoder)
        clips = self._clips(pack) if self.config.descriptions.store else []
        return Built(pack, self.rows, clips, self.desk.failures)

    def _expand(self) -> None:
        requests = {name: label_request(name, self.names, about=self.config.about) for name in self.names}
        for name, answer, _ in self._of_classes(LabelAnswer, requests):
            if (found := expanded_label(name, answer)) is not None:
                self.labels[name] = found
            else:
                self.desk.failures[f"label/{name}"] = "tells no action: rename the class, or say what it is in `about`"

    def _motion(self) -> Texts:
        requests = {
            name: motion_request(
                name, count=self.config.motion.texts, people=self._people(name), meaning=self._meaning(name)
            )
            for name in (self.names if self.config.motion.texts else ())
        }
        answers = self._of_classes(MotionAnswer, requests)
        return {name: self._keep(name, "motion", motion_texts(name, answer), told) for name, answer, told in answers}

    def _sentences(self) -> Texts:
        requests = {
            name: motion_sentences_request(name, people=self._people(name), meaning=self._meaning(name))
            for name in (self.names if self.config.motion.sentences else ())
        }
        answers = self._of_classes(SentencesAnswer, requests)
        return {
            name: self._keep(name, "motion_sentences", motion_sentences(answer), told) for name, answer, told in answers
        }

    def _seen(self) -> Texts:
        """Visual texts: of each class those of its clips in turn, first of all their first frames."""
        shown, config, meanings = self.shown, self.config.visual, {name: self._meaning(name) for name in self.names}
        whole = config.send != "frame"

        def requests(what: Mapping[str, Any]) -> Iterator[Request]:
            clip = shown[what["clip"]]
            pictures = clip.pictures()
            for number, sent in enumerate([pictures] if whole else [[picture] for picture in pictures]):
                item = f"visual/{number}/{what['clip']}/{clip.clip_id}"
                yield visual_request(clip.class_, sent, item=item, source=clip.source, meaning=meanings[clip.class_])

        def place(told: Told) -> tuple[int, int]:
            _, number, clip, _ = told.item.split("/", 3)
            return int(number), int(clip)

        clips = [{"clip": number} for number in range(len(shown))]
        answers = sorted(self.desk.ask(clips, requests, len(shown) if whole else None), key=place)
        kept: dict[str, dict[tuple[str, ...], str]] = {name: {} for name in self.names}
        for told in answers:
            clip = shown[place(told)[1]]
            for text in VisualAnswer.model_validate(told.answer).texts:
                texts = kept[clip.class_]
                if words(text) not in texts and not 0 < config.texts <= len(texts):
                    texts[words(text)] = text
                    self._keep(clip.class_, "visual", (text,), told, clip=clip.clip_id, source=clip.source)
        return {name: tuple(texts.values()) for name, texts in kept.items()}

    def _descriptions(self, motion: Texts) -> Texts:
        if self.desk.dry:
            motion = {name: (UNKNOWN,) for name in self.names} | motion
        requests = {
            name: descriptions_request(
                name,
                motion[name],
                count=self.config.descriptions.texts,
                people=self._people(name),
                meaning=self._meaning(name),
            )
            for name in (self.names if self.config.descriptions.texts else ())
            if name in motion
        }
        answers = self._of_classes(DescriptionsAnswer, requests)
        return {name: self._keep(name, "descriptions", descriptions(answer), told) for name, answer, told in answers}

    def _contrasted(self, pack: KnowledgePack, encoder: TextEncoder) -> KnowledgePack:
        pairs = confusable_pairs(pack, self.config.contrast, encoder)
        new, origins = contrast_pack(pack, pairs, self.desk)
        kinds = ("motion", "motion_sentences", "descriptions")
        self.rows = [row for row in self.rows if row["class"] not in origins or row["kind"] not in kinds]
        for name, told in origins.items():
            for kind in kinds:
                self._keep(name, kind, getattr(new[name], kind), told)
        return new

    def _clips(self, pack: KnowledgePack) -> list[dict[str, Any]]:
        """Descriptions of the training clips of a store, one by one."""
        wanted = self.config.descriptions
        store, indices = training_clips(wanted.store, wanted.protocol)
        chosen = [i for i in indices if store.classes[store.labels[i]] in pack]

        def requests(what: Mapping[str, Any]) -> list[Request]:
            name = store.classes[store.labels[what["clip"]]]
            clip_id = store.clip_ids[what["clip"]]
            return [clip_description_request(clip_id, name, pack[name].motion, measure(store[what["clip"]]))]

        place = {f"clip/{store.clip_ids[i]}": number for number, i in enumerate(chosen)}
        answers = sorted(
            self.desk.ask([{"clip": i} for i in chosen], requests, len(chosen)), key=lambda told: place[told.item]
        )
        return [
            {
                "clip_id": told.item.removeprefix("clip/"),
                "text": ClipAnswer.model_validate(told.answer).text,
                **told.origin(),
            }
            for told in answers
        ]

    def _of_classes(self, kind: type[_Kind], requests: Mapping[str, Request]) -> Iterable[tuple[str, _Kind, Told]]:
        """One question a class: names, answers and their origins, in the order of the names."""
        told = {answer.item: answer for answer in ask_each(self.desk, list(requests.values()))}
        return [
            (name, kind.model_validate(told[request.item].answer), told[request.item])
            for name, request in requests.items()
            if request.item in told
        ]

    def _keep(self, name: str, kind: str, texts: tuple[str, ...], told: Told, **more: str) -> tuple[str, ...]:
        """Note where texts are from."""
        self.rows += [{"class": name, "kind": kind, "text": text, **more, **told.origin()} for text in texts]
        return texts

    def _people(self, name: str) -> People | None:
        return self.labels[name].people if name in self.labels else None

    def _meaning(self, name: str) -> str:
        return self.labels[name].meaning if name in self.labels else ""

    def _pack(self, entries: tuple[ClassKnowledge, ...]) -> KnowledgePack:
        config = self.config
        seen = {"none": "", "videos": ", visual texts from frames of videos"}.get(
            config.visual.source, ", visual texts from drawn skeletons"
        )
        provenance = Provenance(
            author=config.author,
            method=f"asked of {config.provider.name} by sugar knowledge build{seen}; each text's origin is in {TEXTS}",
            date=datetime.now(UTC).strftime("%Y-%m"),
            license=config.license,
        )
        return KnowledgePack(config.name, "1", config.language, provenance, entries)


def _write(built: Built, out: Path) -> None:
    write_pack(built.pack, out / PACK)
    failures = [{"item": item, "failure": failure} for item, failure in built.failures.items()]
    for file, rows in ((TEXTS, built.rows), (CLIPS, built.clips), (FAILURES, failures)):
        if rows:
            write_text(out / file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        else:
            (out / file).unlink(missing_ok=True)
