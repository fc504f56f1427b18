"""What `sugar knowledge build` asks, and whom."""

from dataclasses import dataclass, field
from typing import Literal

from sugar.authoring.client.limits import RunningConfig
from sugar.authoring.client.providers import ProviderConfig
from sugar.authoring.media.frame_features import FrameFeaturesConfig
from sugar.authoring.media.frames import FrameConfig, VideoConfig
from sugar.errors import InputError


@dataclass
class MotionTexts:
    """Motion knowledge: what the body does."""

    texts: int = 3
    """Six-part texts of each class."""
    sentences: bool = True
    """Motion sentences in the vocabulary of the grounded facts, too."""


@dataclass
class VisualTexts:
    """Visual knowledge: what is seen."""

    source: Literal["none", "videos", "drawn"] = "none"
    """`videos`: frames of videos; `drawn`: drawn skeletons of a store's clips, for data sets without video."""
    videos: str = ""
    """Folder of videos: one folder a class, named as the class is; or, with a store, files named as its clips are."""
    store: str = ""
    """Store whose training clips are shown."""
    protocol: str = ""
    """Which clips of the store train; test clips are shown to no model."""
    send: Literal["frame", "frames", "video"] = "frame"
    """A question for each frame (the paper), for the frames of a clip in their order, or for the clip as a video."""
    texts: int = 6
    """Texts of each class in the pack, those of its clips in turn; 0: all."""
    clips: int = 6
    """Clips of each class that are shown, evenly over those there are; 0: all."""
    frames: FrameConfig = field(default_factory=FrameConfig)
    """Which frames of a clip are sent."""
    features: FrameFeaturesConfig = field(default_factory=FrameFeaturesConfig)
    """By what frames are compared."""
    video: VideoConfig = field(default_factory=VideoConfig)
    """How a whole video is sent."""


@dataclass
class DescriptionTexts:
    """What the LLM learns to say in stage 2."""

    texts: int = 4
    """Descriptions of each class, made from its motion knowledge."""
    store: str = ""
    """Store whose training clips are described one by one, from motion knowledge and the facts of their joints."""
    protocol: str = ""
    """Which clips of that store train."""


@dataclass
class ContrastTexts:
    """Classes that are easily confused are asked about again, together."""

    pairs: int = 0
    """So many pairs at most; 0: none."""
    above: float = 0.6
    """Only pairs whose texts are as similar as this, or with a report, whose clips are confused at this rate."""
    report: str = ""
    """Report of a trained run: its confusions name the pairs, not the similarity of the texts."""


@dataclass
class BuildConfig:
    """A knowledge pack to be built: `sugar knowledge build CONFIG.yaml --out FOLDER`."""

    name: str = ""
    """Name of the pack."""
    classes: tuple[str, ...] = ()
    """Names of the actions."""
    class_list: str = ""
    """In place of `classes`: a known list (ntu120), a text file with a name a line, or a store."""
    about: str = ""
    """What is known of the whole list: `daily life, filmed in flats`."""
    expand: bool = False
    """Ask first what bare names mean, and tell the other questions."""
    language: str = "en"
    """Language of the texts, as the pack says it."""
    author: str = "unknown"
    """Who builds the pack."""
    license: str = "unknown"
    """Under which license its texts may be used: see the terms of the model."""
    provider: ProviderConfig = field(default_factory=ProviderConfig)
    """Which model is asked."""
    endpoints: tuple[str, ...] = ()
    """Several servers of the same model: base URLs, shared out among the workers."""
    workers: int = 0
    """Processes that ask, run by Ray; 0: this one alone."""
    address: str = ""
    """Ray cluster that the workers run on (`auto` or an address); empty: this machine."""
    running: RunningConfig = field(default_factory=RunningConfig)
    """How it is asked: concurrency, retries, cost."""
    motion: MotionTexts = field(default_factory=MotionTexts)
    """Motion knowledge."""
    visual: VisualTexts = field(default_factory=VisualTexts)
    """Visual knowledge."""
    descriptions: DescriptionTexts = field(default_factory=DescriptionTexts)
    """Descriptions."""
    contrast: ContrastTexts = field(default_factory=ContrastTexts)
    """Confusable classes."""


def check_build(config: BuildConfig) -> None:
    """Refuse what contradicts itself, before anything is asked.

    Raises:
        InputError: the line names the field.
    """
    visual = config.visual
    wrong = None
    if not config.name:
        wrong = "name is not given; name the pack, such as kitchen"
    elif bool(config.classes) == bool(config.class_list):
        wrong = "give either classes, the names of the actions, or class_list"
    elif visual.source == "videos" and not visual.videos:
        wrong = "visual.videos is not given; name the folder of the videos, or take another visual.source"
    elif visual.source == "drawn" and not visual.store:
        wrong = "visual.store is not given; name the store whose clips are drawn"
    elif visual.source == "none" and (visual.videos or visual.store):
        wrong = "visual.source is none, so visual.videos and visual.store do nothing; choose videos or drawn"
    elif visual.send == "video" and not config.provider.video:
        wrong = "visual.send is video, but provider.video says that the endpoint takes none; send frames"
    elif min(config.motion.texts, config.descriptions.texts, visual.texts, visual.clips, config.contrast.pairs) < 0:
        wrong = "numbers of texts, clips and pairs must not be negative"
    elif (visual.store and not visual.protocol) or (config.descriptions.store and not config.descriptions.protocol):
        wrong = "a store needs a protocol, so that no test clip is shown; give visual.protocol (descriptions.protocol)"
    elif config.descriptions.texts and not config.motion.texts:
        wrong = "descriptions are made from motion texts; ask for those too, or set descriptions.texts to 0"
    elif config.workers < 0 or (config.endpoints and not config.workers):
        wrong = "endpoints are shared out among workers; give workers of 1 or more"
    if wrong:
        raise InputError(f"knowledge build: {wrong}")
