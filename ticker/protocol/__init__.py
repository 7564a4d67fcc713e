"""What server and clients share: messages, close codes, paths. Pure."""
