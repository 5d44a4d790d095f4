"""Settings of rollouts: what holds until an operator has set something else."""

from collections.abc import Mapping

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class RolloutsConfig:
    """``KILL_…`` and ``ROLLOUT_…``: the defaults of switches and canaries."""

    kill_run: bool = setting("KILL_RUN", False, "stop runs")
    kill_ingest: bool = setting("KILL_INGEST", False, "stop taking in documents")
    kill_tts: bool = setting("KILL_TTS", False, "stop speech output")
    kill_external_retrieval: bool = setting(
        "KILL_EXTERNAL_RETRIEVAL", False, "stop every retrieval provider but local_pgvector"
    )
    kill_notifications: bool = setting(
        "KILL_NOTIFICATIONS", False, "stop notifications; this release has none"
    )
    tts_pct: int = setting(
        "ROLLOUT_TTS_PCT", 100, "percentage of tenants that have speech output", ge=0, le=100
    )
    external_retrieval_pct: int = setting(
        "ROLLOUT_EXTERNAL_RETRIEVAL_PCT",
        100,
        "percentage of tenants that have retrieval providers other than local_pgvector",
        ge=0,
        le=100,
    )

    @property
    def switches(self) -> Mapping[str, bool]:
        """Every kill switch's default by its name on the wire."""
        return {
            "kill.run": self.kill_run,
            "kill.ingest": self.kill_ingest,
            "kill.tts": self.kill_tts,
            "kill.external_retrieval": self.kill_external_retrieval,
            "kill.notifications": self.kill_notifications,
        }

    @property
    def canaries(self) -> Mapping[str, int]:
        """Every canary's default percentage by its name on the wire."""
        return {
            "rollout.tts": self.tts_pct,
            "rollout.external_retrieval": self.external_retrieval_pct,
        }
