"""`GET /stream`: the stream for clients without WebSocket, such as `curl -N` and `EventSource`."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final, cast

from quart import Blueprint, Response, request

from ticker.encodings.lines import NDJSON, SSE
from ticker.http.refusal import RefusedError
from ticker.protocol.paths import HTTP_STREAM_PATH
from ticker.web.responses import address, refuse, request_head, running

#: Where the application keeps what a request holds until all of its response is sent.
HELD: Final = "ticker.held"
SERVER_SENT_EVENTS: Final = "text/event-stream"

blueprint = Blueprint("stream", __name__)


@blueprint.get(HTTP_STREAM_PATH)
async def stream() -> Response:
    """Answer with messages until the client leaves, or the server ends the stream."""
    service = running()
    # Named, not merely covered by `*/*`, and not refused by a quality of 0 (RFC 9110 §12.5.1).
    accepted = {name.lower(): quality for name, quality in request.accept_mimetypes}
    events = accepted.get(SERVER_SENT_EVENTS, 0) > 0
    streams = service.router.streams
    try:
        admitted = await streams.admit_http(request_head(), address())
    except RefusedError as refused:
        return refuse(refused.refusal)
    content_type = SERVER_SENT_EVENTS if events else "application/x-ndjson"
    if request.method == "HEAD":
        response = Response(b"", content_type=content_type)
    else:
        held = cast("ExitStack", request.scope[HELD])  # type: ignore[typeddict-item]  # it is ours
        encoding = SSE if events else NDJSON
        body = held.enter_context(streams.open_http(admitted, encoding, service.engine.nursery))
        response = Response(body, content_type=content_type)
        response.timeout = None
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response
