"""A server that speaks the policy, data and health calls of the Open Policy Agent's REST API.

Policies are compiled and evaluated together, as one tree: by the agent's own engine where the package
``opa_bindings`` can be imported (it declares Python 3.14, and works with 3.11), else by ``regorus``. Its HTTP
layer is ours: a proof made with it is a wire emulation.
"""

import asyncio
import importlib.util
import json
import re
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any, Final, Literal, Protocol, TypeAlias

from aiohttp import web

from ragwork_testkit.local_server import served

How: TypeAlias = Literal["well", "stall", "garbage", "unauthorized", "failing", "forgetful", "wrong revision"]

_PLACE: Final = re.compile(r":(\d+)(?::(\d+))?[:\n]")
_CODE: Final = re.compile(r"(rego_\w+_error|eval_(?:\w+_)?error): ")


class CompileError(Exception):
    """The modules don't compile together."""


class EvaluateError(Exception):
    """A rule failed while it was evaluated."""


class Judge(Protocol):
    """A set of modules, compiled."""

    def evaluate(self, path: str, question: object) -> tuple[bool, object]:
        """Whether the document is defined, and its value. Raises ``EvaluateError``."""


class RealJudge:
    """The agent's own engine."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        from opa_bindings import OpaEngine, OpaError  # type: ignore[import-not-found]

        self._engine, self._error = OpaEngine(), OpaError
        try:
            for name, text in modules.items():
                self._engine.add_policy(name, text)
            self._engine.eval_query("true")
        except OpaError as error:
            raise CompileError(error.message) from error

    def evaluate(self, path: str, question: object) -> tuple[bool, object]:
        try:
            return True, self._engine.eval_document(path, question)
        except self._error as error:
            if error.code == "undefined":
                return False, None
            raise EvaluateError(error.message) from error


class RegorusJudge:
    """A stand-in. Belongs to the thread that made it."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        import regorus  # type: ignore[import-untyped]  # it ships no types

        self._engine = regorus.Engine()
        try:
            for name, text in modules.items():
                self._engine.add_policy(name, text)
            self._engine.set_input({})
            for package in self._engine.get_packages()[-1:]:
                self._engine.eval_query(package)  # compiles it, which happens at the first question only
        except RuntimeError as error:
            raise CompileError(_as_the_agent_says(error)) from error

    def evaluate(self, path: str, question: object) -> tuple[bool, object]:
        try:
            self._engine.set_input(question)
            value = self._engine.eval_rule(f"data.{path}")
        except RuntimeError as error:
            if "not a valid rule path" in str(error):
                return False, None
            raise EvaluateError(_as_the_agent_says(error)) from error
        except ValueError as error:
            raise EvaluateError(f"eval_builtin_error: {error}") from error
        return value is not None, json.loads(json.dumps(value, default=list))


class PolicyThread:
    """The judge in office, on a thread of its own: an engine may belong to the thread that made it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="opa-server")
        self._judge: Judge | None = None

    async def appoint(self, modules: Mapping[str, str]) -> None:
        """Replace the judge; it stays when the modules don't compile, which raises ``CompileError``."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._appoint, modules)

    async def evaluate(self, path: str, question: object) -> tuple[bool, object]:
        """See ``Judge.evaluate``."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._evaluate, path, question)

    def close(self) -> None:
        """End the thread, and the judge on it."""
        self._thread.submit(self._dismiss)
        self._thread.shutdown()

    def _appoint(self, modules: Mapping[str, str]) -> None:
        self._judge = RealJudge(modules) if is_real_engine() else RegorusJudge(modules)

    def _evaluate(self, path: str, question: object) -> tuple[bool, object]:
        return (False, None) if self._judge is None else self._judge.evaluate(path, question)

    def _dismiss(self) -> None:
        self._judge = None


class OpaServer:
    """What the agent knows, and how it behaves. ``calls`` are the methods and paths asked for."""

    def __init__(self, token: str | None) -> None:
        self.url = ""
        self.how: How = "well"
        self.calls: list[str] = []
        self.modules: dict[str, str] = {}
        self._token = token
        self._bench = PolicyThread()
        self._change = asyncio.Lock()

    async def restart_empty(self) -> None:
        """Forget everything, as the agent does when it restarts."""
        self.modules = {}
        await self._bench.appoint({})

    def application(self) -> web.Application:
        app = web.Application(middlewares=[self._behave], client_max_size=10_485_760)
        app.router.add_put("/v1/policies/{id:.+}", self._put)
        app.router.add_delete("/v1/policies/{id:.+}", self._delete)
        app.router.add_post("/v1/data/{path:.+}", self._data)
        app.router.add_get("/health", self._health)
        return app

    @web.middleware
    async def _behave(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.raw_path}")
        match self.how:
            case "stall":
                await asyncio.Event().wait()
            case "garbage":
                return web.Response(body=b"<html>", content_type="text/html")
            case "failing":
                return web.json_response({"code": "internal_error", "message": "as told"}, status=500)
        expected = f"Bearer {self._token}" if self._token else None
        if self.how == "unauthorized" or (expected and request.headers.get("Authorization") != expected):
            return web.json_response({"code": "unauthorized", "message": "request rejected"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        async with self._change:
            changed = {**self.modules, name: await request.text()}
            try:
                await self._bench.appoint({} if self.how == "forgetful" else changed)
            except CompileError as error:
                return web.json_response(_refusal(str(error)), status=400)
            self.modules = changed
        return web.json_response({})

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["id"]
        async with self._change:
            if name not in self.modules:
                return web.json_response({"code": "resource_not_found"}, status=404)
            self.modules = {each: text for each, text in self.modules.items() if each != name}
            await self._bench.appoint(self.modules)
        return web.json_response({})

    async def _data(self, request: web.Request) -> web.Response:
        question = (await request.json()).get("input")
        path = request.match_info["path"].replace("/", ".")
        try:
            is_defined, value = await self._bench.evaluate(path, question)
        except EvaluateError as error:
            return web.json_response(_failure(str(error)), status=500)
        if self.how == "wrong revision" and isinstance(value, dict):
            value = {**value, "revision": value["revision"] - 1}
        return web.json_response({"result": value} if is_defined else {})

    async def _health(self, _request: web.Request) -> web.Response:
        return web.json_response({})


@asynccontextmanager
async def serving(token: str | None = None) -> AsyncIterator[OpaServer]:
    """A server on a free port of the loopback interface, which wants ``token``."""
    server = OpaServer(token)
    try:
        async with served(server.application()) as address:
            server.url = address
            yield server
    finally:
        server._bench.close()


def is_real_engine() -> bool:
    """Whether the agent's own engine evaluates."""
    return importlib.util.find_spec("opa_bindings") is not None


def _as_the_agent_says(error: RuntimeError) -> str:
    """The stand-in's error in the form of the agent's."""
    text = str(error)
    place, message = _PLACE.search(text), re.search(r"error: ([^\n]+)", text)
    at = f":{place[1]}:{place[2]}: " if place else ""
    return f"{at}eval_error: {message[1] if message else text}"


def _refusal(text: str) -> dict[str, object]:
    place, code = _PLACE.search(text), _CODE.search(text)
    shown = re.search(r"\n\t[^\n]*\n\t( *)\^", text)
    column = int(place[2]) if place and place[2] else (len(shown[1]) + 1 if shown else 1)
    error = {
        "code": code[1] if code else "rego_compile_error",
        "message": text[code.end() :].partition("\n")[0] if code else text,
        "location": {"file": "", "row": int(place[1]) if place else 1, "col": column},
    }
    message = "error(s) occurred while compiling module(s)"
    return {"code": "invalid_parameter", "message": message, "errors": [error]}


def _failure(text: str) -> dict[str, object]:
    code = _CODE.search(text)
    error = {"code": code[1] if code else "eval_internal_error", "message": text}
    return {
        "code": "internal_error",
        "message": "error(s) occurred while evaluating query",
        "errors": [error],
    }
