"""Does everything that a token descends from still stand; and who acts, for whom, with it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import attrs
from ragwork_hooks.auth import Directory, Principal, Role, User
from ragwork_hooks.services import Services

from ragwork_agent_identity.agents.agent_store import AgentStore, Snapshot
from ragwork_agent_identity.policies.scope_decisions import Decisions, ScopeRequest
from ragwork_agent_identity.tokens import constraints
from ragwork_agent_identity.tokens.lineage import Lineage, Link
from ragwork_agent_identity.tokens.signing_keys import Keyring
from ragwork_agent_identity.tokens.token_signing import Unverified
from ragwork_agent_identity.tokens.token_store import TokenStore

KIND: Final = "agent"


@attrs.frozen(kw_only=True)
class Stood:
    """Those of a lineage as they are now: ``agents`` in the order of its links, and the person at its end."""

    lineage: Lineage
    agents: tuple[Snapshot, ...]
    person: User | None

    def end(self, own: int) -> datetime:
        """When it ends that says ``own``, in seconds since 1970: earlier if a secret ends that it stands on."""
        ends = [datetime.fromtimestamp(own, UTC)]
        for agent, link in zip(self.agents, self.lineage.links, strict=True):
            until = None if link.credential is None else agent.credentials[link.credential]
            ends += [] if until is None else [until]
        return min(ends)

    def principal(self, scopes: frozenset[str], role: Role, end: datetime) -> Principal:
        """The agent that acts, for every other of the chain and the person: what any may not, nobody may."""
        who = None if self.person is None else _person(self.person, self.lineage.delegation_id or "")
        first, *others = self.lineage.acting()
        for link in reversed(others):
            who = self._agent(link, scopes, role, who)
        return attrs.evolve(
            self._agent(first, scopes, role, who),
            credential_id=self.lineage.links[0].jti,
            stands_on=self.lineage.ids,
            expires_at=end,
            actor_id=first.agent,
        )

    def _agent(self, link: Link, scopes: frozenset[str], role: Role, whom: Principal | None) -> Principal:
        return Principal(
            tenant_id=self.lineage.tenant_id,
            user_id=link.agent,
            credential_id=link.jti,
            kind=KIND,
            role=role,
            scopes=scopes,
            on_behalf_of=whom,
        )


class Standing:
    """The one judgement over whatever is derived: access tokens, the SDK's, and what is exchanged for them.

    Warm, and unless an agent changed since it was decided on, it asks nobody.
    """

    def __init__(
        self,
        services: Services,
        *,
        agents: AgentStore,
        keys: Keyring,
        tokens: TokenStore,
        decisions: Decisions,
        directory: Directory,
    ) -> None:
        self._clock = services.clock
        self._agents = agents
        self._keys = keys
        self._tokens = tokens
        self._decisions = decisions
        self._directory = directory

    async def check(self, lineage: Lineage, peer: str | None = None) -> Stood:
        """Everybody as they are now. Raises ``Unverified`` naming what has ended.

        ``peer`` is where a policy that has to decide again is told that the call comes from.
        """
        if await self._keys.public_key(lineage.tenant_id, lineage.kid) is None:
            raise Unverified("its key is not one of the tenant's")
        revoked = await self._tokens.revoked(lineage.tenant_id)
        if any(link.jti in revoked for link in lineage.links):
            raise Unverified("it was revoked")
        agents = [await self._stands(lineage, position, peer) for position in range(len(lineage.links))]
        person = None
        if lineage.person is not None:
            person = await self._directory.current(lineage.tenant_id, lineage.person)
            if person is None or not person.active:
                raise Unverified("the person it acts for is not active")
        return Stood(lineage=lineage, agents=tuple(agents), person=person)

    def allow(self, stood: Stood, own: Mapping[str, object]) -> None:
        """Hold the token's ``own`` constraints, and those its agents have today. Raises ``Unverified``."""
        scopes, context = stood.lineage.scopes, {"task_id": stood.lineage.task_id}
        for held in (own, *(agent.constraints for agent in stood.agents)):
            reason = constraints.evaluate(scopes[0], scopes, held, context, self._clock.now())
            if reason != constraints.ALLOWED:
                raise Unverified(f"its constraints do not allow it now ({reason})")

    async def _stands(self, lineage: Lineage, position: int, peer: str | None) -> Snapshot:
        link = lineage.links[position]
        agent = await self._agents.snapshot(lineage.tenant_id, link.agent)
        if agent is None or agent.status != "active":
            raise Unverified("its agent is not active")
        if link.credential is not None and not agent.holds(link.credential, self._clock.now()):
            raise Unverified("the credential that it was issued for has ended")
        if agent.revision != link.revision:
            request = ScopeRequest(
                scopes=lineage.scopes,
                audience=lineage.audience,
                on_behalf_of=lineage.behalf(position),
                context={"ip": peer, "task_id": lineage.task_id, "grant_type": lineage.grant},
            )
            if (await self._decisions.rule(agent, request)).denied:
                raise Unverified("no active policy of its agent allows it any more")
        return agent


def _person(user: User, credential_id: str) -> Principal:
    return Principal(
        tenant_id=user.tenant_id,
        user_id=user.id,
        credential_id=credential_id,
        kind="delegation",
        role=user.role,
        groups=user.groups,
    )
