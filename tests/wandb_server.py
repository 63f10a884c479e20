"""As much of W&B's server as its client needs to upload a run, and what it was sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


class Server(ThreadingHTTPServer):
    """Listens on this machine; keeps the GraphQL operations and the lines of history."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.operations: list[tuple[str, dict[str, Any]]] = []  # name, variables
        self.lines: dict[str, list[dict[str, Any]]] = {}  # of history, by run

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def variables(self, operation: str) -> list[dict[str, Any]]:
        """Of every call of an operation, in order."""
        return [variables for name, variables in self.operations if name == operation]

    def handle_error(self, request, client_address) -> None:
        """A client that hangs up is no error."""

    def answer(self, name: str, given: dict[str, Any]) -> dict[str, Any]:
        owner = {"id": "P", "name": given.get("project") or "mubench", "entity": {"id": "E", "name": "me"}}
        run = {"id": "R", "name": given.get("name"), "displayName": given.get("displayName"), "config": "{}",
               "historyLineCount": 0, "project": owner}  # fmt: skip
        files = [
            {"name": n, "uploadUrl": f"{self.url}/file/{i}"} for i, n in enumerate(given.get("files", []))
        ]
        answers: dict[str, Any] = {
            "UpsertBucket": {"upsertBucket": {"bucket": run, "inserted": True}},
            "Viewer": {"viewer": {"id": "V", "entity": "me", "username": "me", "flags": "{}"}},
            "CreateRunFiles": {"createRunFiles": {"runID": "R", "uploadHeaders": [], "files": files}},
            "ServerFeaturesQuery": {"serverInfo": {"features": []}},
            "ArtifactType": {"project": {"artifact": None}},
            "CreateArtifact": {
                "createArtifact": {
                    "artifact": {
                        "id": "A",
                        "state": "COMMITTED",
                        "artifactSequence": {"id": "S", "latestArtifact": None},
                    }
                }
            },
            "RunResumeStatus": {"model": None},
        }
        return answers.get(name, {})


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._reply({})

    def do_PUT(self) -> None:
        self._body()
        self._reply({})

    def do_POST(self) -> None:
        body = self._body()
        if self.path == "/graphql":
            asked = json.loads(body)
            name, given = asked.get("operationName") or "", asked.get("variables") or {}
            if not name:  # as it names what it asks for in the text alone
                name = next((n for n in ("ArtifactType", "Viewer") if n in asked["query"]), "")
            self.server.operations.append((name, given))
            return self._reply({"data": self.server.answer(name, given)})
        if self.path.endswith("/file_stream"):
            sent = json.loads(body).get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
            run = self.server.lines.setdefault(self.path.split("/")[-2], [])
            run += [json.loads(line) for line in sent]
        return self._reply({"exitcode": None, "limits": {}})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _reply(self, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def serving() -> Iterator[Server]:
    """A server at work."""
    with Server() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
