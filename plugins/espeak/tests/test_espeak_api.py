"""An answer spoken by ``espeak`` through the API: announced in the stream, fetched by its id, playable."""

import pytest
from ragwork_testkit.mp3 import count_frames
from ragwork_testkit.platform import DEFAULT_PLUGINS


@pytest.fixture
async def app(platform):
    plugins, settings = (*DEFAULT_PLUGINS, "espeak"), {"TTS_PROVIDER": "espeak", "LLM_PROVIDER": "extractive"}
    async with platform(plugins=plugins, settings=settings) as running:
        await running.command("seed", tenant="t1")
        yield running


async def test_an_answer_is_spoken_and_its_audio_can_be_played(app):
    key = await app.key(role="reader")
    asked = {
        "session_id": "s1",
        "corpus_id": "c1",
        "message": "Which release gates does Agent 2.0 have?",
        "audio": True,
    }
    events = await app.events("/v1/run", key, asked)
    assert [e.type for e in events][-3:] == ["message.final", "audio.ready", "done"]
    ready = events[-2].data
    assert ready["mime"] == "audio/mpeg"
    async with app.session.get(f"{app.base}/v1/audio/{ready['audio_id']}.mp3") as answer:
        sound = await answer.read()
        assert (answer.status, answer.headers["Content-Type"]) == (200, "audio/mpeg")
    words = len(events[-3].data["text"].split())
    # Spoken English takes 0.2 to 1 s a word, numbers and marks included.
    assert 0.2 * words < count_frames(sound) * 576 / 22_050 < words + 2
