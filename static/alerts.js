/**
 * Alerts: a price that rises above a value, falls below it, or moves by so many per cent within so
 * many minutes. Each is told once per crossing, when its condition comes true. They are kept in
 * this browser; of several tabs one judges, and all show.
 */

import { $, write } from "./dom.js";
import { load, save } from "./prefs.js";

const NAME = "ticker alerts";
const MOST = 100;
const SOUND_MS = 300;
const SOUNDS_EVERY_MS = 1000;

/** What each kind is called, and the prices at which it comes true: `[below, above]`. */
const KINDS = {
	above: { says: ({ value }, series) => `above ${series.write(value)}`, levels: ({ value }) => [-Infinity, value] },
	below: { says: ({ value }, series) => `below ${series.write(value)}`, levels: ({ value }) => [value, Infinity] },
	moved: {
		says: ({ value, minutes }) => `moved ${value} % in ${minutes} min`,
		levels: ({ value, minutes }, series) => {
			const [low, high] = series.extremes(minutes);
			return [high * (1 - value / 100), low * (1 + value / 100)];
		},
	},
};

/** `shown()` gives the market and the charted series; `on` is told of changes, and of a click. */
export function createAlerts(shown, on) {
	let alerts = load(NAME) ?? [];
	let judging = !navigator.locks; // which only pages of a safe origin have
	let audio = null;
	let soundedAt = 0;

	const seriesOf = ({ symbol }) => shown().market.series.get(symbol);
	const words = (alert) => `${alert.symbol} ${KINDS[alert.kind].says(alert, seriesOf(alert) ?? { write: String })}`;

	function isMet(alert, series) {
		const [below, above] = KINDS[alert.kind].levels(alert, series);
		return series.price <= below || series.price >= above;
	}

	function keep(changed) {
		alerts = changed;
		save(NAME, alerts);
		draw();
	}

	/** What a change of the alerts shows: the banner, the list, the lines. */
	function draw() {
		const told = alerts.filter(({ unseen }) => unseen);
		$("alerted").hidden = !told.length;
		write($("alerted-text"), told.map(words).join("; "));
		$("alert-list").replaceChildren(
			...alerts.map((alert) => {
				const item = document.createElement("li");
				const remove = Object.assign(document.createElement("button"), { type: "button", textContent: "Delete" });
				remove.ariaLabel = `Delete ${words(alert)}`;
				remove.onclick = () => {
					keep(alerts.filter(({ id }) => id !== alert.id));
					$("alert-value").focus();
				};
				item.append(words(alert), remove);
				return item;
			}),
		);
		on.change();
	}

	function sound() {
		if (Date.now() - soundedAt < SOUNDS_EVERY_MS) return;
		soundedAt = Date.now();
		audio ??= new AudioContext();
		const [tone, volume] = [audio.createOscillator(), audio.createGain()];
		volume.gain.value = 0.2;
		tone.frequency.value = 880;
		tone.connect(volume).connect(audio.destination);
		tone.start();
		tone.stop(audio.currentTime + SOUND_MS / 1000);
	}

	function tell(alert) {
		sound();
		try {
			const note = new Notification(words(alert), { body: seriesOf(alert).text(), tag: alert.id, icon: "./icon.svg" });
			note.onclick = () => {
				window.focus();
				on.open(alert.symbol);
			};
		} catch {
			// Some phones show none; the banner, the title and the sound are there all the same.
		}
	}

	function prepare() {
		const { charted } = shown();
		const moved = $("alert-kind").value === "moved";
		$("alert-minutes").parentNode.hidden = !moved;
		write($("alert-unit"), moved ? "%" : "");
		$("alert-value").value = moved ? 1 : charted.price;
		write($("alert-symbol"), `${charted.symbol}, now ${charted.text()}`);
	}

	$("alert-open").onclick = () => {
		prepare();
		$("alerts").showModal();
	};
	$("alert-kind").onchange = prepare;
	$("alert-form").onsubmit = (event) => {
		event.preventDefault();
		const [value, minutes] = ["alert-value", "alert-minutes"].map((id) => $(id).valueAsNumber);
		const { charted } = shown();
		// Both may only be asked for by a hand.
		audio ??= new AudioContext();
		globalThis.Notification?.requestPermission();
		const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
		const alert = { id, symbol: charted.symbol, kind: $("alert-kind").value, value, minutes };
		keep([...alerts, { ...alert, met: isMet(alert, charted) }].slice(-MOST));
	};
	$("alert-close").onclick = () => $("alerts").close();
	$("alerted-ok").onclick = () => keep(alerts.map((alert) => ({ ...alert, unseen: false })));
	addEventListener("storage", ({ key }) => {
		if (key !== NAME) return;
		alerts = load(NAME) ?? [];
		draw();
	});
	navigator.locks?.request(`${NAME} ${new URL("./", import.meta.url)}`, () => {
		alerts = load(NAME) ?? alerts;
		judging = true;
		return new Promise(() => {}); // until this tab is closed
	});

	return {
		draw,
		symbols: () => alerts.map(({ symbol }) => symbol),

		/** What to say in the title. */
		note: () => alerts.filter(({ unseen }) => unseen).map((alert) => `🔔 ${words(alert)}`)[0] ?? "",

		/** Where the charted symbol's alerts come true, as `{price, title}`. */
		lines: (series) =>
			alerts
				.filter(({ symbol }) => symbol === series.symbol)
				.flatMap((alert) => KINDS[alert.kind].levels(alert, series).map((price) => ({ price, title: KINDS[alert.kind].says(alert, series) })))
				.filter(({ price }) => Number.isFinite(price)),

		/** Look which have come true, for one symbol or all; old prices tell nothing. */
		judge(only) {
			if (!judging) return;
			const crossed = [];
			const next = alerts.map((alert) => {
				const series = seriesOf(alert);
				if ((only && alert.symbol !== only) || !series?.price || on.stale(alert.symbol)) return alert;
				const met = isMet(alert, series);
				if (met === alert.met) return alert;
				const changed = { ...alert, met };
				if (met) crossed.push(Object.assign(changed, { unseen: true }));
				return changed;
			});
			if (next.every((alert, at) => alert === alerts[at])) return;
			keep(next);
			crossed.forEach(tell);
		},
	};
}
