"""How messages become bytes: formats (JSON, ...) and framings (WebSocket, ...). Pure."""
