"""Importing a plugin must not import what only its work needs."""

import subprocess
import sys
from importlib.metadata import entry_points

import pytest

PLUGINS = sorted(entry_points(group="ragwork.plugins").names)
HEAVY = (
    "langgraph",
    "langchain_core",
    "onnxruntime",
    "tokenizers",
    "numpy",
    "openai",
    "anthropic",
    "wordllama",
    "safetensors",
    "boto3",
    "snowballstemmer",
    "aiohttp",
    "asyncpg",
    "pydantic",
    "pgvector",
)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_importing_a_plugin_is_light(plugin: str) -> None:
    code = (
        "import sys\nfrom importlib.metadata import entry_points\n"
        f"plugin = entry_points(group='ragwork.plugins')['{plugin}'].load()\n"
        "plugin.ragwork_info()\n"
        f"print(*[m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_kernel_starts_without_a_vendor_sdk() -> None:
    code = f"import sys, ragwork_cli.command_line\nprint(*[m for m in {HEAVY[:9]!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_command_tree_is_built_without_a_server() -> None:
    code = (
        "import sys\nfrom ragwork_cli.command_line import command_line\n"
        "assert 'keys' in command_line().commands\n"
        "print(*[m for m in ('aiohttp', 'ragwork_kernel.boot.boot') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
