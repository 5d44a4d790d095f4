"""Plugins with one fault each: the kit of their kind fails for it, and says the rule and the remedy.

Every fault is a package of its own on disk, opened by its entry point; one run of pytest tests them all.
"""

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs
import pytest

PLANTED: Final = Path(__file__).with_name("planted")
PROJECT: Final = """
[project]
name = "ragwork-planted"
version = "0"
[project.entry-points."ragwork.plugins"]
planted = "{module}:plugin"
[project.entry-points."ragwork.{kind}"]
planted = "{module}:{target}"
"""
INI: Final = "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
#: Kind → what a test file of its kit says beside the class line.
KITS: Final[Mapping[str, tuple[str, str]]] = {
    "llm": ("from ragwork_testkit.llm import ChatModelContract as Kit", "output_limit = True"),
    "embedding": ("from ragwork_testkit.embedding import EmbedderContract as Kit", "pass"),
    "tts": ("from ragwork_testkit.speech import SpeechSynthesizerContract as Kit", "pass"),
    "asr": (
        "from ragwork_hooks.speech import Audio\nfrom ragwork_testkit.speech import SpeechRecognizerContract as Kit"
        "\nfrom ragwork_testkit.wav import silent",
        'async def speak(self, text): return Audio(data=silent(0.01, comment=text), mime="audio/wav")',
    ),
    "parser": (
        "from planted_files import SAMPLES\nfrom ragwork_testkit.parser import ParserContract as Kit",
        "samples = SAMPLES",
    ),
    "reranker": ("from ragwork_testkit.reranking import RerankerContract as Kit", "pass"),
    "connector": (
        "import planted_sources, pytest\nfrom ragwork_testkit.connector import ConnectorContract as Kit",
        "def options(self): return {}"
        "\n    async def put(self, key, data): planted_sources.FILES[key] = data"
        "\n    async def delete(self, key): del planted_sources.FILES[key]"
        "\n    async def rename(self, key, to):"
        " planted_sources.FILES[to] = planted_sources.FILES.pop(key)"
        "\n    async def break_listing(self): planted_sources.BROKEN.append(True)"
        "\n    @pytest.fixture(autouse=True)"
        "\n    def fresh(self):\n        planted_sources.FILES.clear()\n        planted_sources.BROKEN.clear()",
    ),
    "policy_engine": ("from ragwork_testkit.policy_engine import PolicyEngineContract as Kit", "pass"),
    "notification": (
        "import pytest\nfrom planted_speech import HonestChannel\nfrom ragwork_hooks.notification import Destination"
        "\nfrom ragwork_testkit.channels import ChannelContract as Kit",
        'def destination(self): return Destination(id="d", tenant_id="t", url="http://127.0.0.1:9")'
        "\n    def arrived(self): return HonestChannel.arrived"
        "\n    @pytest.fixture(autouse=True)\n    def fresh(self): HonestChannel.arrived.clear()",
    ),
    "gate": (
        "import planted_gates\nfrom ragwork_testkit.gates import GateContract as Kit",
        'actions = ("document.read",)\n    def make(self): return planted_gates.{target}()',
    ),
    "sink": (
        "import planted_gates, pytest\nfrom ragwork_testkit.sinks import SinkContract as Kit",
        "def make(self): return planted_gates.{target}()\n    def effects(self): return planted_gates.LOG"
        "\n    @pytest.fixture(autouse=True)\n    def fresh(self): planted_gates.LOG.clear()",
    ),
    "retrieval": (
        "import planted_find, pytest\nfrom ragwork_testkit.remote_retrieval import Codes, Remote"
        "\nfrom ragwork_testkit.remote_retrieval import RemoteRetrieverContract as Kit",
        "@pytest.fixture\n    def remote(self):\n        service = planted_find.MemoryService()"
        "\n        codes = Codes(config='RETRIEVAL_CONFIG_INVALID', auth='A', failed='RETRIEVAL_ERROR')"
        "\n        yield Remote(retriever=planted_find.{target}(service), service=service, codes=codes)",
    ),
}


@attrs.frozen
class Fault:
    """``target`` of ``module`` has one fault of this ``kind``, which ``test`` finds; the message names ``rule`` and
    ``remedy``.
    """

    kind: str
    module: str
    target: str
    test: str
    rule: str
    remedy: str

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.target.lower()}"

    def write(self, folder: Path) -> str:
        """The package on disk; gives the test's id below ``folder``."""
        place = folder / self.name
        place.mkdir()
        if self.kind not in ("gate", "sink", "retrieval"):
            text = PROJECT.format(kind=self.kind, module=self.module, target=self.target)
            (place / "pyproject.toml").write_text(text)
        head, body = KITS[self.kind]
        body = body.format(target=self.target) if "{target}" in body else body
        (place / f"test_{self.name}.py").write_text(f"{head}\n\nclass TestPlanted(Kit):\n    {body}\n")
        return f"{self.name}/test_{self.name}.py::TestPlanted::{self.test}"


OPENS, LOOP = "test_its_entry_point_opens_it", "test_the_event_loop_goes_on_meanwhile"
LEFT, CANCELLED = "test_closing_leaves_nothing_behind", "test_a_cancelled_call_ends_as_cancelled"
TROUBLE, USAGE = "test_a_service_in_trouble_is_a_provider_error", "test_usage_comes_once_and_last"
VECTORS = "test_vectors_have_the_dimension_and_unit_length[query]"
CHAT, SPEECH, FIND, GATES = "planted_chat", "planted_speech", "planted_find", "planted_gates"
FILES, SOURCES = "planted_files", "planted_sources"
FAULTS: Final = (
    Fault(
        "llm",
        CHAT,
        "open_hangs",
        OPENS,
        r"open\(\) of the llm provider .* ends within",
        "connect when the first",
    ),
    Fault("llm", CHAT, "opens_nothing", OPENS, "gives a ChatModel, not None", "return the provider"),
    Fault("llm", CHAT, "opens_something", OPENS, "gives a ChatModel", "return an object with .*`stream`"),
    Fault(
        "llm",
        CHAT,
        "open_blocks",
        OPENS,
        r"open\(\) never blocks the event loop",
        "asyncio.to_thread.*planted_chat",
    ),
    Fault("llm", CHAT, "no_provider", OPENS, "names a Provider", "provider = Provider"),
    Fault("llm", CHAT, "returns", OPENS, "asynchronous generator", "with `yield`"),
    Fault(
        "llm",
        CHAT,
        "blocks",
        LOOP,
        "never blocks the event loop",
        r"to_thread.*planted_chat.py:\d+ in stream",
    ),
    Fault(
        "llm",
        CHAT,
        "goes_on",
        "test_closing_early_ends_the_work",
        r"stream\(\) stops at close",
        "in `finally`",
    ),
    Fault("llm", CHAT, "swallows", CANCELLED, "ends with CancelledError", "raise it again"),
    Fault("llm", CHAT, "usage_twice", USAGE, "ends with its usage, once", "yield `Delta"),
    Fault("llm", CHAT, "text_after_usage", USAGE, "ends with its usage", "as the last piece"),
    Fault(
        "llm",
        CHAT,
        "shuffles",
        "test_the_pieces_add_up_to_the_same_text_each_time",
        "same answer",
        "in their order",
    ),
    Fault("llm", CHAT, "leaks_a_task", LEFT, r"aclose\(\) ends the tasks", "cancel and await tasks.*sleep"),
    Fault(
        "llm",
        CHAT,
        "raw_errors",
        f"{TROUBLE}[down]",
        "nothing but ProviderError leaves stream",
        "catch URLError",
    ),
    Fault(
        "llm",
        CHAT,
        "on_the_loop",
        "test_a_silent_service_holds_up_nobody[hangs]",
        "never blocks",
        "asynchronous client",
    ),
    Fault(
        "llm",
        CHAT,
        "thread_goes_on",
        "test_a_silent_service_holds_up_nobody[hangs]",
        "request to the service ends",
        "a thread goes on",
    ),
    Fault(
        "llm",
        CHAT,
        "reads_all",
        "test_an_answer_without_an_end_is_not_read_to_its_end",
        "read up to a bound",
        "stop at a size",
    ),
    Fault("embedding", FIND, "short", VECTORS, "`dimension` finite numbers", "divide it by its length.*63"),
    Fault("embedding", FIND, "long", VECTORS, "length 1", "divide it by its length"),
    Fault("embedding", FIND, "nans", VECTORS, "finite numbers", "check what the model gives"),
    Fault(
        "embedding",
        FIND,
        "wrong_order",
        "test_order_is_kept_whatever_the_lengths[query]",
        "order of their texts",
        "sort what comes back",
    ),
    Fault(
        "embedding",
        FIND,
        "sorts",
        "test_order_is_kept_whatever_the_lengths[query]",
        "leaves what it is given",
        "work on a copy",
    ),
    Fault(
        "embedding",
        FIND,
        "raw",
        "test_an_odd_text_has_a_vector[unpaired surrogate-query]",
        "nothing but ProviderError",
        "catch UnicodeEncodeError",
    ),
    Fault(
        "reranker",
        FIND,
        "percents",
        "test_each_text_has_a_relevance_from_0_to_1",
        "from 0.0 to 1.0",
        "bring what the model gives",
    ),
    Fault(
        "reranker",
        FIND,
        "best_first",
        "test_scores_come_in_the_order_of_the_texts",
        "in the order of their texts",
        "sort what comes back by its index",
    ),
    Fault(
        "reranker",
        FIND,
        "relative",
        "test_a_score_does_not_hang_on_the_other_texts",
        "whatever others are judged",
        "don't divide by the best",
    ),
    Fault(
        "reranker",
        FIND,
        "distances",
        "test_what_answers_the_question_is_the_most_relevant",
        "has the largest relevance",
        "larger is better",
    ),
    Fault("tts", SPEECH, "blocking_voice", LOOP, "never blocks the event loop", "asyncio.to_thread"),
    Fault("tts", SPEECH, "stubborn_voice", CANCELLED, "ends with CancelledError", "raise it again"),
    Fault("tts", SPEECH, "chatty_voice", "test_many_at_once", "nothing is printed", "log it"),
    Fault(
        "tts",
        SPEECH,
        "mislabelled_voice",
        "test_many_at_once",
        "each spoken|audio of the type",
        "own variables|begin as",
    ),
    Fault("tts", SPEECH, "thready_voice", LEFT, r"aclose\(\) ends the threads", "join threads.*voice-pool"),
    Fault(
        "asr",
        SPEECH,
        "crashing_ears",
        "test_garbage_is_refused_for_good[four bytes]",
        "nothing but ProviderError",
        "catch IndexError",
    ),
    Fault(
        "asr",
        SPEECH,
        "telling_ears",
        "test_garbage_is_refused_for_good[text]",
        "is a sentence",
        "leave the cause",
    ),
    Fault("asr", SPEECH, "spawning_ears", LEFT, r"aclose\(\) ends the tasks", "cancel and await tasks"),
    Fault(
        "policy_engine",
        FIND,
        "any_passes",
        "test_what_no_rule_allows_is_denied",
        "denied",
        "undefined `allow`",
    ),
    Fault(
        "policy_engine",
        FIND,
        "guesses",
        "test_no_policies_give_no_decisions",
        "leaves what it is given",
        "work on a copy",
    ),
    Fault(
        "notification",
        SPEECH,
        "renaming_channel",
        "test_another_attempt_has_the_same_id",
        "same delivery id",
        "send the one",
    ),
    Fault(
        "notification",
        SPEECH,
        "editing_channel",
        "test_another_attempt_has_the_same_id",
        "leaves what it is given",
        "copy",
    ),
    Fault(
        "notification", SPEECH, "nameless_channel", OPENS, "name of its entry point", "set `name = 'planted'`"
    ),
    Fault("gate", GATES, "Widens", "test_narrowing_never_widens", "narrowing never widens", "AllOf"),
    Fault(
        "gate",
        GATES,
        "SaysTrue",
        "test_every_verdict_is_one_of_the_three_and_stays_the_same",
        "Allow, Deny or Abstain",
        "return one of the three",
    ),
    Fault("gate", GATES, "Sleeps", LOOP, "never blocks the event loop", "planted_gates"),
    Fault(
        "gate",
        GATES,
        "Crashes",
        "test_hostile_names_are_names[0]",
        "nothing but ProviderError",
        "catch KeyError",
    ),
    Fault(
        "sink",
        GATES,
        "Repeats",
        "test_what_is_delivered_twice_takes_effect_once",
        "takes effect once",
        "remember the ids",
    ),
    Fault("sink", GATES, "Marks", "test_hostile_text_is_data[0]", "leaves what it is given", "copy"),
    Fault("sink", GATES, "Holds", LOOP, "never blocks the event loop", "planted_gates"),
    Fault(
        "sink",
        GATES,
        "Insists",
        "test_a_cancelled_delivery_ends_as_cancelled",
        "CancelledError",
        "raise it again",
    ),
    Fault("retrieval", FIND, "Unescaped", "test_a_filter_is_held", "a filter is held", "quotes them"),
    Fault(
        "retrieval",
        FIND,
        "IgnoresTenants",
        "test_fifty_calls_at_once_mix_neither_tenants_nor_credentials",
        "mix neither tenants",
        "by the `tenant_id`",
    ),
    Fault(
        "retrieval",
        FIND,
        "RandomIds",
        "test_chunk_ids_are_the_same_each_time_and_differ_within_a_document",
        "the same each time",
        "not of chance",
    ),
    Fault(
        "parser",
        FILES,
        "loud",
        "test_it_says_what_it_takes",
        "says what it takes",
        "media types in lower case",
    ),
    Fault(
        "parser",
        FILES,
        "plain",
        "test_another_process_can_make_an_equal_one",
        "makes an equal",
        "attrs class",
    ),
    Fault("parser", FILES, "blind", "test_a_sample_is_read", "its text is found", "read what the file says"),
    Fault("parser", FILES, "moody", "test_the_same_file_gives_the_same_twice", "gives the same", "of chance"),
    Fault(
        "parser",
        FILES,
        "greedy",
        "test_a_cut_or_damaged_file_ends_in_a_clear_error",
        "read or refused",
        "bound loops",
    ),
    Fault(
        "parser",
        FILES,
        "boundless",
        "test_the_limit_of_text_is_held",
        "refused while it is read",
        "BlockList",
    ),
    *(
        Fault("connector", SOURCES, target, test, rule, remedy)
        for target, test, rule, remedy in (
            ("one_page", "test_every_file_is_listed_once_with_its_size", "every file once", "the next page"),
            ("twice", "test_names_of_every_kind_are_listed_and_read", "every file once", "earlier page"),
            ("quiet", "test_a_listing_that_breaks_raises", "can't be finished", "raise it"),
            (
                "stale",
                "test_a_version_changes_with_the_content_and_not_otherwise",
                "a content",
                "another after",
            ),
            (
                "restless",
                "test_a_version_changes_with_the_content_and_not_otherwise",
                "a content",
                "equal while",
            ),
            ("keeping", "test_what_is_deleted_or_renamed_is_no_longer_listed", "is of now", "keep nothing"),
            ("showing", "test_hidden_files_are_left_out", "is hidden", "leave it out"),
            (
                "unbounded",
                "test_a_file_that_is_gone_or_too_large_is_a_provider_error",
                "larger",
                "stop reading",
            ),
            ("blocking", "test_the_event_loop_goes_on_meanwhile", "never blocks", "to_thread"),
        )
    ),
)
#: Where none of it is wrong the same tests pass.
HONEST: Final = (
    Fault("llm", CHAT, "honest", "", "", ""),
    Fault("tts", SPEECH, "honest_voice", "", "", ""),
    Fault("asr", SPEECH, "honest_ears", "", "", ""),
    Fault("notification", SPEECH, "honest_channel", "", "", ""),
    Fault("parser", FILES, "honest_parser", "", "", ""),
    Fault("reranker", FIND, "honest_reranker", "", "", ""),
    Fault("connector", SOURCES, "honest_connector", "", "", ""),
    Fault("gate", GATES, "Judge", "", "", ""),
    Fault("sink", GATES, "Sink", "", "", ""),
)


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Test file and name → the message it failed with; "" when it passed."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "pytest.ini").write_text(INI)
    (folder / "conftest.py").write_text(
        "from ragwork_testkit import entry_point\n\nentry_point.OPEN_S = 1.0\n"
    )
    chosen = [fault.write(folder) for fault in FAULTS]
    chosen += [honest.write(folder).rpartition("::")[0] for honest in HONEST]
    report = folder / "report.xml"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=native", "-p", "no:cacheprovider"]
    command += [
        "-p",
        "pytest_asyncio.plugin",
        "-p",
        "ragwork_testkit.fixtures",
        f"--junitxml={report}",
        *chosen,
    ]
    environ = {"PYTHONPATH": str(PLANTED), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=110)
    assert report.is_file(), done.stdout + done.stderr
    return {
        f"{case.get('classname', '').split('.')[0]}::{case.get('name')}": _message(case)
        for case in ET.parse(report).iter("testcase")
    }


def _message(case: ET.Element) -> str:
    for kind in ("failure", "error"):
        found = case.find(kind)
        if found is not None:
            return f"{found.get('message')}\n{found.text}"
    return ""


# Slow: each is a test run of its own, and what hangs is waited for.
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_fault_is_caught_with_its_rule_and_its_remedy(fault: Fault, messages: dict[str, str]) -> None:
    said = messages[f"{fault.name}::{fault.test}"].partition("\n")[0]
    assert re.search(rf"BrokenPromise: .*(?:{fault.rule}).*: .*(?:{fault.remedy})", said), said


@pytest.mark.parametrize("honest", HONEST, ids=[honest.name for honest in HONEST])
def test_who_has_no_fault_passes_the_whole_kit(honest: Fault, messages: dict[str, str]) -> None:
    of_it = {name: said for name, said in messages.items() if name.startswith(f"{honest.name}::")}
    assert len(of_it) > 5
    assert {name: said for name, said in of_it.items() if said} == {}
