"""From an accepted socket to a subscriber: Hypercorn's seam, the handshake, the session."""
