"""Gives nchan its ticks, over one kept connection; its own CPU is not counted."""

from __future__ import annotations

import http.client
import itertools
import time

from benchmarks.peers import common

publisher = http.client.HTTPConnection("127.0.0.1", common.PORT, timeout=10)
due = time.monotonic()
for seq in itertools.count(1):
    due, wait = common.pause(due, time.monotonic())
    time.sleep(wait)
    publisher.request("POST", "/publish", common.payload(seq), {"Content-Type": "text/plain"})
    publisher.getresponse().read()
