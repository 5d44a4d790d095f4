"""Each route stands in the sources once, under its name: a literal ``Route``, or a factory of the toolkit. A factory of
a plugin's own would hide who may do what.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import ALL_PLUGINS, running
from ragwork_toolkit import routes as factories

ROOT = Path(__file__).parents[2]
SOURCES = [
    path
    for folder in ("plugins/*/src", "contrib/*/src")
    for root in ROOT.glob(folder)
    for path in root.rglob("*.py")
]
FACTORIES = {name for name in vars(factories) if name.endswith("_route")}
#: What no factory has is said by every literal ``Route``.
DECISIONS = {
    "scope",
    "action",
    "rate_class",
    "idempotency",
    "audit_event",
    "feature",
    "transaction",
    "stale_reads",
}


def declarations(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        called = (
            node.func.attr if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
        )
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = node.func.id
        if isinstance(node, ast.Call) and (called == "Route" or called in FACTORIES):
            yield node


def fault(call: ast.Call) -> str | None:
    """What a declaration hides."""
    said = {keyword.arg: keyword.value for keyword in call.keywords}
    name = said.get("name")
    if not isinstance(name, ast.Constant):
        return "its name is made of something: who looks for a route must find it"
    if call.args or None in said:
        return "it takes fields from elsewhere: say each as keyword"
    if ast.unparse(call.func) == "Route" and not set(said) >= DECISIONS:
        return f"it does not say {sorted(DECISIONS - set(said))}"
    return None


async def test_every_route_of_a_plugin_stands_in_the_sources_under_its_name(postgres: PostgresServer) -> None:
    named = {
        keyword.value.value
        for path in SOURCES
        for call in declarations(path)
        for keyword in call.keywords
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant)
    }
    async with running(postgres, plugins=ALL_PLUGINS) as app:
        routes = app.platform.routes
        served = {
            r.name for r in routes if not getattr(r.handler, "__module__", "").startswith("ragwork_kernel")
        }
    assert len(served) > 150
    assert served <= named


def test_no_declaration_takes_its_fields_from_elsewhere() -> None:
    faults = [
        f"{path.relative_to(ROOT)}:{call.lineno}: {fault(call)}"
        for path in SOURCES
        for call in declarations(path)
        if fault(call)
    ]
    assert not faults


def test_no_declared_route_is_changed_afterwards() -> None:
    """``attrs.evolve`` of a declaration would say one thing and do another."""
    changed = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        if any(True for _ in declarations(path))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "attrs.evolve"
        and {keyword.arg for keyword in node.keywords} & (DECISIONS - {"action"})
    ]
    assert not changed


def test_a_factory_of_a_plugins_own_would_be_found(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "def own(name, **said):\n    return read_route(name=name, **said)\n"
        'a = Route(name="a.b", scope="tenant")\nb = routes.read_route(name="a.c", **common)\n'
        'c = write_route(name="a.d", action=A)\n'
    )
    found = [fault(call) for call in declarations(path)]
    assert len(found) == 4
    assert [each for each in found if each is None] == [None]
