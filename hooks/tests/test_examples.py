"""The plugins in the docstrings of the hooks are plugins."""

import inspect
import textwrap
from typing import Any

import pluggy
import pytest
from ragwork_hooks.authz import Action
from ragwork_hooks.commands import Command
from ragwork_hooks.plugin import PROJECT, Contribution, PluginInfo, PluginSpec

HOOKS = ["ragwork_info", "ragwork_contribute", "ragwork_commands"]


def registered(hook: str) -> Any:
    """The plugin in the docstring of ``hook``, behind pluggy."""
    _, code = (inspect.getdoc(getattr(PluginSpec, hook)) or "").split("::\n", 1)
    names: dict[str, Any] = {}
    exec(textwrap.dedent(code), names)
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(PluginSpec)
    manager.register(names["plugin"])
    manager.check_pending()
    return manager.hook


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_shows_a_plugin_that_says_who_it_is(hook: str) -> None:
    (info,) = registered(hook).ragwork_info()
    assert isinstance(info, PluginInfo)
    assert info.summary


async def test_the_shown_gate_refuses_what_it_says_and_nothing_else() -> None:
    (contribution,) = registered("ragwork_contribute").ragwork_contribute(context=None)
    assert isinstance(contribution, Contribution)
    (gate,) = contribution.gates
    said = [
        await gate.decide(None, Action(name=name), None, None) for name in ("audit.export", "document.read")
    ]  # type: ignore[arg-type]
    assert [type(verdict).__name__ for verdict in said] == ["Deny", "Abstain"]


def test_the_shown_command_can_be_typed() -> None:
    ((command,),) = registered("ragwork_commands").ragwork_commands()
    assert isinstance(command, Command)
    assert command.path == ("greet",)
