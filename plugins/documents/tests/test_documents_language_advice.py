"""``ragwork doctor`` tells of corpora in languages that their embedder does not tell apart."""

import pytest
from ragwork_cli import configuration_checks
from ragwork_documents.corpora.language_advice import CorpusLanguages, language_advice
from ragwork_hooks.errors import ProviderError
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_testkit.platform import DEFAULT_PLUGINS, running

GREEK = "Οι πύλες του λιμανιού κλείνουν όταν η παλίρροια είναι χαμηλή και ανοίγουν πάλι το πρωί."
ENGLISH = "The lock gates of the harbour close when the tide is low and open again in the morning."
ENGLISH_ONLY = frozenset({"en"})


def corpus(**documents):
    return CorpusLanguages(tenant_id="t", corpus_id="c", embedder="e", documents=documents)


@pytest.mark.parametrize(
    ("documents", "told"),
    [
        ({"en": 10}, {}),
        ({"en": 9, "el": 1}, {}),
        ({"en": 8, "el": 1}, {"el": 1}),
        ({"en": 17, "el": 1, "th": 1}, {"el": 1, "th": 1}),
        ({"en": 1, "": 9}, {}),
        ({"el": 1}, {"el": 1}),
    ],
)
def test_more_than_a_tenth_in_other_languages_is_told(documents, told):
    assert corpus(**documents).beyond(ENGLISH_ONLY) == told


async def ingested(app, key, corpus_id, texts):
    body = {"id": corpus_id, "name": corpus_id, "provider_config_json": {}}
    assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201
    for number, text in enumerate(texts):
        body = {"corpus_id": corpus_id, "text": text, "document_id": f"{corpus_id}{number}"}
        assert (await app.call("POST", "/v1/documents/text", key, json=body)).data["status"] == "succeeded"


async def test_doctor_names_the_corpus_its_languages_and_what_to_do(postgres, tmp_path):
    async with postgres.database([]) as fresh:
        inline = {"INGEST_EXECUTION_MODE": "inline"}
        async with running(postgres, DEFAULT_PLUGINS, inline, database_url=fresh.admin) as app:
            key = await app.key("t1")
            await ingested(app, key, "mixed", [GREEK, ENGLISH, ENGLISH])
            await ingested(app, key, "english", [ENGLISH])
        environ = {
            "RAGWORK_PLUGINS": ",".join(DEFAULT_PLUGINS),
            "DATABASE_URL": fresh.admin,
            "EMBEDDING_PROVIDER": "wordllama",
            "LLM_PROVIDER": "fake",
        }
        found = await configuration_checks.live(assemblies.read(tmp_path, environ), tmp_path, offline=False)
    [advice] = [finding for finding in found if finding.check == "languages"]
    assert advice.state == "warn"
    assert "corpus 'mixed' of tenant 't1': 1 of 3 documents" in advice.detail
    assert "'wordllama'" in advice.detail
    assert "(el 1)" in advice.detail
    assert "PATCH /v1/corpora/mixed" in advice.fix
    assert "retrieval.embedder" in advice.fix


class Rows:
    """A database whose corpora are in Greek, all bound to one embedder."""

    def __init__(self, count):
        self.rows = [
            {"tenant_id": "t", "corpus_id": f"c{n}", "embedder": "e", "language": "el", "documents": 1}
            for n in range(count)
        ]

    def anonymous(self):
        return self

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None

    async def fetch(self, _sql):
        return self.rows

    async def open(self, _kind, _name):
        return self

    languages: frozenset[str] | None = ENGLISH_ONLY


async def test_thousands_of_corpora_are_a_few_lines():
    told = await language_advice(Rows(5_000), Rows(0))
    assert len(told) == 21
    assert told[-1].message == "4980 more corpora are like these"


async def test_a_multilingual_embedder_needs_no_advice():
    multilingual = Rows(0)
    multilingual.languages = None
    assert await language_advice(Rows(3), multilingual) == []


async def test_advice_that_fails_fails_nothing():
    async def advise():
        raise ProviderError("EMBEDDING_CONFIG_MISSING", "OPENAI_API_KEY is not set")

    advisor = configuration_checks.Advisor(name="languages", advise=advise)
    [finding] = await configuration_checks._advised(advisor)
    assert finding.state == "warn"
    assert "OPENAI_API_KEY" in finding.detail
