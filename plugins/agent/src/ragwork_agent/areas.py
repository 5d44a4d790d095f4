"""Areas of the agent."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="run",
        about="Ask a question and get an answer with citations, streamed or whole. Start here.",
        rank=1,
    ),
    Area(
        name="sessions",
        about="Conversations: each run belongs to one, and only its owner sees it.",
        rank=5,
        path={"session_id": "The session, as its first run named it."},
    ),
    Area(
        name="audio",
        about="Answers as sound.",
        rank=6,
        path={"audio_id": "The id that the run told; it can't be guessed and expires."},
    ),
)
