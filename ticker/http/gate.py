"""The gate before plain HTTP: which requests go on to Hypercorn, and when.

A request costs a hundred times as much behind this gate as before it: h11 again, the tasks of
Hypercorn, Quart. So what is refused for its origin or the rate of its address is refused here.
What goes on does so one at a time in each pass of the loop, so that a pass stays short and a tick
punctual, however many ask at once and from wherever.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import attrs
import structlog
import trio

from ticker import limits
from ticker.addresses import limit_key
from ticker.http.forwarded import client_address, client_secure
from ticker.http.head import Head
from ticker.http.origin import origin_allowed, shared_with
from ticker.http.refusal import ORIGIN, Refusal, RefusedError, malformed
from ticker.metrics import Metrics
from ticker.rate_limit import Limiter, MakeLimiter, Rate, local_limiter

log = structlog.get_logger()

#: What an operator's tools ask, again and again: counted apart, so that neither they nor a page
#: beside them lock the other out.
_OPERATIONS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
#: What the page consists of. A browser asks for all of it at once, and some people behind one
#: address open the page together; a file that were refused would leave the page blank.
_PAGE_FILES: Final = (".css", ".html", ".js", ".json", ".svg")


NOT_FOUND: Final = Refusal(404, "not found", "not_found")
#: No resource has it: methods are told by case, and this is no tunnel (RFC 9110 §9.1, §9.3.6).
NOT_IMPLEMENTED: Final = Refusal(501, "method not implemented", "method", late=True)


class Gate:
    """Lets requests through, within the rate of their address."""

    def __init__(
        self,
        rate: Rate,
        metrics: Metrics,
        *,
        trusted_hops: int,
        allowed_origins: Sequence[str],
        make_limiter: MakeLimiter = local_limiter,
    ) -> None:
        """Make a gate.

        Args:
            rate: requests of one address in the long run, `limits.HTTP_BURST_TIMES` seconds'
                worth of which may come at once; of the page's files `limits.PAGE_FILES_TIMES`
                as many.
            metrics: where refusals are counted.
            trusted_hops: how many of the proxies nearest to us are trusted.
            allowed_origins: exact origins besides our own, or `*`.
            make_limiter: makes what counts the requests of each address.
        """
        times = limits.HTTP_BURST_TIMES
        burst = Rate(rate.count * times, rate.seconds * times)
        files = Rate(burst.count * limits.PAGE_FILES_TIMES, burst.seconds)
        self._requests = make_limiter("requests", burst)
        self._page_files = make_limiter("page files", files)
        self._operations = make_limiter("operations", burst)
        # A browser asks before a page of another origin may: that takes nothing of the page's own.
        self._preflights = make_limiter("preflights", burst)
        self._metrics = metrics
        self._hops = trusted_hops
        self._origins = allowed_origins
        self._turn = trio.Lock()

    async def admit(self, head: Head, peer: str, *, encrypted: bool) -> None:
        """Return once it is a request's turn.

        Args:
            head: the request.
            peer: the address at the other end of the connection.
            encrypted: whether the connection is.

        Raises:
            RefusedError: with what to answer; it is raised late where an address asks too often,
                so that asking again at once gains nothing.
        """
        try:
            await self._admit(head, peer, encrypted=encrypted)
        except RefusedError as error:
            raise RefusedError(self.readable(head, error.refusal)) from None

    def readable(self, head: Head, refusal: Refusal) -> Refusal:
        """Return a refusal as the page of another origin that may ask can read it."""
        shared = shared_with(head, self._origins)
        return attrs.evolve(refusal, headers={**refusal.headers, **shared}) if shared else refusal

    async def _admit(self, head: Head, peer: str, *, encrypted: bool) -> None:
        if head.method and head.root and not head.path:
            # Quart would find the page there.
            raise RefusedError(NOT_FOUND.to(head.method))
        if head.is_root:
            raise RefusedError(_moved(head).to(head.method))
        address = client_address(head, peer, self._hops)
        refusal = self._refusal(head, address, encrypted=encrypted)
        if refusal is not None:
            self._metrics.request_refused(refusal.reason)
            log.info("request_refused", reason=refusal.reason, address=address)
            await trio.sleep(limits.HTTP_REFUSED_SECONDS)
            raise RefusedError(refusal.to(head.method))
        if not head.method:
            self._metrics.request_refused("malformed")
            log.info("request_refused", reason="malformed", address=address)
            raise RefusedError(malformed(head.fault))
        async with self._turn:
            await trio.lowlevel.checkpoint()

    def _refusal(self, head: Head, address: str, *, encrypted: bool) -> Refusal | None:
        if self._foreign(head, encrypted=encrypted):
            # It counts against no address: any page can have its visitors' browsers send this.
            return ORIGIN
        wait = self._limiter(head).admit(limit_key(address), trio.current_time())
        if wait:
            return too_many_requests(wait)
        unknown = not head.method.isupper() or head.method == "CONNECT"
        return NOT_IMPLEMENTED if head.method and unknown else None

    def _limiter(self, head: Head) -> Limiter:
        if head.method == "OPTIONS":
            return self._preflights
        if head.path in _OPERATIONS:
            return self._operations
        return self._page_files if head.path.endswith(_PAGE_FILES) else self._requests

    def _foreign(self, head: Head, *, encrypted: bool) -> bool:
        """Whether a page asks that may not.

        Browsers name the page in `Origin`; where they do not, as for an image, they say at least
        that it is another site's (Fetch Metadata, W3C). A person who follows a link is welcome.
        """
        secure = client_secure(head, encrypted=encrypted, trusted_hops=self._hops)
        if not origin_allowed(head, self._origins, secure=secure):
            return True
        if self._origins or head.first(b"origin") is not None:
            return False
        site, mode = head.first(b"sec-fetch-site"), head.first(b"sec-fetch-mode")
        return site in {"cross-site", "same-site"} and mode != "navigate"


def _moved(head: Head) -> Refusal:
    """Send to where the page's relative addresses lead to its files (RFC 9110 §15.4.9)."""
    location = f"{head.root}/" + (f"?{head.query}" if head.query else "")
    return Refusal(308, "moved", "moved", {"location": location})


def too_many_requests(wait: float) -> Refusal:
    """Refuse an address that asks too often; it may ask again in `wait` seconds."""
    return Refusal(429, "too many requests", "rate", {"retry-after": str(math.ceil(wait))})
