"""The web server of the demo's page: `python -m focus.demo.pages --port N --library FOLDER --settings FILE`.

It serves the files of `focus/demo/page`, the client library below `lib/`, and `settings.json`, and nothing else.
Only this machine reaches it: a browser gives a page the camera over plain HTTP only if it comes from localhost.
"""

from __future__ import annotations

import argparse
import http.server
import shutil
import sys
from pathlib import Path
from typing import Dict, List, Optional
from urllib.parse import urlsplit

PAGE = Path(__file__).parent / "page"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
}
LIBRARIES = ("jquery.min.js", "lib-jitsi-meet.min.js")


def table(library: Path, settings: Path) -> Dict[str, Path]:
    """Path of the URL -> file, for everything that is served."""
    files = {"/" + file.name: file for file in PAGE.iterdir() if file.suffix in TYPES}
    files["/"] = PAGE / "index.html"
    files["/settings.json"] = settings
    files.update({"/lib/" + name: library / name for name in LIBRARIES})
    return files


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET and HEAD for the files of `files`; everything else is not found."""

    files: Dict[str, Path] = {}
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds for a client to send its request

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def _answer(self, with_body: bool) -> None:
        file = self.files.get(urlsplit(self.path).path)
        if file is None:
            self.send_error(404)
            return
        try:
            opened = open(file, "rb")
        except OSError as error:
            self.log_error("%s: %s", file, error)
            self.send_error(404)
            return
        with opened:
            self.send_response(200)
            self.send_header("Content-Type", TYPES[file.suffix])
            self.send_header("Content-Length", str(file.stat().st_size))
            self.send_header("Cache-Control", "no-cache")
            self.end_headers()
            if with_body:
                shutil.copyfileobj(opened, self.wfile)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


def main(arguments: Optional[List[str]] = None) -> int:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m focus.demo.pages", description="Serve the demo's page.")
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    parser.add_argument("--library", type=Path, required=True, help="folder with the client library")
    parser.add_argument("--settings", type=Path, required=True, help="JSON file: names and addresses for the page")
    options = parser.parse_args(arguments)
    Handler.files = table(options.library, options.settings)
    with Server(("127.0.0.1", options.port), Handler) as server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
