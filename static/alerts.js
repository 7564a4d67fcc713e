/**
 * Alerts: a price that rises above a value, falls below it, or moves by so many per cent within so
 * many minutes. Each is told once per crossing, when its condition comes true. They are kept in
 * this browser; of several tabs one judges, and all show.
 */

import { $, write } from "./dom.js";
import { load, save } from "./prefs.js";

const NAME = "ticker alerts";
const MOST = 100;
const SOUND_SECONDS = 0.3;
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

/** What was kept and can be read: it may be of another version, or damaged. */
const kept = () => [load(NAME)].flat().filter((alert) => KINDS[alert?.kind] && alert.symbol && Number.isFinite(alert.value));

/** `on` is told of changes, and of a click on a notification. */
export function createAlerts(market, on) {
	let alerts = kept();
	let judging = !navigator.locks; // which only pages of a safe origin have
	let audio = null;
	let soundedAt = 0;

	const seriesOf = ({ symbol }) => market.series.get(symbol);
	const words = (alert) => `${alert.symbol} ${KINDS[alert.kind].says(alert, seriesOf(alert) ?? { write: String })}`;
	const unseen = () => alerts.filter((alert) => alert.unseen).map(words);

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
		$("alerted").hidden = !unseen().length;
		write($("alerted-text"), unseen().join("; "));
		$("alert-list").replaceChildren(
			...alerts.map((alert) => {
				const item = document.createElement("li");
				const remove = Object.assign(document.createElement("button"), { textContent: "Delete", ariaLabel: `Delete ${words(alert)}` });
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
		const [tone, volume] = [new OscillatorNode(audio, { frequency: 880 }), new GainNode(audio, { gain: 0.2 })];
		tone.connect(volume).connect(audio.destination);
		tone.start();
		tone.stop(audio.currentTime + SOUND_SECONDS);
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
		const { charted } = market;
		const moved = $("alert-kind").value === "moved";
		$("alert-minutes").parentNode.hidden = !moved;
		write($("alert-unit"), moved ? "%" : "");
		$("alert-value").value = moved ? 1 : charted.price;
		write($("alert-symbol"), `${charted.symbol}, now ${charted.text()}`);
	}

	$("alert-open").onclick = () => {
		if (!market.charted?.price) return;
		prepare();
		$("alerts").showModal();
	};
	$("alert-kind").onchange = prepare;
	$("alert-form").onsubmit = (event) => {
		event.preventDefault();
		const [value, minutes] = ["alert-value", "alert-minutes"].map((id) => $(id).valueAsNumber);
		const { charted } = market;
		// Both may only be asked for by a hand.
		audio ??= new AudioContext();
		globalThis.Notification?.requestPermission();
		const id = crypto.getRandomValues(new Uint32Array(2)).join("-");
		const alert = { id, symbol: charted.symbol, kind: $("alert-kind").value, value, minutes };
		keep([...alerts, { ...alert, met: isMet(alert, charted) }].slice(-MOST));
	};
	$("alerted-ok").onclick = () => keep(alerts.map((alert) => ({ ...alert, unseen: false })));
	addEventListener("storage", ({ key }) => {
		if (key !== NAME) return;
		alerts = kept();
		draw();
	});
	navigator.locks?.request(`${NAME} ${new URL("./", import.meta.url)}`, () => {
		judging = true;
		return new Promise(() => {}); // until this tab is closed
	});

	return {
		draw,
		symbols: () => alerts.map(({ symbol }) => symbol),

		/** What to say in the title. */
		note: () => unseen().map((text) => `🔔 ${text}`)[0],

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
				if ((only && alert.symbol !== only) || !series?.price || series.stale) return alert;
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
