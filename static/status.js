/**
 * The connection's state in words: the pill, the banner, the status line, the live region.
 *
 * The live region speaks at most once in ten seconds; the newest words win.
 */

import { clock, count, duration } from "./format.js";

const SPEAK_EVERY_MS = 10_000;
const PRICE_EVERY_MS = 30_000;

const $ = (id) => document.getElementById(id);

const REASONS = {
  restarting: "The server is restarting",
  unreachable: "The server cannot be reached",
  unavailable: "The server is not ready",
  too_many: "The server asks for fewer tries",
  silent: "The connection went silent",
  refused: "The server refuses the stream: it is full, or your account or this address is not allowed",
};

/** `{name, pill, banner}` for a client's state, the source's status and the last tick's age. */
export function describe({ state, status, quietMs, nowMs, online }) {
  if (state.name === "closed") return { name: "closed", pill: "Signed out" };
  if (state.name === "connecting") return { name: "connecting", pill: "Connecting…" };
  if (state.name === "waiting") {
    const seconds = Math.max(0, Math.ceil((state.retryAt - nowMs) / 1000));
    const restarting = state.reason === "restarting";
    const why = online ? (REASONS[state.reason] ?? "The connection was lost") : "You are offline";
    return {
      name: restarting ? "restarting" : "waiting",
      pill: restarting ? "Server restarting" : online ? "Reconnecting" : "Offline",
      banner: `${why}. Trying again in ${duration(seconds)}. Prices below are old.`,
      retry: true,
    };
  }
  if (status?.state === "stale") {
    const since = status.since ? ` since ${clock(toMs(status.since))}` : "";
    return {
      name: "stale",
      pill: "Stale",
      banner: `No prices from ${status.source ?? "the source"}${since}. Prices below are old.`,
    };
  }
  if (quietMs > 3_000) {
    return {
      name: "quiet",
      pill: "No updates",
      banner: `Connected, but no update for ${duration(quietMs / 1000)}.`,
    };
  }
  return { name: "live", pill: "Live" };
}

/** `since` in ms, from seconds or milliseconds since the epoch. */
const toMs = (since) => (since < 1e11 ? since * 1000 : since);

export function createStatus() {
  let spokenAt = 0;
  let pricedAt = 0;
  let waiting = 0;
  let words = "";
  let last = "";

  function say(text) {
    words = text;
    if (waiting) return;
    const wait = Math.max(0, spokenAt + SPEAK_EVERY_MS - Date.now());
    waiting = setTimeout(() => {
      waiting = 0;
      spokenAt = Date.now();
      $("announcer").textContent = words;
    }, wait);
  }

  return {
    show(view) {
      $("state").dataset.state = view.name;
      $("state-text").textContent = view.pill;
      $("banner").hidden = !view.banner;
      $("banner-text").textContent = view.banner ?? "";
      $("retry").hidden = !view.retry;
      document.body.dataset.state = view.name;
      if (last && view.name !== last && view.name !== "connecting") say(view.banner ?? view.pill);
      if (view.name !== "connecting") last = view.name;
    },

    /** Offer a price to be spoken; most offers are let go by. */
    offer(text) {
      if (Date.now() - pricedAt < PRICE_EVERY_MS || waiting) return;
      pricedAt = Date.now();
      say(text());
    },

    line(figures) {
      const parts = [
        ["delay", Number.isFinite(figures.delayMs) ? `${count(Math.round(figures.delayMs))} ms` : "–"],
        ["updates", `${count(figures.updates)}/s`],
        ["frames", `${count(figures.frames)}/s`],
        ["skipped", count(figures.skipped)],
        ["source", figures.source || "–"],
        ["user", figures.user || "–"],
      ];
      const line = $("line");
      if (!line.firstChild) {
        for (const [name] of parts) {
          const part = document.createElement("span");
          part.append(`${name} `, document.createElement("b"));
          line.append(part);
        }
      }
      parts.forEach(([, value], at) => {
        const cell = line.children[at].lastChild;
        if (cell.textContent !== value) cell.textContent = value;
      });
    },
  };
}
