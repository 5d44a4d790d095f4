"""LangGraph's checkpointer over the run's own transactions: one read at its start, one write at its end."""

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.base import Checkpoint as GraphCheckpoint

from ragwork_agent.run.context import CheckpointSlot

#: The key under which a run's ``CheckpointSlot`` travels in LangGraph's config.
SLOT = "slot"


class TurnCheckpointer(BaseCheckpointSaver[int]):
    """Keeps nothing itself: the state goes to and from the ``CheckpointSlot`` of the run in ``config``."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The session's last checkpoint, as the opening transaction read it."""
        saved = _slot(config).saved
        if saved is None:
            return None
        return CheckpointTuple(
            config=_named(config, saved["checkpoint"]["id"]),
            checkpoint=saved["checkpoint"],
            metadata=saved["metadata"],
        )

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: GraphCheckpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep the checkpoint for the closing transaction."""
        _slot(config).taken = {"checkpoint": checkpoint, "metadata": metadata}
        return _named(config, checkpoint["id"])

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """A cut run leaves no half-done step: its session goes on from the checkpoint before it."""


def _slot(config: RunnableConfig) -> CheckpointSlot:
    slot = config["configurable"][SLOT]
    if not isinstance(slot, CheckpointSlot):
        raise TypeError("the run's config carries no checkpoint slot")
    return slot


def _named(config: RunnableConfig, checkpoint_id: str) -> RunnableConfig:
    configurable = config["configurable"]
    return {
        "configurable": {
            "thread_id": configurable["thread_id"],
            "checkpoint_ns": configurable.get("checkpoint_ns", ""),
            "checkpoint_id": checkpoint_id,
            SLOT: configurable[SLOT],
        }
    }
