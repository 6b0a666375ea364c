"""A reader of any Confluent-compatible schema registry: schema id → the writer's schema with all that it refers to, each fetched once."""

from __future__ import annotations

import base64
import http.client
import json
import time
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urlsplit
from urllib.request import Request, urlopen

from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from schemas.avro_columns import Writer
from schemas.errors import ServiceError, SettingError
from schemas.masking import FILE, masked, revealed
from schemas.wording import cause

_MOST_UNKNOWN = 10_000
_MEANING = {
    401: "set user and password in TIDEMARK_REGISTRY: https://user:password@host:port",
    403: "it forbids this user of TIDEMARK_REGISTRY to read schemas",
    404: "what answers there is no schema registry; check the path of TIDEMARK_REGISTRY",
    409: "it refuses that of the schemas that it has; see its compatibility settings",
    429: "it is asked too often; see its limits",
}
_MOST_REFERENCES = 1_000
_READ = {"PROTOBUF": "Protobuf", "AVRO": "Avro", "JSON": "JSON Schema"}


class UnknownSchema(Exception):
    """The registry answers, but has no such schema that can be read."""


class Registry:
    """Fetches writer schemas by id.

    A known id is kept for ever (ids never change their meaning), an unknown one is asked again after `retry_unknown_s`.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, attempts: int = 3, retry_unknown_s: float = 30.0) -> None:
        """Take the address; nothing is asked yet.

        Args:
            url: http(s)://[user:password@]host:port[/path]; or `file:` and the path of a file that holds it, and is read again for each question, so
                that a registry that is pickled takes no password along.
            timeout_s: For each attempt.
            attempts: How often a registry that does not answer is asked before giving up.
            retry_unknown_s: How long "no such id" is believed.

        Raises:
            SettingError: Not such a URL.
        """
        self._given = url
        self.url, _ = self._address()
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._retry_unknown_s = retry_unknown_s
        self._known: dict[int, Writer | None] = {}
        self._unknown: dict[int, tuple[float, str]] = {}

    def schema(self, schema_id: int) -> Writer | None:
        """The parsed Avro schema of an id; None where it is a JSON Schema, whose records are JSON.

        Raises:
            UnknownSchema: The registry has no such id, or it is none that can be read.
            ServiceError: The registry does not answer.
        """
        if schema_id in self._known:
            return self._known[schema_id]
        since, reason = self._unknown.get(schema_id, (-self._retry_unknown_s, ""))
        if reason and time.monotonic() - since < self._retry_unknown_s:
            raise UnknownSchema(reason)
        try:
            self._known[schema_id] = self._writer(self._get(f"/schemas/ids/{schema_id}"))
        except UnknownSchema as error:
            if len(self._unknown) >= _MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = (time.monotonic(), str(error))
            raise
        return self._known[schema_id]

    def _address(self) -> tuple[str, dict[str, str]]:
        """The URL without user and password, and the headers of a question."""
        url = revealed(self._given, "TIDEMARK_REGISTRY")
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.path + parts.query + parts.fragment:
            shown = masked(url) if url == self._given else f"what {self._given.removeprefix(FILE)} holds"
            raise SettingError(
                f'registry: "{shown}" is not an address; allowed: http(s)://host:port, with user:password@ before the host, in which / ? # % @ are '
                "%2F %3F %23 %25 %40"
            )
        headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}", headers

    def _writer(self, answer: object) -> Writer | None:
        text, kind = _said(answer)
        if kind == "JSON":
            return None
        if kind != "AVRO":
            raise UnknownSchema(f"it is {_READ.get(kind, kind)}; only Avro and JSON Schema can be read")
        named: dict[str, Any] = {}
        self._learn(answer, named, set())
        return _parsed(text, named)

    def _learn(self, answer: object, named: dict[str, Any], seen: set[tuple[str, int]]) -> None:
        """Parse what a schema refers to, and what that refers to, before itself: name → type."""
        references = answer.get("references") or [] if isinstance(answer, dict) else []
        for reference in references:
            try:
                subject, version = str(reference["subject"]), int(reference["version"])
            except (KeyError, TypeError, ValueError) as error:
                raise UnknownSchema("the registry's answer has a reference without subject or version") from error
            if (subject, version) in seen:
                continue
            seen.add((subject, version))
            if len(seen) > _MOST_REFERENCES:
                raise UnknownSchema(f"it refers to more than {_MOST_REFERENCES} others")
            where = f'"{subject}" version {version}, which it refers to'
            try:
                other = self._get(f"/subjects/{quote(subject, safe='')}/versions/{version}")
                text, kind = _said(other)
                if kind != "AVRO":
                    raise UnknownSchema(f"it is {_READ.get(kind, kind)}")
                self._learn(other, named, seen)
                _parsed(text, named)
            except UnknownSchema as error:
                raise UnknownSchema(str(error) if "which it refers to" in str(error) else f"{where}: {error}") from error

    def _get(self, path: str) -> object:
        self.url, headers = self._address()
        for attempt in range(1, self._attempts + 1):
            try:
                with urlopen(Request(self.url + path, headers=headers), timeout=self._timeout_s) as response:
                    return json.load(response)
            except HTTPError as error:
                with error:
                    if error.code == 404 and _is_registry(error):
                        raise UnknownSchema("the registry does not have it") from error
                problem = f"answers {error.code} {error.reason}; {_MEANING.get(error.code, 'see its log')}"
                if error.code < 500 and error.code != 429:
                    break
            except (URLError, http.client.HTTPException, OSError) as error:
                problem = f"does not answer ({_reason(error)}); check that it runs there and TIDEMARK_REGISTRY"
            except ValueError:
                problem = "answers something that is not JSON; check TIDEMARK_REGISTRY"
            if attempt < self._attempts:
                time.sleep(0.2 * 2 ** (attempt - 1))
        raise ServiceError(f"registry: {self.url} {problem}")


def _is_registry(error: HTTPError) -> bool:
    """Whether a 404 is a registry's word that there is no such schema, and not that of a server without such a path."""
    try:
        answer = json.load(error)
    except (ValueError, OSError, http.client.HTTPException):
        return False
    return isinstance(answer, dict) and str(answer.get("error_code", "")).startswith("404")


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", None)
    return inner if isinstance(inner, str) and inner else cause(inner if isinstance(inner, BaseException) else error)


def _said(answer: object) -> tuple[str, str]:
    """A schema's text, and of which kind it is."""
    if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
        raise UnknownSchema("the registry's answer has no schema")
    return answer["schema"], str(answer.get("schemaType") or "AVRO")


def _parsed(text: str, named: dict[str, Any]) -> Writer:
    """A parsed Avro schema; the types that it names are added to those that are known."""
    try:
        schema: object = parse_schema(json.loads(text), named)
    except (SchemaParseException, UnknownType, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UnknownSchema(f"it is not an Avro schema ({type(error).__name__})") from error
    whole = [_behind(branch, named) for branch in schema] if isinstance(schema, list) else _behind(schema, named)
    if not isinstance(whole, dict | list):
        raise UnknownSchema("it is not an Avro record")
    return whole


def _behind(schema: object, named: dict[str, Any]) -> object:
    """A schema, or the one that is only named: of another subject."""
    return {**named[schema], "__fastavro_parsed": True, "__named_schemas": named} if isinstance(schema, str) and schema in named else schema
