"""Bytes to sockets: whole frames on one connection, and one frame to many connections."""
