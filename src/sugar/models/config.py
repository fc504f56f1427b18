"""What a model is made of."""

from dataclasses import dataclass, field

from sugar.config import at_least
from sugar.errors import InputError
from sugar.knowledge.embed import TextEncoderConfig
from sugar.models.encoders.build import EncoderConfig
from sugar.models.heads.alignment import AlignmentConfig
from sugar.models.heads.motion import MotionConfig
from sugar.models.llm.weights import LanguageConfig
from sugar.models.projectors.projectors import ProjectorConfig
from sugar.models.scorers.fusion import UnseenWeights
from sugar.transforms.batches import PreprocessConfig
from sugar.transforms.views import View


@dataclass
class ModelConfig:
    """What the model is made of; with the weights it is all that recognition needs."""

    frames: int = 52
    """Every clip is resampled to so many frames; 0 keeps each clip's own length."""
    views: tuple[View, ...] = (View(),)
    """Looks at a clip in recognition, whose probabilities are averaged."""
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    """What is done to every clip before anything else."""
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    """The skeleton encoder."""
    text_encoder: TextEncoderConfig = field(default_factory=TextEncoderConfig)
    """The frozen text encoder."""
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    """Stage 1's contrast."""
    motion: MotionConfig = field(default_factory=MotionConfig)
    """The motion head and its sentences."""
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    """From encoder tokens to LLM tokens."""
    language: LanguageConfig = field(default_factory=LanguageConfig)
    """The LLM; no name: the model recognizes without one."""
    soft_label_tokens: bool = False
    """The LLM also reads the candidates' names, blended by what the other scorers make of the clip (`SoftLabelTokens`):
    without them it cannot name actions that were never trained."""
    unseen_weights: UnseenWeights = field(default_factory=UnseenWeights)
    """How the scorers are weighed for classes that were never trained."""

    def __post_init__(self) -> None:
        at_least(0, "model", self, "frames")
        if not self.views:
            raise InputError("model.views is empty: give one look at least, such as [{start: 0, stop: 1}]")
        at_least(0, "unseen_weights", self.unseen_weights, "text", "motion", "llm")
