"""A client of servers with OpenAI's interface: limits, parameters that not all servers take, messages without the key.

The environment has the address and the key of the server, OPENAI_BASE_URL and OPENAI_API_KEY. No error message contains
them. The package `openai` retries busy servers.
"""

import contextlib
import os
import re
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from common.errors import UserError

_KEY, _ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
_FIX_ADDRESS = f"check {_ADDRESS} (most addresses end in /v1)"
_SERVER = "the language model's server"
_TEXT_CHARACTERS = 200
_MAX_BYTES = 8 << 20  # of an answer; one of 1,000 songs has about 0.1 MB
_KEY_PIECE = 6  # words with so many letters of the key in a row are not shown
TOO_LONG = "the request is longer than the model's context"
CUT = "the answer was cut at the limit of its length (finish_reason length)"
_CONTEXT = re.compile(r"context.{0,20}(length|window|size)|(too long|too many tokens|reduce the length)")
_SCHEMA = re.compile(r"grammar|schema|response_format")


class Completion(NamedTuple):
    """The text of a model, and what speaks against it: "", TOO_LONG, CUT, or why there is none."""

    text: str
    fault: str = ""


class Server:
    """Chat completions, at temperature 0 and by a JSON schema where the server takes them."""

    def __init__(self, model: str, schema: Mapping[str, Any], retries: int, seconds: float) -> None:
        """`retries`: after the first try; `seconds`: until an answer begins, and again until it ends.

        Raises `UserError` if the environment has no usable key or address, or the package is missing.
        """
        self._key = _key_from_environment()
        try:
            import openai  # here: only this class needs the package
        except ImportError as error:
            raise UserError("asking a language model needs the package openai; pip install openai") from error
        named = {"name": "answer", "strict": True, "schema": schema}
        # Left out from the first request on that the server refuses.
        self._optional = {"temperature": 0, "response_format": {"type": "json_schema", "json_schema": named}}
        self._openai, self._model = openai, model
        self._client = openai.OpenAI(max_retries=retries, timeout=seconds, http_client=_limited_client(openai, seconds))

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def complete(self, messages: Sequence[Mapping[str, str]]) -> Completion:
        """Return the model's answer to the messages. Raises `UserError` if the server gives none."""
        message = f"{_SERVER} answers, but with no chat completion; {_FIX_ADDRESS}"
        completion: Any = None
        try:
            completion = self._create(messages)
            choice = completion.choices[0]
            text, refusal = choice.message.content, getattr(choice.message, "refusal", None)
            if isinstance(text, str) and text:
                return Completion(text, CUT if choice.finish_reason == "length" else "")
            return Completion("", f"the model refuses: {self._shown(refusal)}" if refusal else "the answer was empty")
        except self._openai.OpenAIError as error:
            if _is_too_long(error):
                return Completion("", TOO_LONG)
            message = self._message_of(error)
        except UserError:
            raise
        except Exception:  # the client does not check the response: any part may be missing or of another type
            if said := getattr(completion, "error", None):
                message = f"{_SERVER} answers with an error ({self._shown(said)}); wait until it works"
        # Raised here, not above: the client's error contains the key and must not be the cause of this one.
        raise UserError(message)

    def _create(self, messages: Sequence[Mapping[str, str]]) -> Any:
        first = None
        while True:
            try:
                return self._client.chat.completions.create(model=self._model, messages=messages, **self._optional)
            except self._openai.APIStatusError as error:
                text, first = _text_of(error), first or error
                refused = error.status_code in (400, 404, 422) or (error.status_code >= 500 and _SCHEMA.search(text))
                if _is_too_long(error):
                    raise
                if not (refused and self._optional):
                    raise first from None
                named = "temperature" in text and "temperature" in self._optional
                del self._optional["temperature" if named else next(reversed(self._optional))]

    def _message_of(self, error: Exception) -> str:
        """One sentence with the remedy, without the key."""
        status = getattr(error, "status_code", None)
        if isinstance(error, self._openai.APITimeoutError):
            return f"{_SERVER} did not answer in time; wait until it is less busy, or ask for fewer songs in a request"
        if status is None:
            return f"{_SERVER} cannot be reached; check that it runs and that {_ADDRESS} is right"
        known = {
            401: f"{_SERVER} rejects the key in {_KEY} (HTTP 401); set the right one",
            403: f"the key in {_KEY} may not use model {self._model!r} (HTTP 403); name another model",
            429: f"{_SERVER} has too many requests, or no credit is left (HTTP 429); wait, or ask less",
        }
        text = self._shown(getattr(error, "message", ""))
        if status in known:
            return known[status]
        if 300 <= status < 400:
            return f"{_SERVER} sends requests to another address (HTTP {status}); set {_ADDRESS} to that"
        if status == 404:
            return f"the server has no model {self._model!r} (HTTP 404: {text}); name another, or {_FIX_ADDRESS}"
        if status >= 500 or status in (408, 409):
            return f"{_SERVER} is out of order (HTTP {status}: {text}); wait until it works"
        return f"the server refuses the request to model {self._model!r} (HTTP {status}: {text}); name another model"

    def _shown(self, said: object) -> str:
        """Words of the server without the key, or parts of it."""
        text = str(said.get("message", said) if isinstance(said, dict) else said)[: 10 * _TEXT_CHARACTERS]
        text = re.sub(rf"(?<!\w){re.escape(self._key)}(?!\w)", "...", text)
        pieces = [self._key[first : first + _KEY_PIECE] for first in range(len(self._key) - _KEY_PIECE + 1)]
        words = ("..." if any(piece in word for piece in pieces) else word for word in text.split())
        return " ".join(words)[:_TEXT_CHARACTERS]


def _limited_client(openai: Any, seconds: float) -> Any:
    """An HTTP client that limits the bytes and seconds of an answer, and follows no address that a server names."""

    class Client(openai.DefaultHttpxClient):
        def send(self, request: Any, **options: Any) -> Any:
            answer: Future[Any] = Future()

            def wait() -> None:
                try:
                    answer.set_result(self._send(request, options))
                except BaseException as error:
                    answer.set_exception(error)

            # A thread, because no timeout of the client limits the sum of many short waits. It may end later.
            threading.Thread(target=wait, daemon=True).start()
            try:
                return answer.result(2 * seconds)
            except TimeoutError:
                raise openai.APITimeoutError(request) from None

        def _send(self, request: Any, options: dict[str, Any]) -> Any:
            request.headers["Accept-Encoding"] = "identity"  # a compressed answer may unpack to any size
            content = bytearray()
            with contextlib.closing(super().send(request, **{**options, "stream": True})) as response:
                if response.headers.get("Content-Encoding", "identity") != "identity":
                    raise UserError(f"{_SERVER} sends compressed answers; {_FIX_ADDRESS}")
                for chunk in response.iter_raw():
                    content += chunk
                    if len(content) > _MAX_BYTES:
                        raise UserError(f"{_SERVER} answers with more than {_MAX_BYTES >> 20} MiB; {_FIX_ADDRESS}")
            if response.status_code >= 500 and _SCHEMA.search(content.decode(errors="replace").lower()):
                response.headers["x-should-retry"] = "false"  # the package obeys: the next request has no schema
            facts = {"headers": response.headers, "request": request, "extensions": response.extensions}
            return type(response)(response.status_code, content=bytes(content), **facts)

    return Client(timeout=seconds, follow_redirects=False)


def _text_of(error: Any) -> str:
    return f"{error.message} {error.body}".lower()


def _is_too_long(error: Any) -> bool:
    status = getattr(error, "status_code", None)
    return status == 413 or (status in (400, 422, 500) and bool(_CONTEXT.search(_text_of(error))))


def _key_from_environment() -> str:
    key, address = os.environ.get(_KEY, ""), os.environ.get(_ADDRESS)
    if not key.strip():
        raise UserError(f"no key for the language model: set {_KEY} in the environment; a local server takes any word")
    if not (key.isascii() and key.isprintable()):
        # The client's error would show it.
        raise UserError(f"{_KEY} holds characters that no key has, such as a line break; set it again")
    try:
        usable = address is None or (urlsplit(address).scheme in ("http", "https") and urlsplit(address).hostname)
    except ValueError:
        usable = False
    if not usable:
        raise UserError(f"{_ADDRESS} is not the address of a server; set it to one such as http://localhost:8000/v1")
    return key
