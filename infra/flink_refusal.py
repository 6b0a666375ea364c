"""What Flink's REST endpoint said, or did not, as one of our errors."""

from __future__ import annotations

import json
from http import HTTPStatus
from http.client import HTTPException
from urllib.error import HTTPError, URLError

from schemas.errors import ServiceError
from schemas.wording import cause, sentence


class RefusedError(ServiceError):
    """Flink answered, with an error."""

    def __init__(self, message: str, code: int) -> None:
        """Of this HTTP status."""
        super().__init__(message)
        self.code = code


_MEANING: dict[int, str] = {
    HTTPStatus.NOT_FOUND: "it has no such thing, or is not Flink",
    HTTPStatus.UNAUTHORIZED: "it wants credentials, which a proxy before it asks for; TIDEMARK_FLINK must name an endpoint that is open to this machine",
    HTTPStatus.FORBIDDEN: "a proxy before it, or its own settings, forbid that",
    HTTPStatus.SERVICE_UNAVAILABLE: "it is starting, or its JobManager has no leader yet; try again",
    HTTPStatus.BAD_GATEWAY: "the proxy before it does not reach it",
    HTTPStatus.GATEWAY_TIMEOUT: "the proxy before it does not reach it",
}


def refusal(url: str, path: str, fault: OSError | ValueError | HTTPException) -> ServiceError:
    """What to raise when a request has failed.

    Args:
        url: Of the endpoint.
        path: What was asked.
        fault: An answer of HTTP's that is an error, no answer, or one that is no JSON.
    """
    if isinstance(fault, HTTPError):
        meaning = "; ".join(filter(None, (_told(fault), _MEANING.get(fault.code, ""))))
        return RefusedError(f"flink at {url}: refused {path}: HTTP {fault.code}{f': {meaning}' if meaning else ''}", fault.code)
    if isinstance(fault, URLError):
        inner = fault.reason if isinstance(fault.reason, BaseException) else None
        return _unreachable(url, str(fault.reason) if inner is None else cause(inner), busy=isinstance(inner, TimeoutError))
    if isinstance(fault, ValueError):
        return ServiceError(f"flink at {url}: what answers there is not Flink: no JSON to {path}; is TIDEMARK_FLINK right?")
    return _unreachable(url, cause(fault), busy=isinstance(fault, TimeoutError))


def _unreachable(url: str, said: str, *, busy: bool) -> ServiceError:
    if busy:
        return ServiceError(f"flink at {url}: does not answer: {said}; it takes connections, so it is busy or hangs: see its log")
    return ServiceError(f"flink at {url}: does not answer: {said}; is it running? See `tidemark status`, or set TIDEMARK_FLINK")


def _told(fault: HTTPError) -> str:
    """Flink's own reason, which its body has as a list of stack traces."""
    try:
        errors = json.load(fault)["errors"]
        return next((found for text in errors if (found := sentence(str(text)))), "")
    except (OSError, ValueError, KeyError, TypeError, HTTPException):
        return ""
