"""How the pieces of agent identity are put together."""

from ragwork_hooks.audit import AuditLog
from ragwork_hooks.auth import Directory
from ragwork_hooks.errors import ConfigError, NotConfigured
from ragwork_hooks.jobs import Schedule
from ragwork_hooks.plugin import Contribution, PluginContext
from ragwork_hooks.services import Services
from ragwork_toolkit.tenants import for_each_tenant

from ragwork_agent_identity.agents.agent_routes import AgentsApi
from ragwork_agent_identity.agents.agent_store import AgentStore
from ragwork_agent_identity.agents.credentials import CredentialStore
from ragwork_agent_identity.agents.roster import AgentRoster
from ragwork_agent_identity.areas import AREAS
from ragwork_agent_identity.authenticator import AgentAuthenticator
from ragwork_agent_identity.config import AgentsConfig
from ragwork_agent_identity.encryption import SecretBox
from ragwork_agent_identity.oauth.client_authentication import ClientAuthenticator
from ragwork_agent_identity.oauth.delegation_store import Delegations
from ragwork_agent_identity.oauth.dpop import Proofs
from ragwork_agent_identity.oauth.grants import Grants
from ragwork_agent_identity.oauth.introspection import Introspection
from ragwork_agent_identity.oauth.oculus_oauth_routes import OculusOAuth
from ragwork_agent_identity.oauth.rfc_oauth_routes import StrictOAuth
from ragwork_agent_identity.policies.policy_engine_client import PolicyEngineClient
from ragwork_agent_identity.policies.policy_routes import PoliciesApi
from ragwork_agent_identity.policies.policy_store import PolicyStore
from ragwork_agent_identity.policies.scope_decisions import Decisions
from ragwork_agent_identity.sdk.integration_store import Integrations
from ragwork_agent_identity.sdk.sync_routes import SyncApi
from ragwork_agent_identity.tokens import opaque_tokens
from ragwork_agent_identity.tokens.opaque_tokens import Mint
from ragwork_agent_identity.tokens.signing_keys import Keyring
from ragwork_agent_identity.tokens.token_issuer import TokenIssuer
from ragwork_agent_identity.tokens.token_routes import TokensApi
from ragwork_agent_identity.tokens.token_store import TokenStore
from ragwork_agent_identity.tokens.token_validity import Standing
from ragwork_agent_identity.tokens.token_verifier import AccessTokenVerifier, IssuerUrl

PEPPER = "AGENT_TOKEN_PEPPER"
KEY_ENCRYPTION = "AGENT_KEY_ENCRYPTION_KEY"


def contribution(context: PluginContext[AgentsConfig]) -> Contribution:
    """Everything the plugin adds. Raises ``NotConfigured`` while production does not say who issues."""
    services, config = context.services, context.config
    if services.profile == "production":
        if config.issuer is None:
            raise NotConfigured("set OAUTH_ISSUER to the public base URL")
        if not config.issuer.startswith("https://"):
            raise ConfigError("OAUTH_ISSUER", "is not https", "write it like https://api.example.com")
    directory, log = services.use(Directory), services.use_optional(AuditLog)
    mint, secret_box = Mint(services.secrets.key(PEPPER)), SecretBox(services.secrets.key(KEY_ENCRYPTION))
    engine = PolicyEngineClient(services, config.policy_engine)
    agents, tokens = AgentStore(services, mint), TokenStore(services)
    keys = _keyring(services, secret_box, config)
    credentials = CredentialStore(services, agents, mint, config.max_api_keys)
    decisions = Decisions(services, engine, config.decision_cache_s)
    issuer = IssuerUrl(config.issuer)
    standing = Standing(
        services, agents=agents, keys=keys, tokens=tokens, decisions=decisions, directory=directory
    )
    verifier = AccessTokenVerifier(services, keys, standing, issuer.configured)
    delegations = Delegations(services, keys, tokens, directory)
    introspection = Introspection(services, verifier, tokens, agents, mint)
    clients = ClientAuthenticator(services, agents, mint)
    grants = Grants(
        services,
        tokens=tokens,
        issuer=TokenIssuer(
            services,
            agents=agents,
            decisions=decisions,
            keys=keys,
            tokens=tokens,
            mint=mint,
            log=log,
            refresh_ttl_s=config.refresh_ttl_s,
        ),
        verifier=verifier,
        decisions=decisions,
        directory=directory,
        mint=mint,
        log=log,
        max_depth=config.max_delegation_depth,
    )
    oculus = OculusOAuth(
        services=services,
        issuer=issuer,
        clients=clients,
        grants=grants,
        verifier=verifier,
        introspection=introspection,
        agents=agents,
        credentials=credentials,
        tokens=tokens,
        keys=keys,
        log=log,
    )
    strict = StrictOAuth(
        services=services,
        issuer=issuer,
        clients=clients,
        grants=grants,
        introspection=introspection,
        proofs=Proofs(services, mint),
        log=log,
    )
    apis = (
        oculus,
        strict,
        AgentsApi(services, config, agents=agents, credentials=credentials, tokens=tokens),
        PoliciesApi(services, PolicyStore(agents, engine), agents, engine),
        TokensApi(
            services,
            tokens=tokens,
            agents=agents,
            keys=keys,
            delegations=delegations,
            issuer=issuer,
        ),
        SyncApi(Integrations(secret_box), log),
    )
    authenticator = AgentAuthenticator(
        services,
        verifier=verifier,
        standing=standing,
        agents=agents,
        credentials=credentials,
        decisions=decisions,
        mint=mint,
    )

    async def sweep() -> None:
        (await for_each_tenant(services.db, await directory.tenants(), credentials.sweep)).complete()

    return Contribution(
        areas=AREAS,
        routes=tuple(route for api in apis for route in api.routes()),
        authenticators=(authenticator,),
        credential_formats=opaque_tokens.FORMATS,
        rosters=(AgentRoster(),),
        schedules=(Schedule(name="agents.credential_expiry", cron="17 * * * *", run=sweep),),
        ended=delegations.ended,
    )


def _keyring(services: Services, secret_box: SecretBox, config: AgentsConfig) -> Keyring:
    try:
        return Keyring(services, secret_box, config.signing_key_pem)
    except ValueError as error:
        raise ConfigError(
            "OAUTH_SIGNING_KEY_PEM", str(error), "give the PEM of an RSA private key"
        ) from error
