"""Files that are served as they are: kept in memory, whole or in part (RFC 9110 §13 and §14).

Quart would open a file for each request, in threads. These are a few hundred kilobytes, and a
request costs a look at the file's time of change.
"""

from __future__ import annotations

import mimetypes
import re
import stat
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Final

import attrs
from quart import Request, Response
from werkzeug.security import safe_join

from ticker.web.negotiation import has_strong_tag, has_tag
from ticker.web.responses import error

#: One range of bytes; anything else asks for the whole file.
_RANGE: Final = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)", re.ASCII | re.IGNORECASE)
#: A place of more digits than this is beyond the end of any file.
_PLACE_DIGITS: Final = 18
_TYPES: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".webmanifest": "application/manifest+json",
}


@attrs.frozen
class StaticFile:
    """One file as it was last read.

    Attributes:
        content: all of it.
        etag: a strong validator, without quotes.
        modified: when it was changed, in whole seconds.
        content_type: with the charset where it is text.
        version: tells whether the file on the disk is still this one.
    """

    content: bytes = attrs.field(repr=False)
    etag: str
    modified: datetime
    content_type: str
    version: tuple[int, int, int]

    def replaced(self, old: bytes, new: bytes) -> StaticFile:
        """Return the file with other bytes in place of some."""
        content = self.content.replace(old, new)
        return attrs.evolve(self, content=content, etag=_etag(content))


class StaticFiles:
    """The files beneath one directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        # Bounded by the files that there are.
        self._read: dict[str, StaticFile] = {}

    def find(self, name: str) -> StaticFile | None:
        """Return a file, read anew where it has changed; None where there is none of that name."""
        path = safe_join(self._directory, name)
        try:
            if path is None:
                return None
            found = Path(path).stat()
            if not stat.S_ISREG(found.st_mode):
                return None
            version = (found.st_ino, found.st_mtime_ns, found.st_size)
            known = self._read.get(path)
            if known is None or known.version != version:
                known = self._read[path] = _read(Path(path), version)
        except (OSError, ValueError):
            return None
        return known


def respond(request: Request, file: StaticFile) -> Response:
    """Answer a request for a file: the whole, a part, or that the client has it already.

    Conditions are looked at in the order of RFC 9110 §13.2.2.
    """
    if _is_another(request, file):
        response = error(412, "the file is not the one that was asked for")
    elif _unchanged(request, file):
        response = Response(b"", 304)
        del response.headers["Content-Type"], response.headers["Content-Length"]
    else:
        response = _whole_or_part(request, file)
    response.headers["ETag"] = f'"{file.etag}"'
    response.last_modified = file.modified
    response.headers["Accept-Ranges"] = "bytes"
    return response


def _whole_or_part(request: Request, file: StaticFile) -> Response:
    size = len(file.content)
    asked = _asked_range(request, file)
    if asked is None:
        return Response(file.content, content_type=file.content_type)
    start, end = asked
    if start >= end:
        response = error(416, "the range begins beyond the end of the file")
        response.headers["Content-Range"] = f"bytes */{size}"
        return response
    response = Response(file.content[start:end], 206, content_type=file.content_type)
    response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return response


def _is_another(request: Request, file: StaticFile) -> bool:
    """Whether the client asks for a version of the file that this is not."""
    if "If-Match" in request.headers:
        return not has_strong_tag(request.headers.getlist("If-Match"), file.etag)
    until = request.if_unmodified_since
    return until is not None and file.modified > until


def _unchanged(request: Request, file: StaticFile) -> bool:
    """Whether the client's copy is this one."""
    if "If-None-Match" in request.headers:
        return has_tag(request.headers.getlist("If-None-Match"), file.etag)
    since = request.if_modified_since
    return since is not None and file.modified <= since


def _asked_range(request: Request, file: StaticFile) -> tuple[int, int] | None:
    """Return from where to before where a request asks, nothing where that is beyond the end.

    None where it asks for the whole file: without a range, with several, with one that cannot be
    read, or where it has a part of another version of the file (RFC 9110 §13.1.5).
    """
    values = request.headers.getlist("Range")
    match = _RANGE.fullmatch(values[0].strip()) if len(values) == 1 else None
    if match is None or request.method != "GET":
        return None
    condition = request.headers.get("If-Range", f'"{file.etag}"')
    if condition != f'"{file.etag}"' and condition != _http_date(file.modified):
        return None
    first, last = match.groups()
    size = len(file.content)
    if not first:
        return (max(0, size - _place(last)), size) if last else None
    if last and _place(last) < _place(first):
        return None
    return _place(first), min(_place(last) + 1, size) if last else size


def _place(digits: str) -> int:
    """Return a place in a file; of one that is far beyond any end, some such place."""
    digits = digits.lstrip("0")[: _PLACE_DIGITS + 1]
    return int(digits or "0")


def _http_date(moment: datetime) -> str:
    return moment.strftime("%a, %d %b %Y %H:%M:%S GMT")


def _read(path: Path, version: tuple[int, int, int]) -> StaticFile:
    content = path.read_bytes()
    guessed = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return StaticFile(
        content=content,
        etag=_etag(content),
        modified=datetime.fromtimestamp(version[1] // 10**9, UTC),
        content_type=_TYPES.get(path.suffix, guessed),
        version=version,
    )


def _etag(content: bytes) -> str:
    return blake2b(content, digest_size=16).hexdigest()
