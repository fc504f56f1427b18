"""SUGAR: skeleton-based action recognition and description with visual-motion knowledge and a frozen LLM."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["InputError", "JointLayout", "Recognizer", "SkeletonClip", "__version__"]

if TYPE_CHECKING:
    from sugar.errors import InputError
    from sugar.inference.recognizer import Recognizer
    from sugar.skeleton.clip import SkeletonClip
    from sugar.skeleton.layout import JointLayout

_HOME = {
    "InputError": "sugar.errors",
    "JointLayout": "sugar.skeleton.layout",
    "Recognizer": "sugar.inference.recognizer",
    "SkeletonClip": "sugar.skeleton.clip",
}


def __getattr__(name: str) -> object:
    # Loaded when first asked for: `import sugar` and the command line's help need no torch.
    if name in _HOME:
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'sugar' has no attribute {name!r}")
