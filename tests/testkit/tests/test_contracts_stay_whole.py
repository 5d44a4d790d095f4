"""A contract can't be weakened by a subclass, a mixin or a mark, and what a flag denies must be refused."""

import importlib
import json
import os
import pkgutil
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import ragwork_testkit
from ragwork_hooks.errors import NotSupported, ProviderError
from ragwork_hooks.llm import ChatModel, ChatRequest, Delta, Usage
from ragwork_testkit.contract_base import Contract, unsupported
from ragwork_testkit.embedding import EmbedderContract
from ragwork_testkit.llm import ChatModelContract
from ragwork_testkit.promises import promise_of
from ragwork_testkit.remote_retrieval import RemoteRetrieverContract
from ragwork_testkit.speech import SpeechRecognizerContract


class Counting:
    """A model that says what it was told about, to the limit, and knows its tokens."""

    name = "counting"
    limits, estimates, refusal = True, False, NotSupported("no limit of output")

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        if request.max_output_tokens is not None and not self.limits:
            raise self.refusal
        words = request.question.split()[: request.max_output_tokens]
        for word in words:
            yield Delta(text=f"{word} ")
        yield Delta(usage=Usage(input_tokens=1, output_tokens=len(words), estimated=self.estimates))

    async def aclose(self) -> None:
        return None


class Boundless(Counting):
    """Ignores the limit, as if it were a detail."""

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Delta, None]:
        for word in request.question.split():
            yield Delta(text=f"{word} ")
        yield Delta(usage=Usage(input_tokens=1, output_tokens=len(request.question.split())))


class Refusing(Counting):
    limits = False


class Blaming(Refusing):
    """Says that it could be tried again."""

    refusal = ProviderError("LLM_ERROR", "not now", retryable=True)  # type: ignore[assignment]


class Guessing(Counting):
    estimates = True


def kit(**flags: bool) -> ChatModelContract:
    made: ChatModelContract = type("TestKit", (ChatModelContract,), flags)()
    return made


async def test_a_capability_that_is_claimed_is_asked_for() -> None:
    await kit().test_an_output_limit_is_held(Counting())
    with pytest.raises(AssertionError):
        await kit().test_an_output_limit_is_held(Boundless())


async def test_a_capability_that_is_denied_must_be_refused_for_good() -> None:
    await kit(output_limit=False).test_an_output_limit_is_held(Refusing())
    for model in (Counting(), Boundless()):
        with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
            await kit(output_limit=False).test_an_output_limit_is_held(model)
    with pytest.raises(ProviderError, match="not now"):
        await kit(output_limit=False).test_an_output_limit_is_held(Blaming())


@pytest.mark.parametrize(("model", "counts"), [(Counting(), True), (Guessing(), False)])
async def test_counts_and_guesses_are_told_apart(model: ChatModel, counts: bool) -> None:
    await kit(counts_usage=counts).test_usage_comes_once_and_last(model)
    with pytest.raises(AssertionError):
        await kit(counts_usage=not counts).test_usage_comes_once_and_last(model)


async def test_a_refusal_that_may_be_retried_is_none() -> None:
    async def call() -> None:
        error = NotSupported("never")
        error.retryable = True
        raise error

    with pytest.raises(AssertionError):
        await unsupported(call())


class Mixin:
    """Comes before the contract in the order of look-up."""

    async def test_a_filter_is_held(self) -> None:
        return None


@pytest.mark.parametrize(
    ("bases", "body", "named"),
    [
        ((ChatModelContract,), {"test_it_has_a_name": None}, "test_it_has_a_name"),
        ((Mixin, RemoteRetrieverContract), {}, "test_a_filter_is_held"),
        ((RemoteRetrieverContract,), {"_stall_and_cancel": lambda self: None}, "_stall_and_cancel"),
        ((SpeechRecognizerContract,), {"_expected": lambda self: ()}, "_expected"),
        ((RemoteRetrieverContract,), {"filters": None}, "filters"),
        ((ChatModelContract,), {"counts_usage": property(lambda self: True)}, "counts_usage"),
    ],
)
def test_a_class_that_weakens_its_contract_is_refused(
    bases: tuple[type, ...], body: dict[str, object], named: str
) -> None:
    with pytest.raises(TypeError, match=f"TestCheat.*{named}"):
        type("TestCheat", bases, body)


def kits() -> list[type]:
    """Every contract of every module of the kit."""
    for module in pkgutil.iter_modules(ragwork_testkit.__path__):
        if module.name != "fixtures":  # pytest's own
            importlib.import_module(f"ragwork_testkit.{module.name}")
    found: list[type[Contract]] = [Contract]
    for kit in found:
        found += [each for each in kit.__subclasses__() if each.__module__.startswith("ragwork_testkit.")]
    return found


def test_every_test_of_every_kit_says_its_rule_and_the_remedy() -> None:
    tests = {test for kit in kits() for name, test in vars(kit).items() if name.startswith("test_")}
    assert len(tests) >= 150
    for test in tests:
        rule, remedy = promise_of(test)
        assert min(len(rule), len(remedy)) > 8, test


def test_a_class_may_add_tests_and_share_its_own() -> None:
    first = type("TestMine", (EmbedderContract,), {"test_more": lambda self: None, "_help": lambda self: 1})
    assert issubclass(type("TestOther", (first,), {"_help": lambda self: 2}), Contract)


SUITE = """
import pytest
from ragwork_hooks.speech import Audio
from ragwork_testkit.speech import SpeechSynthesizerContract

class Voice:
    name = "voice"
    async def synthesize(self, text):
        return Audio(data=b"OggS" + text.encode("utf-8", "replace"), mime="audio/ogg")
    async def aclose(self):
        return None

{mark}
class TestVoice(SpeechSynthesizerContract):
    async def make(self):
        {make}return Voice()

{after}
"""


#: Without the pytest plugins of everybody who happens to be installed: their import takes seconds.
ALONE = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
QUICK = ("-p", "no:cacheprovider", "-p", "pytest_asyncio.plugin", "-p", "ragwork_testkit.fixtures")


def outcome(folder: Path, *, mark: str = "", make: str = "", after: str = "") -> tuple[int, str]:
    (folder / "test_suite.py").write_text(SUITE.format(mark=mark, make=make, after=after))
    command = [sys.executable, "-m", "pytest", "-q", "-o", "asyncio_mode=auto", *QUICK, str(folder)]
    done = subprocess.run(command, env={**os.environ, **ALONE}, capture_output=True, text=True, cwd=folder)
    return done.returncode, done.stdout + done.stderr


REFUSED = pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("weakened", "status", "said"),
    [
        ({}, 0, "passed"),
        ({"mark": "@pytest.mark.skip(reason='slow')"}, REFUSED, "capability flags"),
        ({"mark": "@pytest.mark.skipif(True, reason='slow')"}, REFUSED, "capability flags"),
        ({"mark": "@pytest.mark.xfail"}, REFUSED, "xfail without a reason"),
        ({"mark": "@pytest.mark.xfail(reason='issue 7')"}, 0, "xpassed"),
        ({"after": "TestVoice.test_it_has_a_name = lambda self: None"}, REFUSED, "test_it_has_a_name"),
    ],
    ids=["whole", "skip", "skipif", "xfail", "xfail with a reason", "set afterwards"],
)
def test_a_run_with_a_weakened_contract_is_refused(
    tmp_path: Path, weakened: dict[str, Any], status: int, said: str
) -> None:
    code, text = outcome(tmp_path, **weakened)
    assert (code, said in text) == (status, True), text


PROVE = """
import json, sys, pytest
from ragwork_testkit.outcomes import Outcomes
outcomes = Outcomes()
pytest.main(["-q", "-o", "asyncio_mode=auto", *sys.argv[1:]], plugins=[outcomes])
kit = outcomes.unproved["ragwork_testkit.speech.SpeechSynthesizerContract"]
sys.stderr.write(json.dumps(sorted(kit)))
"""
SKIPPING = """
@pytest.fixture(autouse=True)
def quietly(request):
    if request.node.originalname == "test_many_at_once":
        pytest.skip("not today")
"""


@pytest.mark.parametrize(("after", "unproved"), [("", []), (SKIPPING, ["test_many_at_once"])])
def test_a_test_of_a_kit_that_is_skipped_while_it_runs_is_not_proved(
    tmp_path: Path, after: str, unproved: list[str]
) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE.format(mark="", make="", after=after))
    command = [sys.executable, "-c", PROVE, *QUICK, str(tmp_path)]
    done = subprocess.run(command, env={**os.environ, **ALONE}, capture_output=True, text=True, cwd=tmp_path)
    assert json.loads(done.stderr.splitlines()[-1]) == unproved
