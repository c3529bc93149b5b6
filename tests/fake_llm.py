"""A local server with OpenAI's interface that gives valid answers, or faults on demand."""

import contextlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

KEY = "sk-local-5e1f7c"


class Reply(NamedTuple):
    """Status, body and headers of a response. Without a body the connection is cut; an iterator sends its parts.

    With status 0 an iterator sends all of the response, status line and headers too.
    """

    status: int
    body: Any
    headers: Mapping[str, str] = {}


# The request's body and the rows of a valid answer -> the reply.
Fault = Callable[[dict[str, Any], list[dict[str, Any]]], Reply]


def last_word(artist: str, title: str) -> str:
    return title.split()[-1]


class FakeLlm(ThreadingHTTPServer):
    """Answers `genre_of(artist, title)` for each song; "unknown" if that is no valid answer.

    Each of `faults` replaces the answer to one request, then `always` replaces all. `bodies` are the requests, in
    order. A client needs the variables of `environment`.
    """

    def __init__(self, genre_of: Callable[[str, str], str] = last_word) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.genre_of = genre_of
        self.bodies: list[dict[str, Any]] = []
        self.faults: list[Fault] = []
        self.always: Fault | None = None

    def __enter__(self) -> "FakeLlm":
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def environment(self) -> dict[str, str]:
        address = f"http://127.0.0.1:{self.server_port}/v1"
        return {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": KEY, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    @property
    def titles(self) -> list[list[str]]:
        """The titles in each request."""
        return [[song["title"] for song in songs_in(body)] for body in self.bodies]

    def reply(self, body: dict[str, Any]) -> Reply:
        fault, valid, rows = self.faults.pop(0) if self.faults else self.always, genres_in(body), []
        for song in songs_in(body):
            genre = self.genre_of(song["artist"], song["title"])
            rows.append({"id": song["id"], "genre": genre if genre in valid else "unknown", "confidence": 0.75})
        return fault(body, rows) if fault else says(rows)


def songs_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    return json.loads(body["messages"][-1]["content"])


def genres_in(body: dict[str, Any]) -> list[str]:
    """The valid genres, from the schema in the system message."""
    system = body["messages"][0]["content"]
    return json.loads(system[system.index("{") :])["properties"]["songs"]["items"]["properties"]["genre"]["enum"]


def writes(content: str | None, finish_reason: str = "stop") -> Reply:
    """The model returns this text; None is a refusal."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": finish_reason, "message": message}
    return Reply(200, {"id": "1", "object": "chat.completion", "created": 0, "model": "fake", "choices": [choice]})


def says(rows: Sequence[Any]) -> Reply:
    return writes(json.dumps({"songs": rows}))


def http(status: int, message: str = "no", **headers: str) -> Fault:
    """An HTTP error; `retry_after` becomes the header Retry-After."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda body, rows: Reply(status, {"error": {"message": message}}, named)


def cut_line(body: dict[str, Any], rows: list[dict[str, Any]]) -> Reply:
    """The connection ends without an answer."""
    return Reply(0, None)


def changed(change: Callable[[list[dict[str, Any]]], Sequence[Any]]) -> Fault:
    """The changed rows of a valid answer."""
    return lambda body, rows: says(change(rows))


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        right = self.path == "/v1/chat/completions" and self.headers["Authorization"] == f"Bearer {KEY}"
        status, content, headers = self.server.reply(body) if right else Reply(404, {"error": {"message": "no path"}})
        if content is None:
            self.close_connection = True
            return
        if isinstance(content, dict | list):
            content = json.dumps(content)
        data = content.encode() if isinstance(content, str) else content
        with contextlib.suppress(ConnectionError):  # the client may have closed the connection
            if status:
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **headers}.items():
                    self.send_header(name, value)
                if isinstance(data, bytes):
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
            for part in [data] if isinstance(data, bytes) else data:
                self.wfile.write(part)

    def log_message(self, *_: object) -> None:
        pass
