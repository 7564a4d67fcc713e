"""The page: static files, and `index.html` for every path that names no file."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Final

from quart import Blueprint, Response, request
from werkzeug.routing import PathConverter

from ticker.web.responses import error
from ticker.web.static_files import StaticFiles, respond

blueprint = Blueprint("pages", __name__)

_INDEX: Final = "index.html"


class PagePath(PathConverter):
    """Any path but the token's, whose other methods would be taken for the page's otherwise."""

    regex = rf"(?!auth/token\Z){PathConverter.regex}"


def static_directory() -> Path:
    """Return where the static files are: inside the installed package, else in the checkout."""
    package = Path(str(files("ticker")))
    packaged = package / "static"
    return packaged if packaged.is_dir() else package.parent / "static"


_files: Final = StaticFiles(static_directory())


@blueprint.get("/")
@blueprint.get("/<page:path>")
async def page(path: str = _INDEX) -> Response:
    """Send a static file; a path without a suffix is a place within the page."""
    name = path if PurePosixPath(path).suffix else _INDEX
    file = _files.find(name)
    if file is None:
        return error(404, "not found")
    depth = path.count("/") if name == _INDEX else 0
    if depth:  # the page's addresses are relative, so that it can live below any path
        file = file.replaced(b'"./', b'"' + b"../" * depth)
    response = respond(request, file)
    # Asked about every time and answered 304 while it is the same: a new version shows at once.
    response.headers["Cache-Control"] = "no-cache"
    return response
