"""`GET /stream`: the stream for clients without WebSocket, such as `curl -N` and `EventSource`."""

from __future__ import annotations

from collections.abc import Iterable
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
LINES: Final = "application/x-ndjson"

blueprint = Blueprint("stream", __name__)


def prefers_events(accepted: Iterable[tuple[str, float]]) -> bool:
    """Say whether a client would rather have server-sent events than lines (RFC 9110 §12.5.1).

    It has to have named the events, since lines are for who says nothing.

    Args:
        accepted: media ranges, maybe with parameters, and their qualities, of `Accept`.
    """
    given: dict[str, float] = {}
    for media_range, quality in accepted:
        name = media_range.partition(";")[0].strip().lower()
        given[name] = max(quality, given.get(name, 0.0))
    lines = next((given[name] for name in (LINES, "application/*", "*/*") if name in given), 0.0)
    events = given.get(SERVER_SENT_EVENTS, 0.0)
    return events > 0 and events >= lines


@blueprint.get(HTTP_STREAM_PATH)
async def stream() -> Response:
    """Answer with messages until the client leaves, or the server ends the stream."""
    service = running()
    events = prefers_events(request.accept_mimetypes)
    streams = service.router.streams
    try:
        admitted = await streams.admit_http(request_head(), address())
    except RefusedError as refused:
        return refuse(refused.refusal)
    content_type = SERVER_SENT_EVENTS if events else LINES
    if request.method == "HEAD":
        response = Response(b"", content_type=content_type)
        del response.headers["Content-Length"]  # GET's answer has none (RFC 9110 §8.6)
    else:
        held = cast("ExitStack", request.scope[HELD])  # type: ignore[typeddict-item]  # it is ours
        encoding = SSE if events else NDJSON
        body = held.enter_context(streams.open_http(admitted, encoding, service.engine.nursery))
        response = Response(body, content_type=content_type)
        response.timeout = None
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Accel-Buffering"] = "no"
    return response
