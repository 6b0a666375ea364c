"""A reader of any Confluent-compatible schema registry: schema id → Avro schema, each fetched once."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Mapping
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import Request, urlopen

from fastavro.schema import SchemaParseException, UnknownType, parse_schema

from schemas.errors import ServiceError, SettingError
from schemas.masking import masked

_MOST_UNKNOWN = 10_000


class UnknownSchema(Exception):
    """The registry answers, but has no such Avro schema."""


class Registry:
    """Fetches writer schemas by id.

    A known id is kept for ever (ids never change their meaning), an unknown one is asked again after `retry_unknown_s`.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, attempts: int = 3, retry_unknown_s: float = 30.0) -> None:
        """Take the address; nothing is asked yet.

        Args:
            url: http(s)://[user:password@]host:port[/path]
            timeout_s: For each attempt.
            attempts: How often a registry that does not answer is asked before giving up.
            retry_unknown_s: How long "no such id" is believed.

        Raises:
            SettingError: Not such a URL.
        """
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.path + parts.query + parts.fragment:
            raise SettingError(
                f'registry: "{masked(url)}" is not an address; allowed: http(s)://host:port, with user:password@ before the host, in which / ? # % @ are '
                "%2F %3F %23 %25 %40"
            )
        address = parts.netloc.rpartition("@")[2]
        self.url = f"{parts.scheme}://{address}{parts.path.rstrip('/')}"
        self._headers = {"Accept": "application/vnd.schemaregistry.v1+json"}
        if parts.username is not None:
            secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(secret).decode()}"
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._retry_unknown_s = retry_unknown_s
        self._known: dict[int, Mapping[str, Any]] = {}
        self._unknown: dict[int, tuple[float, str]] = {}

    def schema(self, schema_id: int) -> Mapping[str, Any]:
        """The parsed Avro schema of an id.

        Raises:
            UnknownSchema: The registry has no such id, or it is not a readable Avro schema.
            ServiceError: The registry does not answer.
        """
        if schema_id in self._known:
            return self._known[schema_id]
        since, reason = self._unknown.get(schema_id, (-self._retry_unknown_s, ""))
        if reason and time.monotonic() - since < self._retry_unknown_s:
            raise UnknownSchema(reason)
        try:
            self._known[schema_id] = _avro(self._get(f"/schemas/ids/{schema_id}"))
        except UnknownSchema as error:
            if len(self._unknown) >= _MOST_UNKNOWN:
                self._unknown.clear()
            self._unknown[schema_id] = (time.monotonic(), str(error))
            raise
        return self._known[schema_id]

    def _get(self, path: str) -> object:
        for attempt in range(1, self._attempts + 1):
            try:
                with urlopen(Request(self.url + path, headers=self._headers), timeout=self._timeout_s) as response:
                    return json.load(response)
            except HTTPError as error:
                with error:
                    if error.code == 404:
                        raise UnknownSchema("the registry does not have it") from error
                problem = f"answers {error.code} {error.reason}"
                if error.code < 500 and error.code != 429:
                    break
            except (URLError, http.client.HTTPException, OSError) as error:
                problem = f"does not answer ({getattr(error, 'reason', None) or error or type(error).__name__})"
            except ValueError:
                problem = "answers something that is not JSON"
            if attempt < self._attempts:
                time.sleep(0.2 * 2 ** (attempt - 1))
        raise ServiceError(f"registry: {self.url} {problem}; check that it runs there and TIDEMARK_REGISTRY")


def _avro(answer: object) -> Mapping[str, Any]:
    if not isinstance(answer, dict) or not isinstance(answer.get("schema"), str):
        raise UnknownSchema("the registry's answer has no schema")
    if (kind := answer.get("schemaType", "AVRO")) != "AVRO":
        raise UnknownSchema(f"it is {kind}, only Avro can be read")
    if answer.get("references"):
        raise UnknownSchema("it refers to other subjects, which is not supported; register it whole")
    try:
        schema = parse_schema(json.loads(answer["schema"]))
    except (SchemaParseException, UnknownType, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UnknownSchema(f"it is not an Avro schema ({type(error).__name__})") from error
    if not isinstance(schema, dict):
        raise UnknownSchema("it is not an Avro record")
    return schema
