"""Errors that an API caller sees: HTTP code, CloudStack's cserrorcode, one clear sentence."""

from __future__ import annotations


class ApiError(Exception):
    """A refusal with a code; the text names the parameter and what would be right."""

    code = 530
    cserrorcode = 4250

    def __init__(self, text: str, *, uuids: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(text)
        self.text = text
        self.uuids = uuids  # (uuid, description) of the objects that the text is about


class MalformedParameter(ApiError):
    """A parameter that cannot be read at all."""

    code, cserrorcode = 430, 9999


class InvalidParameter(ApiError):
    """A parameter that is missing, out of range, or names nothing."""

    code, cserrorcode = 431, 4350


class MissingParameter(ApiError):
    """A required parameter that is absent, or a command that needs another one beside it."""

    code, cserrorcode = 431, 9999


class UnknownCommand(ApiError):
    """A command that this server does not have, or that the caller may not call."""

    code, cserrorcode = 432, 9999


class Unauthenticated(ApiError):
    """Credentials that do not prove who calls."""

    code, cserrorcode = 401, 4290


class MethodNotAllowed(ApiError):
    """A command that must be a POST."""

    code, cserrorcode = 405, 9999


class AuthenticationFailed(ApiError):
    """A log-in with a wrong name or password."""

    code, cserrorcode = 531, 4290


class PermissionDenied(ApiError):
    """A caller who may not use the object or the operation."""

    code, cserrorcode = 531, 4365


class AccountLimit(ApiError):
    """A limit of the account."""

    code, cserrorcode = 532, 4280


class InsufficientCapacity(ApiError):
    """No host, storage or address has room."""

    code, cserrorcode = 533, 4335


class InsufficientAddresses(ApiError):
    """A network or range without a free address."""

    code, cserrorcode = 533, 4320


class ResourceUnavailable(ApiError):
    """Something needed that is there but does not answer."""

    code, cserrorcode = 534, 4380


class ResourceAllocation(ApiError):
    """A resource limit that is reached."""

    code, cserrorcode = 535, 4370


class InUse(ApiError):
    """Something that cannot be changed or deleted while others use it."""

    code, cserrorcode = 536, 4375


class RuleConflict(ApiError):
    """A network rule that overlaps with one that is there."""

    code, cserrorcode = 537, 4360


class RateLimited(ApiError):
    """Too many requests."""

    code, cserrorcode = 429, 4545


class ConcurrentChange(ApiError):
    """The object changed meanwhile: its state is no longer the expected one."""

    code, cserrorcode = 530, 4300


class InternalError(ApiError):
    """A fault of the server; the log has the cause under the request's id."""

    code, cserrorcode = 530, 4250


class ServiceUnavailable(ApiError):
    """The server is shutting down or overloaded."""

    code, cserrorcode = 503, 9999
