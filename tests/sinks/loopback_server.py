"""A W&B server for tests, on the loopback interface: it speaks what the real client needs, and keeps what it was told.

GraphQL operations that the client sends (wandb 0.31): `ServerFeaturesQuery`, `OrganizationCoreWeaveOrganizationID`,
`UpsertBucket`, `RunResumeStatus`, `CreateRunFiles`, `MarkRunFilesUploaded`, `Viewer`; and wandb-workspaces (0.4):
`GetDefaultEntity`, `UpsertView2`. Any other is answered with a GraphQL error, as a real server does: empty data would
be read as "there is none".

Faults: while `fault` is a status (500: broken, 403: the account was closed), every request is answered with it; while
it is "garbage", with a page that is no JSON (a login page of a hotel's network); while it is "hang", not at all.
`stop()` closes the port and every connection, as a server that dies does.
"""

import contextlib
import gzip
import json
import re
import socket
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackServer:
    """Runs in a thread between `with` and its end.

    Attributes:
        runs: dict run id -> `ReceivedRun`.
        views: list of dict, the variables of every saved view, `spec` decoded.
        refused: set of str, names of operations that are answered with an error.
        operations: list of str, names of the GraphQL operations received, in order.
        url: str, what `base_url` has to be.
    """

    def __init__(self, *, fault=None):
        self.fault = fault
        self.runs, self.operations, self.unknown = {}, [], []
        self.views, self.refused = [], set()
        self.stopped, self.connections = threading.Event(), set()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._http.handle_error = lambda *arguments: None  # a client that hangs up is nothing to print
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        """Close the port and what is connected to it. A second call does nothing."""
        if self._http is not None:
            self.stopped.set()
            self._http.shutdown()
            self._http.server_close()
            self._http = None
            for connection in list(self.connections):
                with contextlib.suppress(OSError):  # the client may have hung up
                    connection.shutdown(socket.SHUT_RDWR)

    def run(self, run_id):
        return self.runs.setdefault(run_id, ReceivedRun(run_id))


class ReceivedRun:
    """What one run uploaded: `config`, `summary`, `rows` (history), `files` (path -> bytes), `exit_code`, `console`."""

    def __init__(self, run_id):
        self.run_id = run_id
        self.fields, self.config, self.summary = {}, {}, {}
        self.lines, self.files, self.console = {}, {}, {}
        self.exit_code = None

    @property
    def rows(self):
        """History rows in the order of the client's own step, keys without their dots."""
        return [json.loads(self.lines[number]) for number in sorted(self.lines)]

    def take_stream(self, body):
        """One `file_stream` request: pieces of files by offset, and at the end the exit code."""
        for name, piece in (body.get("files") or {}).items():
            target = {"wandb-history.jsonl": self.lines, "output.log": self.console}.get(name)
            if target is not None:
                target.update(enumerate(piece["content"], start=piece["offset"]))
            elif name == "wandb-summary.json":
                self.summary = json.loads(piece["content"][-1])
        if body.get("complete"):
            self.exit_code = body.get("exitcode")


# ---------------------------------------------------------------------------------------------------- GraphQL answers


def _server_features(server, variables):
    return {"serverInfo": {"features": []}}


def _organization(server, variables):
    return {"entity": {"organization": {"coreWeaveOrganizationId": None}}}


def _viewer(server, variables):
    return {
        "viewer": {
            "id": "user",
            "entity": "loopback",
            "username": "tester",
            "email": "",
            "admin": False,
            "flags": "{}",
            "teams": {"edges": []},
        }
    }


def _run_resume_status(server, variables):
    """What a client asks that goes on with a run: how much the server has of it."""
    run = server.runs.get(variables["name"])
    bucket = run and {
        "id": run.run_id,
        "name": run.run_id,
        "displayName": "a name",
        "historyLineCount": len(run.lines),
        "eventsLineCount": 0,
        "logLineCount": len(run.console),
        "historyTail": json.dumps([run.lines[max(run.lines)]] if run.lines else []),
        "eventsTail": "[]",
        "summaryMetrics": json.dumps(run.summary),
        "config": run.fields.get("config") or "{}",
        "tags": [],
        "wandbConfig": json.dumps({"t": {"value": 1}}),
    }
    return {
        "model": {
            "id": "project",
            "name": variables["project"],
            "entity": {"id": "e", "name": "loopback"},
            "bucket": bucket,
        }
    }


def _upsert_bucket(server, variables):
    run = server.run(variables["name"])
    run.fields.update({key: value for key, value in variables.items() if value is not None})
    if variables.get("config"):
        run.config = {key: leaf["value"] for key, leaf in json.loads(variables["config"]).items()}
    entity = {"id": "e", "name": variables.get("entity") or "loopback"}
    project = {"id": "project", "name": variables["project"], "entity": entity}
    bucket = {
        "id": run.run_id,
        "name": run.run_id,
        "displayName": variables.get("displayName") or "a name",
        "description": None,
        "config": variables.get("config"),
        "sweepName": None,
        "project": project,
        "historyLineCount": 0,
    }
    return {"upsertBucket": {"bucket": bucket, "inserted": True}}


def _create_run_files(server, variables):
    run_id = variables["run"]
    files = [
        {"name": name, "uploadUrl": f"{server.url}/upload/{run_id}/{urllib.parse.quote(name)}"}
        for name in variables["files"]
    ]
    return {"createRunFiles": {"runID": run_id, "uploadHeaders": [], "files": files}}


def _mark_run_files_uploaded(server, variables):
    return {"markRunFilesUploaded": {"success": True}}


def _default_entity(server, variables):
    return {"viewer": {"id": "user", "entity": "loopback"}}


def _upsert_view(server, variables):
    server.views.append({**variables, "spec": json.loads(variables["spec"])})
    return {"upsertView": {"view": {"id": "view", "name": variables["name"]}, "inserted": True}}


ANSWERS = {
    "ServerFeaturesQuery": _server_features,
    "OrganizationCoreWeaveOrganizationID": _organization,
    "Viewer": _viewer,
    "RunResumeStatus": _run_resume_status,
    "UpsertBucket": _upsert_bucket,
    "CreateRunFiles": _create_run_files,
    "MarkRunFilesUploaded": _mark_run_files_uploaded,
    "GetDefaultEntity": _default_entity,
    "UpsertView2": _upsert_view,
}


def _answer(server, request):
    operation = re.search(r"(?:query|mutation)\s+(\w+)", request["query"]).group(1)
    server.operations.append(operation)
    if operation in server.refused:
        return {"data": None, "errors": [{"message": f"permission denied: {operation}"}]}
    if operation not in ANSWERS:
        server.unknown.append(request["query"])
        return {"data": None, "errors": [{"message": f"this server does not know {operation}"}]}
    return {"data": ANSWERS[operation](server, request.get("variables") or {})}


# --------------------------------------------------------------------------------------------------------------- HTTP


def _handler(server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            server.connections.add(self.connection)

        def finish(self):
            server.connections.discard(self.connection)
            super().finish()

        def do_POST(self):
            body = self._body()
            if server.fault:
                return self._fail()
            if self.path == "/graphql":
                return self._reply(_answer(server, json.loads(body)))
            if match := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
                server.run(match[1]).take_stream(json.loads(body))
                return self._reply({})
            return self._reply({"error": "no such address"}, status=404)

        def do_PUT(self):
            body = self._body()
            if server.fault:
                return self._fail()
            match = re.fullmatch(r"/upload/([^/]+)/(.+)", self.path)
            server.run(match[1]).files[urllib.parse.unquote(match[2])] = body
            return self._reply({})

        def do_GET(self):
            self._fail() if server.fault else self._reply({})

        def _fail(self):
            if server.fault == "hang":
                server.stopped.wait()
                self.close_connection = True
            elif server.fault == "garbage":
                self._send(b"<html>Welcome! Please log in.</html>", "text/html", 200)
            else:
                self._reply({"error": "on purpose"}, status=server.fault)

        def _body(self):
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b"".join(iter(self._chunk, b""))
            else:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

        def _chunk(self):
            size = int(self.rfile.readline().split(b";")[0], 16)
            chunk = self.rfile.read(size)
            self.rfile.readline()
            return chunk

        def _reply(self, content, status=200):
            self._send(json.dumps(content).encode(), "application/json", status)

        def _send(self, content, kind, status):
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    return Handler
