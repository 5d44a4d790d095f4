"""What is said of a failure: a code, words and a status to clients, the cause to the operator."""

import logging
from typing import Final, Literal, NamedTuple

import asyncpg
from ragwork_hooks.errors import Problem, ProviderError, unavailable
from ragwork_hooks.jobs import PermanentFailure

#: What users are told of a failure that nobody foresaw.
UNEXPECTED: Final = "unexpected failure; the operator's log has the cause"
_MARK: Final = "unexpected failure: "
_UNFORESEEN: Final = {"request": "INTERNAL_ERROR", "stream": "UNKNOWN_ERROR"}

#: The server, not the statement, is the trouble.
DATABASE_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InternalClientError,  # the connection broke between two of its own states
)
#: The same while connecting and of a connection that turns out closed; otherwise the statement's own trouble.
CONNECTION_FAILED: Final = (OSError, TimeoutError, asyncpg.InterfaceError)
#: What passes by itself, for who has nothing but time: the server away, full, or told to cancel.
DATABASE_TROUBLE: Final = (
    *DATABASE_AWAY,
    *CONNECTION_FAILED,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)

log = logging.getLogger(__name__)


class ErrorAnswer(NamedTuple):
    """What a client hears of a failure; ``status`` has no place in a stream."""

    code: str
    message: str
    status: int


def classify(error: BaseException, of: Literal["request", "stream"] = "request") -> ErrorAnswer:
    """The answer to ``error``; the cause of what nobody foresaw goes to the log only."""
    if isinstance(error, Problem):
        return ErrorAnswer(error.code, error.message, error.status)
    if isinstance(error, ProviderError):
        return ErrorAnswer(error.code, error.message, 503)
    if of == "stream" and isinstance(error, TimeoutError):
        return ErrorAnswer("INTEGRATION_UNAVAILABLE", "the run took longer than this server allows", 503)
    log.error("a %s failed", of, exc_info=error)
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return ErrorAnswer("DB_ERROR", "the database refused; the operator's log has the cause", 500)
    return ErrorAnswer(_UNFORESEEN[of], UNEXPECTED, 500)


def database_unavailable() -> Problem:
    """The answer while the database does not answer."""
    return unavailable("the database does not answer; try again shortly")


def cause(error: BaseException) -> str:
    """The failure in words, for the operator."""
    if isinstance(error, Problem | ProviderError | PermanentFailure) and str(error):
        return str(error)
    return f"{_MARK}{type(error).__name__}: {error}"


def told(cause: str) -> str:
    """The same for users: an exception that nobody turned into a sentence is not shown to them."""
    return UNEXPECTED if cause.startswith(_MARK) else cause
