"""The kernel needs neither a plugin nor the command line."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from ragwork_kernel.data import migrations
from ragwork_testkit.database import PostgresServer

#: Prints the answer to ``/v1/health`` and which packages it took.
BOOT = """
import asyncio, json, sys
from pathlib import Path
import aiohttp
from ragwork_kernel.boot import plugin_set
from ragwork_kernel.boot.boot import boot
from ragwork_kernel.boot.server import listening

async def main():
    here = Path.cwd()
    async with boot(plugin_set.read(here), here / "data") as platform:
        async with listening(platform, "127.0.0.1", 0) as port, aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/v1/health") as response:
                answer = {"status": response.status, "body": await response.json()}
    answer["packages"] = sorted({name.partition(".")[0] for name in sys.modules})
    print(json.dumps(answer))

asyncio.run(main())
"""


async def test_without_a_plugin_and_a_command_line_it_boots_and_answers_health(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    (tmp_path / "ragwork.toml").write_text("[kernel]\nplugins = []\n")
    async with postgres.database([migrations.KERNEL]) as database:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", BOOT],
            env={"PATH": "", "DATABASE_URL": database.admin},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["status"], answer["body"]["data"]["status"]) == (200, "ok")
    ours = {name for name in answer["packages"] if name.startswith("ragwork")}
    # Installed beside it here, and found as the embedded database is: without it shared state is absent.
    assert ours - {"ragwork_memory", "ragwork_toolkit"} == {"ragwork_hooks", "ragwork_kernel"}
    assert not {"click", "tqdm"} & set(answer["packages"])
