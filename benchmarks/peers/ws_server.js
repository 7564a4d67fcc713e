// Peer: `ws` on Node.
"use strict";
const http = require("node:http");
const { WebSocketServer } = require("ws");
const { port, good, everyTick } = require("./common.js");

const server = http.createServer((_request, response) => response.writeHead(404).end());
const wss = new WebSocketServer({ noServer: true, perMessageDeflate: false });

server.on("upgrade", (request, socket, head) => {
  if (!good(request.headers.authorization)) {
    socket.end("HTTP/1.1 401 Unauthorized\r\nConnection: close\r\n\r\n");
    return;
  }
  wss.handleUpgrade(request, socket, head, (ws) => ws.on("error", () => {}));
});

server.listen({ port, host: "127.0.0.1", backlog: 4096 }, () => {
  everyTick((text) => {
    const data = Buffer.from(text);
    for (const ws of wss.clients) ws.send(data, { binary: false });
  });
});
