"""A language model's server with the interface of OpenAI, on loopback, that answers well, or badly on demand."""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

KEY = "sk-local-5e1f7c"


class Reply(NamedTuple):
    """What goes back: a status, a body, and headers; without a body the line is cut."""

    status: int
    body: Any
    headers: Mapping[str, str] = {}


# The request's body and the rows of a good answer -> the reply.
Fault = Callable[[dict[str, Any], list[dict[str, Any]]], Reply]


def last_word(artist: str, title: str) -> str:
    return title.split()[-1]


class FakeLlm(contextlib.AbstractContextManager):
    """Says of each song what `genre_of(artist, title)` does, "unknown" where that is no valid answer.

    `faults` answer the next requests instead, one each, and `always` all that remain. `bodies` and `headers` are what
    came, in order. `environment` is what a program needs to find it.
    """

    def __init__(self, genre_of: Callable[[str, str], str] = last_word) -> None:
        self.genre_of = genre_of
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[Mapping[str, str]] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    def __enter__(self) -> "FakeLlm":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self._server.server_port}/v1"
        return {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    @property
    def asked(self) -> list[list[str]]:
        """Titles in each request."""
        return [[song["title"] for song in songs_in(body)] for body in self.bodies]

    def reply(self, body: dict[str, Any]) -> Reply:
        fault = self.faults.pop(0) if self.faults else self.always
        songs = songs_in(body)
        genres = [self.genre_of(song["artist"], song["title"]) for song in songs]
        valid = genres_in(body)
        rows = [
            {"id": song["id"], "genre": genre if genre in valid else "unknown", "confidence": 0.75}
            for song, genre in zip(songs, genres, strict=True)
        ]
        return fault(body, rows) if fault else says(rows)


def songs_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    return json.loads(body["messages"][-1]["content"])


def genres_in(body: dict[str, Any]) -> list[str]:
    """The valid genres by the schema in the system message, which is there whether or not another is."""
    system = body["messages"][0]["content"]
    return json.loads(system[system.index("{") :])["properties"]["songs"]["items"]["properties"]["genre"]["enum"]


def writes(content: str | None) -> Reply:
    """The model writes any text, or None: it refuses."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return Reply(200, {"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]})


def says(rows: Sequence[Any]) -> Reply:
    return writes(json.dumps({"songs": rows}))


def http(status: int, message: str = "no", **headers: str) -> Fault:
    """An error of the server; `retry_after` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda body, rows: Reply(status, {"error": {"message": message}}, named)


def cut_line(body: dict[str, Any], rows: list[dict[str, Any]]) -> Reply:
    """The connection ends without an answer."""
    return Reply(0, None)


def no_schema(body: dict[str, Any], rows: list[dict[str, Any]]) -> Reply:
    """A server that knows no response_format."""
    return http(400, "unknown field 'response_format'")(body, rows) if "response_format" in body else says(rows)


def changed(change: Callable[[list[dict[str, Any]]], Sequence[Any]]) -> Fault:
    """The rows of a good answer, changed."""
    return lambda body, rows: says(change(rows))


def _handler(llm: FakeLlm) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            llm.bodies.append(body)
            llm.headers.append(dict(self.headers))
            right = self.path == "/v1/chat/completions" and self.headers["Authorization"] == f"Bearer {KEY}"
            status, content, headers = llm.reply(body) if right else Reply(404, {"error": {"message": "no such path"}})
            if content is None:
                self.close_connection = True
                return
            data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
            with contextlib.suppress(ConnectionError):  # who asked may not have waited
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
