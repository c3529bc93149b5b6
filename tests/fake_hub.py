"""The part of the Hugging Face Hub's interface that uploads and downloads of small model repositories need."""

import base64
import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_COMMIT = "c" * 40


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass

    def _send(self, content: Any, status: int = 200, **headers: str) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body)), "Content-Type": "application/json"}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_POST(self) -> None:
        body, url = self.rfile.read(int(self.headers["Content-Length"])), f"http://{self.headers['Host']}/me/model"
        if "/preupload/" in self.path:
            names = [each["path"] for each in json.loads(body)["files"]]
            self._send({"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in names]})
        elif "/commit/" in self.path:
            for each in map(json.loads, body.splitlines()):
                if each["key"] == "file":
                    self.server.files[each["value"]["path"]] = base64.b64decode(each["value"]["content"])
            self._send({"success": True, "commitOid": _COMMIT, "commitUrl": f"{url}/commit/{_COMMIT}"})
        else:  # creates the repository, or checks the metadata of its card
            self._send({"url": url, "errors": [], "warnings": []})

    def do_GET(self) -> None:
        files = self.server.files
        if "/resolve/" in self.path:
            content = files[self.path.split("/", 5)[5]]
            self._send(content, ETag=f'"{hashlib.sha1(content).hexdigest()}"', X_Repo_Commit=_COMMIT)
        elif "/tree/" in self.path:
            self._send([{"type": "file", "path": name, "size": len(files[name]), "oid": name} for name in files])
        else:
            self._send({"id": "me/model", "sha": _COMMIT, "siblings": [{"rfilename": name} for name in files]})

    do_HEAD = do_GET


@contextlib.contextmanager
def fake_hub() -> Iterator[tuple[str, dict[str, bytes]]]:
    """A server on this machine; yields its address and the files of its one repository, by name."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.files = {}
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", server.files
        finally:
            server.shutdown()
            thread.join()
