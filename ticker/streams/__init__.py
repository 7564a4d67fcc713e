"""One subscriber's stream: handshake, admission, session, delivery."""
