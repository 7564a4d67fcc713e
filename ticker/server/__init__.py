"""From a listening socket to a routed connection, in the place of Hypercorn's worker."""
