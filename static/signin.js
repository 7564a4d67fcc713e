/** The sign-in form: from an API key to a grant, with words that help for every refusal. */

import { exchange } from "./client.js";
import { duration } from "./format.js";

const $ = (id) => document.getElementById(id);

/** What to tell about a TickerError: what happened, and what to do. */
export function explain(error) {
  const wait = error.retryAfterMs ? ` in ${duration(error.retryAfterMs / 1000)}` : " in a minute";
  const words = {
    key_required: "Enter your API key.",
    key_refused:
      "This key is unknown, revoked or expired. Check that all of it was pasted, or ask for a new one.",
    key_too_long: "This is too long to be an API key. Paste the key alone; it begins with tk_.",
    too_many: `Too many tries from your address. Try again${wait}.`,
    unavailable: `The server cannot check keys at the moment: its database is unavailable. Try again${wait}.`,
    unreachable: "The server cannot be reached. Check your connection, then try again.",
    forbidden: "Your account may not see prices. Ask its administrator for the right to connect.",
    signed_out: "Your session has ended: the key or its token was revoked or has expired. Sign in again.",
    misbehaved: "The server closed the stream because this page sent too much. Reload the page.",
  };
  return words[error.kind] ?? `Something unexpected happened (${error.message}). Try again.`;
}

/** Wire the form; `onGrant(apiKey, grant)` is called for each success. */
export function createSignIn(onGrant) {
  const input = $("key");
  const tell = (text) => {
    $("signin-error").textContent = text;
    input.setAttribute("aria-invalid", String(text !== ""));
  };

  const conceal = (hidden) => {
    input.type = hidden ? "password" : "text";
    $("show-key").setAttribute("aria-pressed", String(!hidden));
    $("show-key").textContent = hidden ? "Show" : "Hide";
  };

  async function signIn(apiKey) {
    $("signin-button").disabled = $("demo").disabled = true;
    tell("");
    try {
      const grant = await exchange(apiKey);
      input.value = "";
      conceal(true);
      onGrant(apiKey, grant);
    } catch (error) {
      tell(explain(error));
      input.focus();
    } finally {
      $("signin-button").disabled = $("demo").disabled = false;
    }
  }

  /** A development server on this machine offers its demo key; every other answers 404. */
  async function offerDemo() {
    const response = await fetch("/auth/demo", { cache: "no-store" }).catch(() => null);
    const { api_key: demo } = response?.ok ? await response.json() : {};
    $("demo").hidden = !demo;
    $("demo").onclick = () => signIn(demo);
  }

  $("signin-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const apiKey = input.value.trim();
    if (apiKey) signIn(apiKey);
    else {
      tell(explain({ kind: "key_required" }));
      input.focus();
    }
  });
  $("show-key").addEventListener("click", () => conceal(input.type === "text"));

  return {
    show(reason = "") {
      $("signin").hidden = false;
      tell(reason);
      input.focus();
      offerDemo();
    },
    hide() {
      $("signin").hidden = true;
    },
  };
}
