"""The Open Policy Agent's REST API, as far as it is used. Every call goes through the server's egress client."""

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from ragwork_hooks.errors import ProviderError
from ragwork_hooks.policy import PolicySourceError
from ragwork_hooks.services import Egress, EgressResponse

from ragwork_opa.config import OpaConfig

_MAX_ANSWER_BYTES: Final = 1_048_576
_EVALUATION_FAILED: Final = "eval_"


class EvaluationError(Exception):
    """The policy itself failed: two rules contradict each other, for one."""


class OpaClient:
    """Calls raise ``ProviderError`` POLICY_ENGINE_UNAVAILABLE when the agent doesn't answer as it should."""

    def __init__(self, egress: Egress, config: OpaConfig) -> None:
        self._egress = egress
        self._root = config.url.rstrip("/")
        self._timeout_s = config.timeout_s
        self._headers = {"Content-Type": "application/json"}
        if config.token:
            self._headers["Authorization"] = f"Bearer {config.token}"

    async def put(self, module_id: str, text: str) -> None:
        """Make ``text`` a module, replacing one of the same id. Raises ``PolicySourceError``."""
        answer = await self._call("PUT", f"/v1/policies/{module_id}", text.encode(), "text/plain")
        if answer.status == 400:
            raise _source_error(_body(answer))
        if answer.status != 200:
            raise _unexpected(answer)

    async def delete(self, module_id: str) -> None:
        """Forget a module, if it is there."""
        answer = await self._call("DELETE", f"/v1/policies/{module_id}")
        if answer.status not in (200, 404):
            raise _unexpected(answer)

    async def data(self, path: str, asked: bytes) -> object:
        """The document at ``path``, ``None`` when it is not defined. Raises ``EvaluationError``."""
        answer = await self._call("POST", f"/v1/data/{path}", asked)
        if answer.status == 500 and (failure := _evaluation_failure(_body(answer))):
            raise EvaluationError(failure)
        if answer.status != 200:
            raise _unexpected(answer)
        return _body(answer).get("result")

    async def health(self) -> None:
        """Raises when the agent is not well."""
        answer = await self._call("GET", "/health")
        if answer.status != 200:
            raise _unexpected(answer)

    async def _call(
        self,
        method: Literal["GET", "POST", "PUT", "DELETE"],
        path: str,
        body: bytes | None = None,
        mime: str = "application/json",
    ) -> EgressResponse:
        try:
            return await self._egress.request(
                method,
                self._root + path,
                headers={**self._headers, "Content-Type": mime},
                body=body,
                timeout_s=self._timeout_s,
                max_bytes=_MAX_ANSWER_BYTES,
            )
        except ProviderError as error:
            if error.code == "EGRESS_REFUSED":
                raise unavailable(
                    f"OPA_URL may not be called ({error.message}): add its address to EGRESS_ALLOW_PRIVATE",
                    retryable=False,
                ) from error
            raise unavailable(f"The policy engine is away: {error.message}") from error


def unavailable(message: str, *, retryable: bool = True) -> ProviderError:
    """The one error of this provider."""
    return ProviderError(
        "POLICY_ENGINE_UNAVAILABLE", message, retryable=retryable, retry_after_s=1.0 if retryable else None
    )


def _unexpected(answer: EgressResponse) -> ProviderError:
    if answer.status in (401, 403):
        return unavailable("The policy engine refuses OPA_TOKEN", retryable=False)
    return unavailable(f"The policy engine answered with status {answer.status}")


def _body(answer: EgressResponse) -> Mapping[str, Any]:
    try:
        body = json.loads(answer.body)
    except ValueError as error:
        raise unavailable("The policy engine's answer is no JSON") from error
    if not isinstance(body, dict):
        raise unavailable("The policy engine's answer is no object")
    return body


def _first_error(body: Mapping[str, Any]) -> Mapping[str, Any]:
    errors = body.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else {}
    return first if isinstance(first, dict) else {}


def _source_error(body: Mapping[str, Any]) -> PolicySourceError:
    first = _first_error(body)
    place = first.get("location")
    place = place if isinstance(place, dict) else {}
    message = first.get("message") or body.get("message") or "the policy is not valid"
    return PolicySourceError(str(message)[:500], _number(place.get("row")), _number(place.get("col")))


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _evaluation_failure(body: Mapping[str, Any]) -> str | None:
    """The message of a failure that is the policy's own; a cancelled evaluation is the agent's."""
    first = _first_error(body)
    code = first.get("code")
    if isinstance(code, str) and code.startswith(_EVALUATION_FAILED) and code != "eval_cancel_error":
        return str(first.get("message"))[:500]
    return None
