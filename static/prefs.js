/**
 * What is remembered, and where. Tastes outlive the tab (localStorage); the API key ends with
 * it (sessionStorage); the token is never stored. A browser that forbids storage only forgets.
 */

const NAME = "ticker";
const KEY = "ticker.key";

const attempt = (action) => {
  try {
    return action();
  } catch {
    return null;
  }
};

/** Sort order, chosen symbols (null: all), charted symbol and its range in seconds. */
export const prefs = {
  sort: "symbol",
  descending: false,
  chosen: null,
  symbol: null,
  range: 300,
  ...attempt(() => JSON.parse(localStorage.getItem(NAME))),
};

export function remember(changes) {
  Object.assign(prefs, changes);
  attempt(() => localStorage.setItem(NAME, JSON.stringify(prefs)));
}

export const key = {
  get: () => attempt(() => sessionStorage.getItem(KEY)),
  set: (value) => attempt(() => sessionStorage.setItem(KEY, value)),
  forget: () => attempt(() => sessionStorage.removeItem(KEY)),
};
