"""``ragwork plugin new`` and ``ragwork plugin test``."""

import asyncio
import json
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ragwork_hooks.errors import ConfigError
from ragwork_hooks.plugin import Option, Tool, ToolContext

from ragwork_devkit import names, scaffold
from ragwork_devkit.kinds import KINDS


async def _new(context: ToolContext) -> int:
    options = context.options
    name = names.check(str(options["name"]))
    folder = Path(str(options["into"])) / names.distribution(name)
    planned = scaffold.plan(KINDS[str(options["kind"])], name)
    scaffold.write(folder, planned)
    paths = sorted(str(path) for path in planned)
    text = "\n".join(
        (
            f"wrote {folder}",
            *(f"  {path}" for path in paths),
            f"next: cd {folder} && ragwork plugin test",
        )
    )
    context.console.result({"folder": str(folder), "files": paths}, text)
    return 0


async def _test(context: ToolContext) -> int:
    folder = _folder(str(context.options["path"]))
    if find_spec("ragwork_testkit") is None:
        raise ConfigError(
            "ragwork plugin test", "the contract kits are not installed", "install ragwork-testkit"
        )
    report = await _examined(folder)
    context.console.result(report, _shown(report))
    return 0 if report["tier"] else 1


def _folder(path: str) -> Path:
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise ConfigError(str(folder), "is no folder", "name the folder of the plugin's pyproject.toml")
    return folder


async def _examined(folder: Path) -> dict[str, Any]:
    """The kit's report, from an interpreter of its own: a plugin's tests may do anything to theirs."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ragwork_testkit.tier",
        str(folder),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, errors = await process.communicate()
    try:
        report: dict[str, Any] = json.loads(out)
    except ValueError:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no output"]
        raise ConfigError(
            str(folder), f"could not be examined: {last[0]}", "run pytest in it to see more"
        ) from None
    return report


def _shown(report: Mapping[str, Any]) -> str:
    lines = []
    for finding in report["findings"]:
        mark = "FAIL" if finding["problems"] else "ok  "
        lines.append(f"{mark}  {finding['tier']:<6}  {finding['check']}")
        lines += [f"        {problem}" for problem in finding["problems"]]
    return "\n".join([*lines, f"tier: {report['tier'] or 'none'}"])


TOOLS = (
    Tool(
        path=("plugin", "new"),
        help="Write a new plugin that works and is tested, to be changed into yours.",
        run=_new,
        options=(
            Option(name="name", help="the plugin's name", positional=True, required=True),
            Option(name="kind", help="what it adds", required=True, choices=tuple(KINDS)),
            Option(name="into", help="folder to write it into", default="."),
        ),
    ),
    Tool(
        path=("plugin", "test"),
        help="Check a plugin's package, run its tests, name its tier.",
        run=_test,
        options=(Option(name="path", help="folder of its pyproject.toml", positional=True, default="."),),
    ),
)
