"""A dry run of the boot tells what would stop it, without a database."""

from pathlib import Path

from ragwork_cli.boot_dry_run import dry_run
from ragwork_kernel.boot import plugin_set as assemblies


async def test_a_gate_order_that_names_no_gate_is_told(tmp_path: Path) -> None:
    settings = {"RAGWORK_PLUGINS": "directory,apikeys,rbac", "RAGWORK_GATE_ORDER": "rbca"}
    async with dry_run(assemblies.read(tmp_path, settings), tmp_path, None) as run:
        [fault] = run.faults
    assert (fault.where, fault.fix) == ("RAGWORK_GATE_ORDER", "did you mean 'rbac'?")
