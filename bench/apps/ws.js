// The same as push.ru for ws, in node: port and address are its arguments. WebSocket only.
"use strict";

const http = require("node:http");
const { WebSocket, WebSocketServer } = require("ws");

// A string would be encoded anew for each socket.
const MESSAGE = Buffer.from("x".repeat(64));
const TEXT = { binary: false };
const subscribers = new Set();
const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });

const server = http.createServer((request, response) => {
  const count = Number(/\?count=(\d+)/.exec(request.url)?.[1] ?? 0);
  for (let i = 0; i < count; i++) {
    for (const socket of subscribers) {
      if (socket.readyState === WebSocket.OPEN) socket.send(MESSAGE, TEXT);
    }
  }
  response.end("Hello, world!\n");
});

server.on("upgrade", (request, socket, head) => {
  sockets.handleUpgrade(request, socket, head, (client) => {
    if (request.url === "/echo") {
      client.on("message", (data, binary) => client.send(data, { binary }));
    } else if (request.url === "/fanout") {
      subscribers.add(client);
      client.on("close", () => subscribers.delete(client));
    }
  });
});

process.on("SIGTERM", () => process.exit(0));
server.listen(Number(process.argv[2]), "127.0.0.1");
