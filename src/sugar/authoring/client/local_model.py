"""A model that runs in this process, for users without a server and for small jobs.

Imports torch, so `providers` imports this module only for such a model. It answers one request at a time: for thousands
start a server that batches them (vLLM) and use kind ``openai``.
"""

import asyncio
import io
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from sugar.authoring.client.answers import schema_prompt
from sugar.authoring.client.config import ProviderConfig
from sugar.authoring.client.request import Declined, Repair, Reply, Request, conversation
from sugar.errors import InputError
from sugar.hub import Pretrained, files_hash, hub_commit, loading

_MODEL_FILES = {".safetensors", ".json", ".txt", ".model", ".jinja"}


@dataclass(frozen=True)
class _Loaded:
    model: Any
    tokenizer: Any
    processor: Any  # None: the model takes text alone
    ends: frozenset[int]  # tokens that end an answer
    longest: int | None  # positions of the model, where it has a limit


class TransformersProvider:
    """A causal or an image-text-to-text model from a folder or from Hugging Face.

    The first request loads it, in the checkpoint's own number format, over the GPUs if there are any. The prompt states
    the schema; nothing holds the model to it.
    """

    def __init__(self, config: ProviderConfig) -> None:
        self.config = config
        self._folder = Path(config.name).expanduser()
        self._local = self._folder.is_dir()
        if not self._local and (self._folder.is_absolute() or config.name.startswith((".", "~"))):
            raise InputError(f"provider.name: no folder {config.name}; name a model folder or a Hugging Face id")
        if self._local and config.revision is not None:
            raise InputError("provider.revision: belongs to a Hugging Face id; leave it out for a folder")
        # One thread serializes the requests and leaves the event loop's threads free.
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="local-model")

    @cached_property
    def model(self) -> Mapping[str, Any]:
        return {
            "kind": self.config.kind,
            "name": self._folder.resolve().name if self._local else self.config.name,
            "revision": self._revision(),
            "max_tokens": self.config.max_tokens,
            "temperature": self.config.temperature,
            "extra_body": self.config.extra_body,
        }

    async def ask(self, request: Request, repair: Repair | None = None) -> Reply:
        """Answer once; a canceled request stops at its next token.

        Raises:
            Declined: the prompt or its answer is too long, or does not fit into memory.
            InputError: the model cannot be loaded or takes no images, or the request has a video.
        """
        stop = threading.Event()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._worker, self._answer, request, repair, stop)
        finally:
            stop.set()

    async def close(self) -> None:
        """Free the model; a later request loads it again."""
        self.__dict__.pop("_loaded", None)

    def _answer(self, request: Request, repair: Repair | None, stop: threading.Event) -> Reply:
        loaded = self._loaded
        inputs = self._inputs(loaded, request, repair)
        asked = inputs["input_ids"].shape[1]
        room = self.config.max_tokens if loaded.longest is None else loaded.longest - asked
        if room < 1:
            raise Declined(f"the question has {asked} tokens, and the model takes {loaded.longest}")
        limit = min(self.config.max_tokens, room)
        try:
            with torch.inference_mode():
                output = loaded.model.generate(
                    **inputs,
                    **self.config.extra_body,
                    max_new_tokens=limit,
                    stopping_criteria=[lambda ids, scores: torch.full(ids.shape[:1], stop.is_set(), device=ids.device)],
                )
        except torch.OutOfMemoryError as error:
            raise Declined(f"does not fit into memory with its {asked} tokens") from error
        answer = output[0, asked:].tolist()
        if len(answer) >= limit and answer[-1] not in loaded.ends:
            raise Declined(f"the answer was cut at {limit} tokens (provider.max_tokens, or all that the model takes)")
        return Reply(loaded.tokenizer.decode(answer, skip_special_tokens=True), asked, len(answer))

    def _inputs(self, loaded: _Loaded, request: Request, repair: Repair | None) -> Any:
        """Tokens and pixels of the conversation, on the model's device."""
        turns = conversation(schema_prompt(request), repair)
        if loaded.processor is not None:
            messages = [{"role": turn["role"], "content": [{"type": "text", "text": turn["text"]}]} for turn in turns]
            messages[0]["content"] = [*_images(request), *messages[0]["content"]]
            inputs = loaded.processor.apply_chat_template(messages, **_TOKENS)
            return inputs.to(loaded.model.device, dtype=loaded.model.dtype)
        if request.media:
            raise InputError(f"provider.name: {self.config.name} takes no pictures; name an image-text-to-text model")
        if loaded.tokenizer.chat_template:
            messages = [{"role": turn["role"], "content": turn["text"]} for turn in turns]
            return loaded.tokenizer.apply_chat_template(messages, **_TOKENS).to(loaded.model.device)
        text = "\n\n".join(turn["text"] for turn in turns) + "\n"
        return loaded.tokenizer(text, return_tensors="pt", return_token_type_ids=False).to(loaded.model.device)

    @cached_property
    def _loaded(self) -> _Loaded:
        from transformers import (
            AutoConfig,
            AutoModelForCausalLM,
            AutoModelForImageTextToText,
            AutoProcessor,
            AutoTokenizer,
        )
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

        name = self.config.name
        pretrained = (
            Pretrained(str(self._folder), local=True)
            if self._local
            else Pretrained(name, local=False, revision=self.model["revision"])
        )
        with loading(f"provider.name: {name} cannot be loaded", progress=sys.stderr.isatty()):
            sees = pretrained.load(AutoConfig).model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
            processor: Any = pretrained.load(AutoProcessor) if sees else None
            tokenizer = processor.tokenizer if sees else pretrained.load(AutoTokenizer)
            kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
            model, report = pretrained.load_weights(kind, dtype="auto", device_map="auto")
        if report["missing_keys"]:
            raise InputError(f"provider.name: {name} lacks the weight {min(report['missing_keys'])}")
        if sees and not processor.chat_template:
            raise InputError(f"provider.name: {name} has no chat template; name a model tuned to answer")
        ends = self._set_generation(model, tokenizer)
        longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
        return _Loaded(model.eval(), tokenizer, processor, ends, longest)

    def _set_generation(self, model: Any, tokenizer: Any) -> frozenset[int]:
        """Decode greedily or by temperature, whatever the checkpoint says; return the tokens that end an answer."""
        from transformers import GenerationConfig

        ends = model.generation_config.eos_token_id
        ends = tokenizer.eos_token_id if ends is None else ends
        if ends is None:
            raise InputError(f"provider.name: {self.config.name} has no token that ends an answer; name another model")
        ends = ends if isinstance(ends, list) else [ends]
        warm = {"temperature": self.config.temperature} if self.config.temperature else {}
        model.generation_config = GenerationConfig(
            do_sample=bool(warm), bos_token_id=tokenizer.bos_token_id, eos_token_id=ends, pad_token_id=ends[0], **warm
        )
        return frozenset(ends)

    def _revision(self) -> str:
        """The commit of an id, or a hash over all files of a folder that determine an answer."""
        if self._local:
            return files_hash(sorted(path for path in self._folder.iterdir() if path.suffix in _MODEL_FILES))
        revision = self.config.revision or "main"
        return hub_commit(self.config.name, revision, f"provider.name: {self.config.name}@{revision}")


_TOKENS = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}


def _images(request: Request) -> list[dict[str, Any]]:
    """The images as content parts, decoded."""
    from PIL import Image

    if any(part.media_type == "video/mp4" for part in request.media):
        raise InputError(f"{request.item}: is a video; kind transformers takes frames")
    return [{"type": "image", "image": Image.open(io.BytesIO(part.data)).convert("RGB")} for part in request.media]
