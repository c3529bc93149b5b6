"""A server with the interface of OpenAI: messages and a JSON schema -> what the model writes.

Address and key are those in the environment, OPENAI_BASE_URL and OPENAI_API_KEY. No error tells what they hold.
"""

import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit

from common.errors import UserError

_KEY, _ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_RIGHT_ADDRESS = f"see that {_ADDRESS} is right (mostly it ends in /v1)"
_WORDS_CHARACTERS = 200  # of what the server says


class Server(AbstractContextManager):
    """The server, asked at most so often in a minute, and up to `retries` times again where it is busy or away.

    Raises `UserError` where the environment has no usable key or address, or the package openai is missing.
    """

    def __init__(self, model: str, *, requests_per_minute: float, retries: int, timeout_seconds: float) -> None:
        self._key = _require_environment()
        try:
            import openai  # here, because who asks no model does without it
        except ImportError as error:
            raise UserError("asking a language model needs the package openai; pip install openai") from error
        self._openai, self._model = openai, model
        self._takes_schema = True
        self._seconds_between, self._next = 60 / requests_per_minute, float("-inf")
        # The client itself repeats after 408, 409, 429, 5xx, time-outs and lost connections; it waits as Retry-After
        # says, or longer each time, with jitter. The hook sees each single request, so that repetitions count.
        http = openai.DefaultHttpxClient(event_hooks={"request": [self._wait_for_turn]})
        self._client = openai.OpenAI(max_retries=retries, timeout=timeout_seconds, http_client=http)

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def write(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> str:
        """What the model writes, at temperature 0; "" where it, or a filter, refuses.

        From the first time on that the server takes no schema, it gets none: the messages should tell it, too. Raises
        `UserError` of trouble "server" where there is no answer.
        """
        try:
            content = self._write(messages, schema)
        except self._openai.OpenAIError as error:
            told = self._told(error)
        except (AttributeError, TypeError, IndexError, ValueError):  # the client does not check what comes
            told = f"the language model's server answers, but with no chat completion; {_RIGHT_ADDRESS}"
        else:
            return content if isinstance(content, str) else ""
        # Here, so that the client's error, which holds the key, is no part of this one.
        raise UserError(told, "server")

    def _write(self, messages: Sequence[Mapping[str, str]], schema: Mapping[str, Any]) -> object:
        request: dict[str, Any] = {"model": self._model, "messages": messages, "temperature": 0}
        if self._takes_schema:
            named = {"name": "answer", "strict": True, "schema": schema}
            request["response_format"] = {"type": "json_schema", "json_schema": named}
        try:
            return self._client.chat.completions.create(**request).choices[0].message.content
        except self._openai.APIStatusError as error:
            words = f"{error.message} {error.body}"
            refused = error.status_code in (400, 422) and ("response_format" in words or "json_schema" in words)
            if not (refused and self._takes_schema):
                raise
        self._takes_schema = False
        return self._write(messages, schema)

    def _wait_for_turn(self, _: object) -> None:
        now = time.monotonic()
        time.sleep(max(0.0, self._next - now))
        self._next = max(now, self._next) + self._seconds_between

    def _told(self, error: Exception) -> str:
        """A sentence with the remedy, without the key, whatever the server says."""
        status = getattr(error, "status_code", None)
        if isinstance(error, self._openai.APITimeoutError):
            return "the language model's server did not answer in time; wait until it is less busy"
        if status is None:
            return f"the language model's server cannot be reached; see that it runs and that {_ADDRESS} is right"
        if status >= 500 or status in (408, 409):
            return f"the language model's server is out of order (HTTP {status}); wait until it works"
        if status == 401:
            return f"the language model's server does not take the key in {_KEY} (HTTP 401); set the right one"
        if status == 403:
            return f"the key in {_KEY} may not use model {self._model!r} (HTTP 403); name another model"
        if status == 404:
            return f"the server has no model {self._model!r} (HTTP 404); name another, or {_RIGHT_ADDRESS}"
        if status == 429:
            return (
                "the language model's server has too many requests, or no credit is left (HTTP 429); wait, or ask less"
            )
        words = getattr(error, "message", "").replace(self._key, "...")[:_WORDS_CHARACTERS]
        return f"the server refuses what model {self._model!r} was asked (HTTP {status}: {words}); name another model"


def _require_environment() -> str:
    """The key."""
    key, address = os.environ.get(_KEY, ""), os.environ.get(_ADDRESS)
    if not key.strip():
        raise UserError(f"no key for the language model: set {_KEY} in the environment; a local server takes any word")
    if not (key.isascii() and key.isprintable()):
        # The errors of such a request would show it.
        raise UserError(f"{_KEY} holds characters that no key has, such as a line break; set it anew")
    try:
        usable = address is None or (urlsplit(address).scheme in ("http", "https") and urlsplit(address).hostname)
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"{_ADDRESS} is no address of a server; set it to one such as http://localhost:8000/v1")
    return key
