"""One market in many workers and machines: shared limits, the relay, the bus, the election."""
