"""Settings of `sugar knowledge build` and `sugar knowledge contrast`."""

from dataclasses import dataclass, field
from typing import Literal

from sugar.authoring.client.config import ProviderConfig, RunningConfig
from sugar.authoring.media.frame_features import FrameFeaturesConfig
from sugar.authoring.media.frames import FrameConfig, VideoConfig
from sugar.errors import InputError


@dataclass
class MotionTexts:
    """Motion knowledge: how the body moves."""

    texts: int = 3
    """Six-part texts of each class."""
    sentences: bool = True
    """Also motion sentences in the vocabulary of the grounded facts."""


@dataclass
class VisualTexts:
    """Visual knowledge: what can be seen."""

    source: Literal["none", "videos", "drawn"] = "none"
    """`videos`: frames of videos; `drawn`: drawn skeletons of a store's clips, for data sets without video."""
    videos: str = ""
    """Folder of videos: one folder a class, named as the class is; or, with a store, files named as its clips are."""
    store: str = ""
    """Store whose training clips are shown."""
    protocol: str = ""
    """Protocol that selects the store's training clips; no model is shown a test clip."""
    send: Literal["frame", "frames", "video"] = "frame"
    """One request for each frame (the paper), for the frames of a clip in their order, or for the clip as a video."""
    texts: int = 6
    """Texts of each class in the pack, those of its clips in turn; 0: all."""
    clips: int = 6
    """Clips of each class that are shown, evenly over those there are; 0: all."""
    frames: FrameConfig = field(default_factory=FrameConfig)
    """Which frames of a clip are sent."""
    features: FrameFeaturesConfig = field(default_factory=FrameFeaturesConfig)
    """Features that compare frames."""
    video: VideoConfig = field(default_factory=VideoConfig)
    """How a whole video is sent."""


@dataclass
class DescriptionTexts:
    """Descriptions, the LLM's targets in stage 2."""

    texts: int = 4
    """Descriptions of each class, made from its motion knowledge."""
    store: str = ""
    """Store whose training clips are described one by one, from motion knowledge and the facts of their joints."""
    protocol: str = ""
    """Which clips of that store train."""


@dataclass
class ContrastTexts:
    """New texts for pairs of easily confused classes."""

    pairs: int = 0
    """Most pairs; 0: none."""
    above: float = 0.6
    """Least similarity of a pair's texts, or with a report, least rate at which its clips are confused."""
    report: str = ""
    """Report of a trained run; its confusions select the pairs, in place of the similarity of the texts."""


@dataclass
class BuildConfig:
    """A knowledge pack to build: `sugar knowledge build CONFIG.yaml`."""

    name: str = ""
    """Name of the pack."""
    classes: tuple[str, ...] = ()
    """Names of the actions."""
    class_list: str = ""
    """In place of `classes`: a known list (ntu120), a text file with a name a line, or a store."""
    about: str = ""
    """Context of the whole list: `daily life, filmed in flats`."""
    expand: bool = False
    """First let the model explain what bare names mean, and give the meaning to the other prompts."""
    language: str = "en"
    """Language of the texts, as the pack states it."""
    author: str = "unknown"
    """Author of the pack."""
    license: str = "unknown"
    """License of its texts: see the terms of the model."""
    provider: ProviderConfig = field(default_factory=ProviderConfig)
    """The model."""
    endpoints: tuple[str, ...] = ()
    """Several servers of the same model: base URLs, shared among the workers."""
    workers: int = 0
    """Processes that call the model, run by Ray; 0: this one alone."""
    address: str = ""
    """Ray cluster of the workers (`auto` or an address); empty: this machine."""
    running: RunningConfig = field(default_factory=RunningConfig)
    """Concurrency, rate, retries and cost."""
    motion: MotionTexts = field(default_factory=MotionTexts)
    """Motion knowledge."""
    visual: VisualTexts = field(default_factory=VisualTexts)
    """Visual knowledge."""
    descriptions: DescriptionTexts = field(default_factory=DescriptionTexts)
    """Descriptions."""
    contrast: ContrastTexts = field(default_factory=ContrastTexts)
    """Easily confused classes."""


@dataclass
class ContrastConfig:
    """New texts for easily confused classes of a pack: `sugar knowledge contrast PACK`."""

    provider: ProviderConfig = field(default_factory=ProviderConfig)
    """The model."""
    running: RunningConfig = field(default_factory=RunningConfig)
    """Concurrency, rate, retries and cost."""
    contrast: ContrastTexts = field(default_factory=lambda: ContrastTexts(pairs=10))
    """Which pairs of classes."""


def check_build(config: BuildConfig) -> None:
    """Validate a build before any request.

    Raises:
        InputError: settings contradict each other; the message names the field.
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
