"""The refusals of single sign-on, each with its wire code."""

from ragwork_hooks.errors import Problem, unauthenticated


def disabled() -> Problem:
    return Problem("IDENTITY_FEATURE_DISABLED", "single sign-on is switched off here", status=403)


def not_enabled(feature: str) -> Problem:
    """The tenant's plan lacks ``feature``."""
    key = f"feature.{feature}"
    return Problem(
        "FEATURE_NOT_ENABLED",
        f"Feature not enabled for the tenant's plan: {key}",
        details={"feature_key": key},
    )


def no_provider(provider_id: str) -> Problem:
    """One answer for a provider that does not exist or is switched off."""
    return Problem("SSO_PROVIDER_NOT_FOUND", f"provider {provider_id!r} does not exist", status=404)


def bad_state() -> Problem:
    return Problem(
        "SSO_INVALID_STATE",
        "this login was not started in this browser, has expired, or is over; start again",
        status=400,
    )


def bad_token(reason: str) -> Problem:
    """What the provider says about the person can't be believed."""
    return unauthenticated("SSO_ID_TOKEN_INVALID", f"the provider's answer is not valid: {reason}")


def exchange_failed(reason: str) -> Problem:
    return Problem("SSO_TOKEN_EXCHANGE_FAILED", f"the provider could not be asked: {reason}", status=502)


def no_account() -> Problem:
    return Problem(
        "SSO_JIT_DISABLED", "you have no account here, and the provider does not make one", status=403
    )


def invalid(field: str, reason: str) -> Problem:
    """A field of an admin's request that can't be taken."""
    return Problem("VALIDATION_ERROR", f"{field}: {reason}", details={"field": field})
