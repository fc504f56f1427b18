"""Settings of the LLM client: which model answers, at which pace and cost, and over how many workers."""

from dataclasses import dataclass, field
from typing import Any, Literal

from sugar.errors import InputError


@dataclass(frozen=True)
class ProviderConfig:
    """Which model answers, and its options."""

    kind: Literal["openai", "transformers"] = "openai"
    """`openai`: an endpoint with OpenAI's chat completions (hosted, vLLM, ...); `transformers`: a model that runs in
    this process."""
    name: str = ""
    """The model, by the name that the endpoint has for it; for `transformers` a folder or a Hugging Face id."""
    revision: str | None = None
    """For `transformers`: branch, tag or commit of a Hugging Face id."""
    base_url: str | None = None
    """Address of the endpoint, mostly ending in `/v1`; default: `OPENAI_BASE_URL`, else OpenAI's own."""
    key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key; a server of your own may need none."""
    timeout: float = 60.0
    """Seconds until a call counts as not answered."""
    max_tokens: int = 4096
    """Longest answer, in tokens; a longer one is cut by the server and recorded as a failure."""
    temperature: float | None = None
    """Sampling temperature; default: the endpoint's own, greedy for `transformers`."""
    extra_body: dict[str, Any] = field(default_factory=dict)
    """Further fields of each call, such as `{top_p: 0.9}`; for `transformers` arguments of `generate`."""
    json_mode: Literal["schema", "object", "none"] = "schema"
    """What the endpoint can be held to: a JSON schema, any JSON object, or nothing; the last two put the schema into
    the prompt."""
    video: bool = False
    """The endpoint takes videos, as content parts `video_url` (vLLM, SGLang)."""


@dataclass(frozen=True)
class Prices:
    """What tokens cost, in any currency, for a million of them."""

    input: float = 0.0
    """Per million tokens of the prompts."""
    output: float = 0.0
    """Per million tokens of the answers."""

    def cost(self, tokens_in: int, tokens_out: int) -> float:
        """The price of that many tokens."""
        return (tokens_in * self.input + tokens_out * self.output) / 1e6


@dataclass(frozen=True)
class RunningConfig:
    """Concurrency, rate, retries and cost of a job."""

    concurrency: int = 8
    """Calls under way at the same time."""
    requests_per_minute: float = 0
    """Calls started in a minute, evenly, retries among them; 0: no limit."""
    attempts: int = 5
    """Calls for one request while the server cannot answer (429, 5xx, time-out, connection lost)."""
    backoff: float = 1.0
    """Seconds before the second attempt; doubles from attempt to attempt up to 60, with jitter."""
    prices: Prices = field(default_factory=Prices)
    """What a million tokens cost, for the cost shown and for max_cost."""
    max_cost: float = 0
    """No new call once this job's answers, those in the journal too, would cost more; 0: no limit."""
    retry_failed: bool = False
    """Retry what the journal records as failed."""

    def __post_init__(self) -> None:
        for name, least in (("concurrency", 1), ("attempts", 1), ("requests_per_minute", 0), ("max_cost", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} is {getattr(self, name)}; give {least} or more")
        if self.backoff < 0 or self.prices.input < 0 or self.prices.output < 0:
            raise InputError("backoff and prices must not be negative")
        if self.max_cost and not (self.prices.input or self.prices.output):
            raise InputError("max_cost needs prices; give prices.input and prices.output per million tokens")


@dataclass(frozen=True)
class ShardingConfig:
    """How many Ray workers share a job, and where they run."""

    workers: int = 2
    """Processes that call the model, each with its share of the concurrency, the rate and the cost."""
    address: str | None = None
    """A running Ray cluster (`auto`: the one this machine belongs to); default: Ray is started here for this job."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise InputError(f"sharding.workers is {self.workers}; give 1 or more")
