"""The task that renews a connection's token ahead of time."""

from __future__ import annotations

import itertools
from typing import NoReturn

import trio

from ticker.client.backoff import pause_before
from ticker.client.credentials import Credentials
from ticker.client.disconnects import Retry, StaleToken
from ticker.client.errors import RequestError
from ticker.client.messages import Authenticated
from ticker.client.pending_requests import PendingRequests
from ticker.client.requests import Authenticate
from ticker.client.statistics import ClientStatistics


async def renew_ahead(
    credentials: Credentials, requests: PendingRequests, counts: ClientStatistics
) -> NoReturn:
    """Renew the token ahead of time, for as long as the connection lasts.

    Raises:
        StaleToken: the server refused the renewed token.
    """
    while True:
        await credentials.until_due()
        for attempt in itertools.count():
            try:
                token = await credentials.renew()
                await requests.ask(Authenticate(token=token), Authenticated)
            except Retry as retry:
                fault = retry
            except RequestError as error:
                if error.code == "invalid_token":
                    raise StaleToken(f"the server refused the renewed token: {error}") from None
                fault = Retry(str(error))
            else:
                counts.renewals += 1
                break
            # The old token is good for a while yet.
            counts.last_fault = f"the token was not renewed: {fault}"
            await trio.sleep(pause_before(attempt, fault.after_seconds))
