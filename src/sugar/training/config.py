"""The configuration of a training run: data, model, stages."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from sugar.config import at_least, between
from sugar.datasets.protocols.protocols import ValidationConfig
from sugar.errors import InputError
from sugar.models.config import ModelConfig
from sugar.training.engine.config import LoopConfig, OptimizationConfig
from sugar.transforms.augment import AugmentConfig

StageName = Literal["alignment", "baseline", "instruction"]
_STAGES = ", ".join(get_args(StageName))


@dataclass
class DataConfig:
    """What a run trains on."""

    store: str = ""
    """Folder of the store, made by `sugar data import`."""
    protocol: str = ""
    """Which clips train and which test: a shipped protocol, a YAML file, or such as ``subject:1-8/9-10``."""
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    """Which clips of the training side are held out to choose the fusion's weights."""
    cache: bool = True
    """Keep preprocessed clips in memory."""
    exclude: str = ""
    """A file of ids, one a line, of clips that are not trained on though the protocol trains on them; the run's record
    names them. `sugar lab label-issues` writes such a list of those whose labels are doubtful."""
    relabel: str = ""
    """A file of lines ``ID: CLASS``: labels that the store has wrong, which the run takes thus; its record names the
    clips. `sugar eval` takes the store's own labels."""


@dataclass
class KnowledgeConfig:
    """Which texts supervise."""

    pack: str = ""
    """A shipped knowledge pack by name, or the path of a pack's YAML file; several joined by ``+``."""
    kinds: tuple[Literal["motion", "visual"], ...] = ("motion", "visual")
    """Kinds of texts in stage 1; none trains on class names alone."""
    clip_descriptions: str = ""
    """Descriptions of single training clips for stage 2, in place of those of their classes: the file
    `clip_descriptions.jsonl` of `sugar knowledge build`."""


@dataclass
class StageConfig:
    """How one stage trains."""

    loop: LoopConfig = field(default_factory=LoopConfig)
    """Length, batches, precision, checkpoints."""
    optimization: OptimizationConfig = field(default_factory=OptimizationConfig)
    """Optimizer and schedule."""
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    """Variation of the training clips."""


@dataclass
class BaselineConfig(StageConfig):
    """How the linear baseline trains."""

    label_smoothing: float = 0.1
    """Share of the target spread over all classes."""

    def __post_init__(self) -> None:
        between(0, 1, "baseline", self, "label_smoothing")


@dataclass
class ListConfig:
    """How the list of candidate names is drawn for each training clip (docs/design.md, D11)."""

    shuffle: bool = True
    """A new order for every clip, so that the LLM reads the list instead of its positions."""
    sublists: bool = True
    """Random sub-lists that keep the truth, from `shortest` names up to all."""
    shortest: int = 2
    """Fewest names in a sub-list."""

    def __post_init__(self) -> None:
        at_least(1, "lists", self, "shortest")


@dataclass
class TextOnlyConfig:
    """Texts in place of clips in stage 2; needs `model.soft_label_tokens`."""

    share: float = 0.0
    """Texts for each clip; 0: none."""
    packs: tuple[str, ...] = ()
    """Knowledge packs whose actions join those of the training classes, without those that mean an unseen class."""
    exclude: tuple[str, ...] = ()
    """Packs of data sets that the model will be tried on: actions that mean one of theirs are left out."""
    nonsense: float = 0.0
    """Nonsense labels for each clip, so that the LLM says the name it hears of and no other; 0: none."""
    unseen: bool = False
    """Names and texts of the protocol's unseen classes join too: no clip of them, but what they are called."""

    def __post_init__(self) -> None:
        at_least(0, "text_only", self, "share", "nonsense")


@dataclass
class InstructionConfig(StageConfig):
    """How stage 2 trains."""

    lists: ListConfig = field(default_factory=ListConfig)
    """How candidate lists are drawn."""
    fact_captions: bool = True
    """The LLM also learns to say what the joints of each clip show; off: descriptions of the class alone."""
    text_only: TextOnlyConfig = field(default_factory=TextOnlyConfig)
    """Texts in place of clips."""
    held_out_descriptions: int = 1
    """So many of each class's descriptions are kept from training: the references of `sugar eval`."""

    def __post_init__(self) -> None:
        at_least(0, "instruction", self, "held_out_descriptions")


@dataclass
class RunConfig:
    """A whole run: `sugar train CONFIG.yaml --out RUN`."""

    data: DataConfig = field(default_factory=DataConfig)
    """What it trains on."""
    knowledge: KnowledgeConfig = field(default_factory=KnowledgeConfig)
    """Which texts supervise."""
    model: ModelConfig = field(default_factory=ModelConfig)
    """What the model is made of."""
    stages: tuple[StageName, ...] = ("alignment", "baseline", "instruction")
    """Stages to train: `alignment` (stage 1), `baseline` (the linear baseline fc), `instruction` (stage 2)."""
    start_from: str = ""
    """A run folder whose encoder, alignment and baseline this run takes over, to train other stages on them."""
    pretrained: str = ""
    """A run folder, of any classes, whose encoder stage 1 starts from instead of at random (`training.pretrained`); for
    data sets of few clips. The linear baseline always starts at random. With `start_from` it is not read."""
    alignment: StageConfig = field(default_factory=StageConfig)
    """Stage 1."""
    baseline: BaselineConfig = field(default_factory=BaselineConfig)
    """The linear baseline."""
    instruction: InstructionConfig = field(default_factory=InstructionConfig)
    """Stage 2."""
    fusion: str = ""
    """A file of the fusion's weights, written by `sugar lab fit-fusion`; empty: chosen on validation clips, or equal
    where there are none."""
    seed: int = 0
    """Seed of everything random."""

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed}: give a whole number from 0 to 2^63 - 1")
        if list(self.stages) != [stage for stage in get_args(StageName) if stage in self.stages]:
            raise InputError(f"stages is {list(self.stages)}: name each once, in the order {_STAGES}")


def check_stages(config: RunConfig) -> None:
    """Refuse a run that would train nothing, or the LLM on an encoder that nothing has trained.

    Raises:
        InputError: the line names what lacks.
    """
    if not config.stages and not config.start_from:
        raise InputError(f"stages is empty: name one or more of {_STAGES}")
    trained = "alignment" in config.stages or config.start_from or config.pretrained
    if "instruction" in config.stages and not trained:
        raise InputError("stages has instruction without alignment: add it, or give start_from, a run with a stage 1")
