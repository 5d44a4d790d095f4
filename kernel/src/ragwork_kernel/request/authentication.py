"""Who is calling: authenticators asked one after another; nobody recognised is nobody."""

import logging
import re
import time
from collections.abc import Mapping

import attrs
from aiohttp import web
from ragwork_hooks.auth import Authenticator, Credential, Principal
from ragwork_hooks.authz import Deny
from ragwork_hooks.errors import Problem, unauthenticated
from ragwork_hooks.http import AnyRoute

from ragwork_kernel.request.proven import Proven
from ragwork_kernel.request.request_context import RequestContext

_BEARER = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +([!-~]+)")

log = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Authenticators:
    """All in the operator's order, and by the prefix of the credentials that a plugin minted its own alone."""

    ordered: tuple[Authenticator, ...]
    of_prefix: Mapping[str, tuple[Authenticator, ...]] = attrs.field(factory=dict)

    def of(self, bearer: str | None) -> tuple[Authenticator, ...]:
        """Who is asked: nobody else is shown a token that says whose it is."""
        known = (self.of_prefix[prefix] for prefix in self.of_prefix if bearer and bearer.startswith(prefix))
        return next(known, self.ordered)


async def authenticate(
    authenticators: Authenticators, context: RequestContext, proven: Proven
) -> Principal | None:
    """The caller; ``None`` on a public route. Raises ``Problem`` 401, or 503 when it can't be decided.

    ``proven`` is told what became of the credential.
    """
    context.decisions.stage = "authentication"
    if context.route.scope == "public":
        return None
    try:
        principal = await _recognised(authenticators, context)
    except Problem as problem:
        if problem.status == 401:
            proven.forget(context.request)
        raise
    proven.note(context.request)
    return principal


async def _recognised(authenticators: Authenticators, context: RequestContext) -> Principal:
    request, since = context.request, time.perf_counter()
    bearer = _bearer(request, _key_header(context.route))
    credential = Credential(bearer=bearer, peer=context.peer, headers=request.headers)
    for authenticator in authenticators.of(credential.bearer):
        try:
            principal = await authenticator.authenticate(credential)
        except Problem as problem:
            context.decisions.denied(authenticator.name, since, Deny(problem.code, problem.message))
            raise
        except Exception as error:
            log.exception("authenticator %s failed; denied", authenticator.name)
            raise Problem("AUTH_UNAVAILABLE", "credentials can't be checked right now") from error
        if isinstance(principal, Principal):
            context.decisions.allowed(authenticator.name, since, {})
            return principal
    raise unauthenticated(
        "AUTH_UNAUTHORIZED",
        "send a valid key as `Authorization: Bearer <key>`; `ragwork keys create` makes one",
    )


def _key_header(route: AnyRoute) -> str | None:
    """The header that may carry the credential beside ``Authorization``, where a route declares one."""
    declared = (scheme.fields for scheme in route.security)
    return next((f["name"] for f in declared if (f.get("type"), f.get("in")) == ("apiKey", "header")), None)


def _bearer(request: web.Request, key_header: str | None) -> str | None:
    """The one bearer token, or what the route's own header has; two credentials are as good as none."""
    sent = request.headers.getall("Authorization", [])
    keys = request.headers.getall(key_header, []) if key_header else []
    if keys and not sent:
        return keys[0].strip() if len(keys) == 1 else None
    if len(sent) != 1 or keys:
        return None
    match = _BEARER.fullmatch(sent[0].strip())
    return match[1] if match else None
