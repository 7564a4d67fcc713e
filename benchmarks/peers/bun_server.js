// Peer: Bun, whose WebSocket server is uWebSockets; its own publish to a topic.
"use strict";
const { port, good, everyTick } = require("./common.js");

const server = Bun.serve({
  port,
  hostname: "127.0.0.1",
  fetch(request, server) {
    if (!good(request.headers.get("authorization"))) return new Response("invalid token", { status: 401 });
    if (server.upgrade(request)) return undefined;
    return new Response("websocket upgrade required", { status: 426 });
  },
  websocket: {
    perMessageDeflate: false,
    open: (ws) => ws.subscribe("ticks"),
    message: () => {},
  },
});

everyTick((text) => server.publish("ticks", text));
