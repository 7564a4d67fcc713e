// What the JavaScript peers share: settings, the token check, the tick. See common.py.
"use strict";
const crypto = require("node:crypto");

const port = Number(process.env.BENCH_PORT);
const tickMs = 1000 / Number(process.env.BENCH_RATE);
const issued = new Set(process.env.BENCH_TOKEN_IDS.split(","));
const key = process.env.BENCH_TOKEN_KEY;

function good(authorization) {
  const match = /^bearer ([\w-]{43})\.([\w-]{43})$/i.exec(authorization ?? "");
  if (!match) return false;
  const nonce = Buffer.from(match[1], "base64url");
  const signed = crypto.createHmac("sha256", key).update(nonce).digest();
  if (!crypto.timingSafeEqual(signed, Buffer.from(match[2], "base64url"))) return false;
  return issued.has(crypto.createHash("sha256").update(nonce).digest("hex").slice(0, 32));
}

function payload(seq) {
  const now = Date.now();
  const entries = ["BTC-USD", "ETH-USD", "SOL-USD"].map((symbol, i) => {
    const cents = String((seq + i) % 100).padStart(2, "0");
    return `{"symbol":"${symbol}","price":${Math.floor(42000 / (i + 1))}.${cents},"timestamp":${Math.floor(now / 1000)}}`;
  });
  return `{"type":"ticker","data":[${entries}],"seq":${seq},"time":${now}}`;
}

// Timers of both runtimes count whole milliseconds: what they miss is caught up by the schedule.
function everyTick(send) {
  let seq = 0;
  let due = performance.now();
  const next = () => {
    send(payload(++seq));
    due += tickMs;
    const late = performance.now() - due;
    if (late >= tickMs) due += Math.floor(late / tickMs) * tickMs;
    setTimeout(next, Math.max(0, due - performance.now()));
  };
  next();
}

module.exports = { port, good, everyTick };
