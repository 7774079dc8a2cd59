"""A server on loopback that answers as the Hugging Face Hub does for one data set of given files."""

import hashlib
import http.server
import json
import threading
import urllib.parse

SHA = "0123456789abcdef0123456789abcdef01234567"


class HubServer:
    """Serves `files` (dict of path to bytes) as the data set `name`; `url` is its HF_ENDPOINT, `asked` all requests."""

    def __init__(self, name, files):
        self.name, self.files, self.asked = name, files, []
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                hub.asked.append(f"{self.command} {self.path}")
                status, body, headers = hub.answer(self.command, urllib.parse.unquote(self.path))
                self.send_response(status)
                for key, value in {"Content-Length": len(body), **headers}.items():
                    self.send_header(key, str(value))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_POST(self):
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            do_HEAD = do_GET

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, command, path):
        """`(status, body, headers)`."""
        path, _, query = path.partition("?")
        tree = f"/api/datasets/{self.name}/tree/"
        if path.startswith(tree):
            return self._tree(path.removeprefix(tree).partition("/")[2], recursive="recursive=true" in query.lower())
        if path.startswith(f"/api/datasets/{self.name}/paths-info/"):
            return self._json([self._entry(file) for file in self.files])
        if path in (f"/api/datasets/{self.name}", *(f"/api/datasets/{self.name}/revision/{r}" for r in ("main", SHA))):
            siblings = [{"rfilename": file} for file in self.files]
            return self._json({"id": self.name, "sha": SHA, "siblings": siblings, "private": False, "tags": []})
        resolve = f"/datasets/{self.name}/resolve/"
        if path.startswith(resolve):
            revision, _, file = path.removeprefix(resolve).partition("/")
            if revision not in ("main", SHA):
                return 404, b"", {"X-Error-Code": "RevisionNotFound"}
            if file not in self.files:
                return 404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": SHA}
            content = self.files[file]
            return 200, content, {"ETag": f'"{hashlib.sha1(content).hexdigest()}"', "X-Repo-Commit": SHA}
        return 404, b"{}", {"X-Error-Code": "RepoNotFound"}

    def _tree(self, folder, recursive):
        """What stands in a folder: files and folders."""
        inside = [file for file in self.files if file.startswith(f"{folder}/" if folder else "")]
        if not inside:
            return 404, b"", {"X-Error-Code": "EntryNotFound"}
        depth = folder.count("/") + 1 if folder else 0
        entries = [self._entry(file) for file in inside if recursive or file.count("/") == depth]
        folders = {"/".join(file.split("/")[: depth + 1]) for file in inside if file.count("/") > depth}
        return self._json(
            entries + [{"type": "directory", "path": path, "size": 0, "oid": SHA} for path in sorted(folders)]
        )

    def _entry(self, file):
        content = self.files[file]
        return {"type": "file", "path": file, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}

    def _json(self, value):
        return 200, json.dumps(value).encode(), {"Content-Type": "application/json"}
