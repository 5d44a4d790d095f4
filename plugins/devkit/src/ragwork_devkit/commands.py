"""``ragwork plugin new`` and ``ragwork plugin test``."""

from importlib.util import find_spec
from pathlib import Path

from ragwork_hooks.commands import OfflineCommand, OfflineCommandContext, Option
from ragwork_hooks.errors import ConfigError

from ragwork_devkit import names, scaffold
from ragwork_devkit.examination import TIERS, Examination, judged, shown
from ragwork_devkit.kinds import KINDS


async def _new(context: OfflineCommandContext) -> int:
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


async def _test(context: OfflineCommandContext) -> int:
    folder = _folder(str(context.options["path"]))
    if find_spec("ragwork_testkit") is None:
        raise ConfigError(
            "ragwork plugin test",
            "the contract kits are not installed",
            "`pip install ragwork-testkit`, from the folder of wheels that `make wheels` builds if need be",
        )
    report = await Examination(folder, context.console).report()
    required = context.options.get("require")
    verdict, status = judged(report, None if required is None else str(required))
    context.console.result({**report, "verdict": verdict}, f"{shown(report)}\n{verdict}")
    return status


def _folder(path: str) -> Path:
    folder = Path(path).absolute()
    if not folder.is_dir():
        raise ConfigError(str(folder), "is no folder", "name the folder of the plugin's pyproject.toml")
    return folder


TOOLS = (
    OfflineCommand(
        path=("plugin", "new"),
        help="Write a new plugin that works and is tested, to be changed into yours.",
        run=_new,
        options=(
            Option(name="name", help="the plugin's name", positional=True, required=True),
            Option(name="kind", help="what it adds", required=True, choices=tuple(KINDS)),
            Option(name="into", help="folder to write it into", default="."),
        ),
    ),
    OfflineCommand(
        path=("plugin", "test"),
        help="Check a plugin's package, run its tests, name its tier.",
        run=_test,
        options=(
            Option(name="path", help="folder of its pyproject.toml", positional=True, default="."),
            Option(name="require", help="the tier that suffices; all of them if not given", choices=TIERS),
        ),
    ),
)
