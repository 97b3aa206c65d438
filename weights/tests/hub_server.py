"""A server that serves files like the hub: `python -m weights.tests.hub_server FOLDER`.

Every repository has the files of the folder; the server also works as an HTTP proxy to itself. As
on the hub, files above a few kilobytes are on another host: the server redirects there and gives
their SHA-256. The program prints its address, then each request.
"""

import argparse
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = 4096
"""Files with more bytes are served by redirect."""
CHUNK = 1 << 16


class HubServer(ThreadingHTTPServer):
    """Serves a folder on a free port of this machine."""

    daemon_threads = True

    def __init__(self, folder: Path, cut: int | None = None, verbose: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.cut = cut
        """If set, responses with a large file end after this many bytes."""
        self.verbose = verbose
        self.requests: list[tuple[str, str, str | None]] = []
        """Method, path and `Range` of each request."""
        self.digest: str | None = None
        """If set, the claimed SHA-256 of large files instead of the true one."""
        self.sized = True
        """Whether responses with large files have a `Content-Length`."""
        self.status: int | None = None
        """If set, the status of every response."""

    @property
    def address(self) -> str:
        """The value for `HF_ENDPOINT`."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """Handles one request."""

    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def do_CONNECT(self) -> None:
        """Refuse the tunnel that a client requests from a proxy."""
        self.note()
        self.refuse(502)

    def note(self) -> str | None:
        """Record a request; return its `Range` header."""
        requested = self.headers.get("Range")
        self.server.requests.append((self.command, self.path, requested))
        if self.server.verbose:
            print(self.command, self.path, requested, flush=True)
        return requested

    def refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def answer(self, with_body: bool) -> None:
        requested = self.note()
        if self.server.status is not None:
            self.refuse(self.server.status)
            return
        # /{owner}/{name}/resolve/{revision}/{file} or /elsewhere/{file}
        parts = urlsplit(self.path).path.strip("/").split("/")
        path = self.server.folder / parts[-1]
        if not path.is_file() or (len(parts) != 5 and parts[0] != "elsewhere"):
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        if parts[0] == "elsewhere" or len(content) <= LARGE:
            self.send_file(content, requested, with_body)
            return
        self.send_response(302)
        self.send_header(
            "Location", f"http://localhost:{self.server.server_port}/elsewhere/{parts[-1]}"
        )
        digest = self.server.digest or hashlib.sha256(content).hexdigest()
        self.send_header("X-Linked-Etag", f'"{digest}"')
        self.send_header("X-Linked-Size", str(len(content)))
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_file(self, content: bytes, requested: str | None, with_body: bool) -> None:
        begin = int(requested.removeprefix("bytes=").partition("-")[0]) if requested else 0
        self.send_response(206 if begin else 200)
        if begin:
            end = len(content)
            self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{end}")
        if self.server.sized or len(content) <= LARGE:
            self.send_header("Content-Length", str(len(content) - begin))
        else:
            self.send_header("Connection", "close")
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if not with_body:
            return
        cut = self.server.cut if len(content) > LARGE else None
        rest = content[begin : None if cut is None else begin + cut]
        for start in range(0, len(rest), CHUNK):
            self.wfile.write(rest[start : start + CHUNK])
        if begin + len(rest) < len(content):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    """Serve until the process is terminated."""
    parser = argparse.ArgumentParser(
        prog="python -m weights.tests.hub_server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--cut", type=int, help="truncate large files after this many bytes")
    options = parser.parse_args()
    server = HubServer(options.folder, options.cut, verbose=True)
    print(server.address, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
