"""A table of an ablation as a file: what varies, over which seeds, and which scores are reported.

    base: ../configs/utd_mhad.yaml        # what all rows share; beside this file, as in a config
    title: Which texts supervise stage 1
    note: ...                             # printed below the table
    common: {model.motion.weight: 0}      # changes for every row, nested or with dots
    short: {alignment.loop.epochs: 30}    # changes for every row with --short
    rows: {none: {knowledge.kinds: []}, both: {}}
    reference: both                       # the row that the others are compared with; the last one by default
    seeds: [0, 1, 2]
    scores: [text, llm, fused]

In place of ``rows`` a figure of one setting: ``vary: {model.projector.num_queries: [1, 4, 8]}``. ``like: other.yaml``
takes over the keys of another table beside this one that do not stand here.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sugar.config import as_plain, flatten, parse_config, read_config, read_yaml
from sugar.errors import InputError
from sugar.training.config import RunConfig

SEEDS = (0, 1, 2)
SCORES = ("fc", "text", "motion", "llm", "fused")
_KEYS = {"base", "title", "note", "common", "short", "rows", "vary", "reference", "seeds", "scores"}
_ROW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ,._+-]*")


@dataclass(frozen=True)
class AblationTable:
    """What a table file says; ``rows`` and ``common`` are changes of the settings ``base``."""

    path: Path
    title: str
    base: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]
    reference: str
    seeds: tuple[int, ...] = SEEDS
    scores: tuple[str, ...] = SCORES
    common: Mapping[str, Any] = field(default_factory=dict)
    short: Mapping[str, Any] | None = None
    varied: str = ""
    """The setting of a figure of one setting, with dots."""
    values: tuple[Any, ...] = ()
    """Its values, one a row."""
    note: str = ""
    _parsed: dict[tuple[str, bool], RunConfig] = field(default_factory=dict, repr=False, compare=False)
    """Configs by row and form: parsing one takes a third of a second."""

    def config(
        self,
        row: str,
        seed: int,
        *,
        short: bool = False,
        store: str | None = None,
        llm: Mapping[str, str] | None = None,
    ) -> RunConfig:
        """The settings of one run.

        Args:
            short: with the table's changes for a short form.
            store: in place of the base's store.
            llm: folders of LLMs by the names that rows give them; the key ``*``: the LLM of all other rows.

        Raises:
            InputError: an unknown or wrong setting, which the line names; ``short`` without such changes.
        """
        if (row, short) not in self._parsed:
            self._parsed[row, short] = self._parse(row, short)
        config = replace(copy.deepcopy(self._parsed[row, short]), seed=seed)
        if store is not None:
            config.data.store = store
        named = config.model.language.name
        config.model.language.name = (llm or {}).get(named, (llm or {}).get("*", named))
        return config

    def _parse(self, row: str, short: bool) -> RunConfig:
        if short and self.short is None:
            raise InputError(f"{self.path}: has no key 'short', so there is no short form of it; run it whole")
        values = copy.deepcopy(dict(self.base))
        for changes in (self.common, self.short or {} if short else {}, self.rows[row]):
            change(values, changes)
        return parse_config(RunConfig, values, where=f"{self.path}, row {row!r}")[0]

    def differences(self, *, short: bool = False) -> dict[str, dict[str, Any]]:
        """The settings that are not the same in all rows: ``{setting with dots: {row: value}}``."""
        flat = {row: flatten(as_plain(self.config(row, 0, short=short))) for row in self.rows}
        settings = dict.fromkeys(key for values in flat.values() for key in values)
        found = {key: {row: values.get(key) for row, values in flat.items()} for key in settings}
        return {key: by_row for key, by_row in found.items() if len({repr(v) for v in by_row.values()}) > 1}


def read_table(path: str | Path) -> AblationTable:
    """Read a table file. Whether a row's settings exist `AblationTable.config` says.

    Raises:
        InputError: a key of the table is wrong; the line names it.
    """
    path = Path(path)
    values = read_yaml(path)
    if "like" in values:
        values = read_yaml(path.parent / str(values.pop("like"))) | values
    if unknown := sorted(map(str, values.keys() - _KEYS)):
        raise InputError(f"{path}: unknown key {unknown[0]!r}; a table has {', '.join(sorted(_KEYS))}")
    if not isinstance(values.get("base"), str):
        raise InputError(f"{path}: base must name the config that the rows change, such as ../configs/utd_mhad.yaml")
    rows, varied, points = _rows(path, values)
    reference = values.get("reference", list(rows)[-1])
    if varied and reference in points:
        reference = _point(varied, reference)
    if reference not in rows:
        raise InputError(f"{path}: reference {reference!r} is no row; the rows are {', '.join(rows)}")
    return AblationTable(
        path=path,
        title=str(values.get("title", path.stem)),
        base=read_config(path.parent / values["base"]),
        rows=rows,
        reference=reference,
        seeds=_seeds(path, values.get("seeds", SEEDS)),
        scores=_scores(path, values.get("scores", SCORES)),
        common=_mapping(path, "common", values.get("common")),
        short=_mapping(path, "short", values["short"]) if "short" in values else None,
        varied=varied,
        values=points,
        note=" ".join(str(values.get("note", "")).split()),
    )


def folder_name(row: str, seed: int) -> str:
    """Name of the folders of one run."""
    return f"{re.sub('[ ,]+', '-', row)}-{seed}"


def change(values: dict[str, Any], changes: Mapping[str, Any]) -> None:
    """Lay ``changes`` over ``values`` in place: ``a.b: 1`` is ``a: {b: 1}``; mappings merge, an empty one changes
    nothing, all else is replaced."""
    for key, value in changes.items():
        first, dot, rest = str(key).partition(".")
        if dot:
            value = {rest: value}
        if value is None and isinstance(values.get(first), dict):
            continue
        if isinstance(value, Mapping) and isinstance(values.get(first, {}), dict):
            inner = dict(values.get(first, {}))
            change(inner, value)
            value = inner
        values[first] = copy.deepcopy(value)


def _rows(path: Path, values: Mapping[str, Any]) -> tuple[dict[str, Mapping[str, Any]], str, tuple[Any, ...]]:
    """Rows by name, and the setting and values of a figure."""
    if ("rows" in values) == ("vary" in values):
        raise InputError(f"{path}: give either 'rows' or 'vary'")
    if "vary" in values:
        vary = values["vary"]
        setting, points = next(iter(vary.items())) if isinstance(vary, dict) and len(vary) == 1 else ("", None)
        if not isinstance(points, list) or not points:
            raise InputError(f"{path}: vary must be one setting and its values, as {{model.frames: [32, 64]}}")
        rows: dict[str, Mapping[str, Any]] = {_point(setting, value): {setting: value} for value in points}
        if len(rows) < len(points):
            raise InputError(f"{path}: vary: a value of {setting} stands there twice")
    else:
        setting, points = "", []
        rows = {
            name: _mapping(path, f"row {name!r}", given)
            for name, given in _mapping(path, "rows", values["rows"]).items()
        }
    for name in rows:
        if not isinstance(name, str) or not _ROW_NAME.fullmatch(name):
            raise InputError(
                f"{path}: row {name!r}: name it in letters, digits, spaces and ,._+- (and quote on, off, 1)"
            )
    if len({folder_name(name, 0) for name in rows}) < max(1, len(rows)):
        raise InputError(f"{path}: rows: give at least one, and names that differ in more than spaces and commas")
    return rows, setting, tuple(points)


def _point(setting: str, value: Any) -> str:
    return f"{setting.rpartition('.')[2]} {value}"


def _mapping(path: Path, key: str, value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InputError(f"{path}: {key} must be a mapping of settings, not {value!r}")
    return value


def _seeds(path: Path, value: Any) -> tuple[int, ...]:
    whole = isinstance(value, list | tuple) and all(isinstance(s, int) and not isinstance(s, bool) for s in value)
    if not whole or not value or len(set(value)) < len(value):
        raise InputError(f"{path}: seeds must be different whole numbers, as [0, 1, 2], not {value!r}")
    return tuple(value)


def _scores(path: Path, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not value or not set(value) <= set(SCORES):
        raise InputError(f"{path}: scores must be some of {', '.join(SCORES)}, not {value!r}")
    return tuple(value)
