"""Areas of agent identity."""

from typing import Final

from ragwork_hooks.http import Area

AREAS: Final = (
    Area(
        name="agents",
        about="Programs with an identity of their own: their credentials, scopes and state. "
        "Answers of this and the next areas are bare, their errors `{error: {code, message, request_id}}`.",
        rank=54,
        path={"agent_id": "The agent's id.", "key_id": "The key's id, not its secret."},
    ),
    Area(
        name="policies",
        about="Rego policies over what agents may do.",
        rank=55,
        path={"policy_id": "The policy's id.", "version": "A version's number, from 1."},
    ),
    Area(
        name="tokens",
        about="Access tokens that agents were given.",
        rank=56,
        path={"jti": "The token's claim `jti`."},
    ),
    Area(
        name="delegations",
        about="Persons who let an agent act for them.",
        rank=57,
        path={"delegation_id": "The delegation's id."},
    ),
    Area(
        name="integrations",
        about="Services that agents call, with what they may do there.",
        rank=58,
        path={"name": "The service's name."},
    ),
    Area(
        name="signing_keys",
        about="Keys that access tokens are signed with.",
        rank=59,
        path={"kid": "The key's `kid`."},
    ),
    Area(
        name="oauth",
        about="How an agent gets and shows its tokens, as the SDKs ask for them.",
        rank=80,
    ),
    Area(
        name="oauth2",
        about="The same by the letter of RFC 6749, 7009, 7662 and 8414.",
        rank=81,
    ),
    Area(
        name="sync",
        about="What an agent's SDK fetches and reports.",
        rank=83,
    ),
)
