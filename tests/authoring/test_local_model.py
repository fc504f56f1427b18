"""Models in process: tiny ones that have learnt one answer, so that what they say can be checked."""

import asyncio
import dataclasses
import io
import json
import shutil
import threading
from pathlib import Path

import pytest
import torch
from PIL import Image
from pydantic import BaseModel, ConfigDict
from tiny_llm import make_tokenizer
from torch.nn.functional import cross_entropy
from transformers import (
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from sugar.authoring.client.answers import schema_prompt
from sugar.authoring.client.config import ProviderConfig
from sugar.authoring.client.local_model import TransformersProvider
from sugar.authoring.client.providers import load_provider
from sugar.authoring.client.request import Declined, Media, Repair, Reply, Request, conversation
from sugar.errors import InputError

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
CHAT = "{% for m in messages %}[{{ m['role'] }}] {{ m['content'] }}\n{% endfor %}[assistant] "
CHAT_WITH_IMAGES = (
    "{% for m in messages %}[{{ m['role'] }}] {% for part in m['content'] %}"
    "{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{{ '\n' }}{% endfor %}"
    "[assistant] "
)


class Color(BaseModel):
    model_config = ConfigDict(extra="forbid")
    color: str


QUESTION = Request(item="a", prompt="Which?", answer=Color)


def picture(color: str) -> Media:
    file = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(file, "PNG")
    return Media(file.getvalue(), "image/png", "made")


def teach(model, inputs, texts: list[str], tokenizer) -> None:
    """Fit ``model`` to say each text after its inputs, and then to end; the texts are of one length."""
    told = tokenizer([text + tokenizer.eos_token for text in texts], return_tensors="pt")["input_ids"]
    whole = torch.cat([inputs["input_ids"], told], dim=1)
    others = {"pixel_values": inputs["pixel_values"]} if "pixel_values" in inputs else {}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(300):
        logits = model(input_ids=whole, **others, logits_to_keep=told.shape[1] + 1).logits[:, :-1]
        loss = cross_entropy(logits.flatten(0, 1), told.flatten())
        if loss.item() < 0.02:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    raise AssertionError(f"not learnt: loss {loss.item():.3f}")


def llama() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(vocab_size=260, max_position_embeddings=600, eos_token_id=0, **SIZES))


@pytest.fixture(scope="module")
def text_model(tmp_path_factory) -> Path:
    """A Llama that answers QUESTION in its chat template."""
    folder = tmp_path_factory.mktemp("text") / "tiny-llama"
    tokenizer, model = make_tokenizer(), llama()
    tokenizer.chat_template = CHAT
    question = f"[user] {schema_prompt(QUESTION)}\n[assistant] "
    teach(model, tokenizer([question], return_tensors="pt"), ['{"color": "red"}'], tokenizer)
    # What a checkpoint may bring along: it would spoil a greedy answer.
    model.generation_config.update(do_sample=True, temperature=50.0)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def seeing_model(tmp_path_factory) -> Path:
    """A Llava that tells a red picture from a tan one."""
    folder = tmp_path_factory.mktemp("vision") / "tiny-llava"
    tokenizer = make_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    tokenizer.image_token = "<image>"
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size={"height": 28, "width": 28}, do_center_crop=False),
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        chat_template=CHAT_WITH_IMAGES,
        num_additional_image_tokens=1,
    )
    torch.manual_seed(0)
    model = LlavaForConditionalGeneration(
        LlavaConfig(
            vision_config=CLIPVisionConfig(image_size=28, patch_size=14, **SIZES),
            text_config=LlamaConfig(vocab_size=264, max_position_embeddings=600, eos_token_id=0, **SIZES),
            image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        )
    )
    images = [Image.new("RGB", (40, 30), color) for color in ("red", "tan")]
    question = f"[user] <image>{schema_prompt(QUESTION)}\n[assistant] "
    inputs = processor(images=images, text=[question] * 2, return_tensors="pt")
    teach(model, inputs, ['{"color": "red"}', '{"color": "tan"}'], tokenizer)
    model.generation_config.eos_token_id = 0
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def ask(folder: Path, request: Request = QUESTION, repair: Repair | None = None, **options) -> Reply:
    async def once() -> Reply:
        provider = load_provider(ProviderConfig("transformers", str(folder), **({"max_tokens": 40} | options)))
        try:
            return await provider.ask(request, repair)
        finally:
            await provider.close()

    return asyncio.run(once())


def test_a_text_model_answers_greedily(text_model):
    reply = ask(text_model)
    assert Color.model_validate_json(reply.text).color == "red"
    assert reply.tokens_out == len('{"color": "red"}') + 1  # bytes, and the end
    assert reply.tokens_in > len(schema_prompt(QUESTION))


def test_a_seeing_model_answers_by_the_picture(seeing_model):
    for color in ("tan", "red"):
        reply = ask(seeing_model, dataclasses.replace(QUESTION, media=(picture(color),)))
        assert json.loads(reply.text) == {"color": color}


def test_temperature_makes_answers_differ(text_model):
    with pytest.raises(Declined, match="cut at 40 tokens"):  # noise seldom ends
        ask(text_model, temperature=50.0, extra_body={"suppress_tokens": [0]})


def test_a_model_without_a_chat_template_gets_the_plain_prompt(text_model, tmp_path):
    folder = tmp_path / "plain"
    shutil.copytree(text_model, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(Declined, match="cut at 5 tokens"):
        ask(folder, max_tokens=5, extra_body={"suppress_tokens": [0]})


def test_what_is_too_long_is_declined(text_model):
    with pytest.raises(Declined, match="the model takes 600"):
        ask(text_model, dataclasses.replace(QUESTION, prompt="long " * 200))
    with pytest.raises(Declined, match="cut at 5 tokens"):
        ask(text_model, max_tokens=5)


def test_a_repair_question_is_a_longer_conversation(text_model):
    request, repair = dataclasses.replace(QUESTION, prompt="x" * 300), Repair('{"color": "red"}', "color: missing")
    said = [turn["text"] for turn in conversation(schema_prompt(request), repair)]
    tokens = len(f"[user] {said[0]}\n[assistant] {said[1]}\n[user] {said[2]}\n[assistant] ")  # bytes
    with pytest.raises(Declined, match=f"the question has {tokens} tokens, and the model takes 600"):
        ask(text_model, request, repair)


def test_a_canceled_question_stops_at_its_next_token(text_model):
    steps, canceled = [], threading.Event()

    async def cancel() -> None:
        loop = asyncio.get_running_loop()

        def step(ids, scores):
            steps.append(ids.shape[1])
            if len(steps) == 3:
                loop.call_soon_threadsafe(question.cancel)
                canceled.wait(60)
            return scores

        options = {"logits_processor": [step]}
        provider = TransformersProvider(ProviderConfig("transformers", str(text_model), extra_body=options))
        question = asyncio.create_task(provider.ask(QUESTION))
        with pytest.raises(asyncio.CancelledError):
            await question
        canceled.set()
        provider._worker.shutdown()  # waits for the thread

    asyncio.run(cancel())
    assert len(steps) == 3


def test_what_it_cannot_take_is_the_users_to_mend(text_model, seeing_model, tmp_path):
    with pytest.raises(InputError, match="takes no pictures"):
        ask(text_model, dataclasses.replace(QUESTION, media=(picture("red"),)))
    with pytest.raises(InputError, match="takes frames"):
        ask(seeing_model, dataclasses.replace(QUESTION, media=(Media(b"", "video/mp4", "made"),)))
    with pytest.raises(InputError, match="no folder"):
        ask(tmp_path / "none")
    with pytest.raises(InputError, match="leave it out"):
        ask(text_model, revision="main")
    with pytest.raises(InputError, match="cannot be loaded") as caught:
        ask(tmp_path)
    assert "\n" not in str(caught.value)


def test_the_identity_follows_the_weights_and_not_the_place(text_model, tmp_path):
    def model(folder: Path) -> dict:
        return dict(load_provider(ProviderConfig("transformers", str(folder))).model)

    moved = tmp_path / text_model.name
    shutil.copytree(text_model, moved)
    assert model(moved) == model(text_model)
    assert str(tmp_path) not in json.dumps(model(moved))
    llama().save_pretrained(moved)
    assert model(moved) != model(text_model)
