/** Alerts, kept in this browser; of several tabs one judges, and all show. */

import { $, make, write } from "./dom.js";
import { decimalsOf, price } from "./format.js";
import { load, onSaved, save } from "./prefs.js";
import { attempt } from "./session.js";
import { market } from "./store.js";

const NAME = "ticker alerts";
const MOST = 100;
const SOUND_SECONDS = 0.3;
const SOUNDS_EVERY_MS = 1000;

/** The prices at which each kind comes true: `[below, above]`. */
const KINDS = {
	above: ({ value }) => [-Infinity, value],
	below: ({ value }) => [value, Infinity],
	moved({ value, minutes }, series) {
		const [low, high] = series.extremes(minutes);
		return [high * (1 - value / 100), low * (1 + value / 100)];
	},
};

/** What was kept may be of another version, or damaged. */
const kept = () =>
	[load(NAME)].flat().filter((alert) => Object.hasOwn(KINDS, alert?.kind) && alert.symbol && Number.isFinite(alert.value));

export const on = { change() {}, open() {} };
let alerts = kept();
let judging = !navigator.locks;
let audio;
let soundedAt = 0;

const seriesOf = ({ symbol }) => market.series.get(symbol);
const levels = (alert, series) => KINDS[alert.kind](alert, series);
const exact = (alert) => price(alert.value, Math.max(seriesOf(alert)?.decimals ?? 0, decimalsOf(alert.value)));
const says = (alert) => (alert.kind === "moved" ? `moved ${alert.value} % in ${alert.minutes} min` : `${alert.kind} ${exact(alert)}`);
const words = (alert) => `${alert.symbol} ${says(alert)}`;
const unseen = () => alerts.filter((alert) => alert.unseen).map(words);

function isMet(alert, series) {
	const [below, above] = levels(alert, series);
	return series.price <= below || series.price >= above;
}

function keep(changed) {
	alerts = changed;
	save(NAME, alerts);
	draw();
}

export function draw() {
	$("alerted").hidden = !unseen().length;
	write($("alerted-text"), unseen().join("; "));
	const items = alerts.map((alert) => {
		const remove = make("button", { ariaLabel: `Delete ${words(alert)}` }, "Delete");
		remove.onclick = () => {
			keep(alerts.filter(({ id }) => id !== alert.id));
			$("alert-value").focus();
		};
		return make("li", {}, words(alert), remove);
	});
	$("alert-list").replaceChildren(...items);
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
	const options = { body: seriesOf(alert).text(), tag: alert.id, icon: "./icon.svg" };
	const note = attempt(() => new Notification(words(alert), options)) ?? {}; // some phones show none
	note.onclick = () => {
		window.focus();
		on.open(alert.symbol);
	};
}

/** Look which have come true, for one symbol or all; old prices tell nothing. */
export function judge(only) {
	if (!judging) return;
	const crossed = [];
	const next = alerts.map((alert) => {
		const series = seriesOf(alert);
		if ((only && alert.symbol !== only) || !series?.price || !series.live) return alert;
		const met = isMet(alert, series);
		if (met === alert.met) return alert;
		const changed = { ...alert, met };
		if (met) crossed.push(Object.assign(changed, { unseen: true }));
		return changed;
	});
	if (next.every((alert, at) => alert === alerts[at])) return;
	keep(next);
	crossed.forEach(tell);
}

export const symbols = () => alerts.map(({ symbol }) => symbol);

export const note = () => unseen().map((text) => `🔔 ${text}`)[0];

export const lines = (series) =>
	alerts
		.filter(({ symbol }) => symbol === series.symbol)
		.flatMap((alert) => levels(alert, series).map((price) => ({ price, title: says(alert) })))
		.filter(({ price }) => Number.isFinite(price));

function prepare(anew) {
	const { charted } = market;
	const moved = $("alert-kind").value === "moved";
	$("alert-minutes").parentNode.hidden = !moved;
	const unit = moved ? "%" : "";
	// Another kind in the same unit leaves what was typed.
	if (anew || $("alert-unit").textContent !== unit) $("alert-value").value = moved ? 1 : charted.price;
	write($("alert-unit"), unit);
	write($("alert-symbol"), `${charted.symbol}, now ${charted.text()}`);
}

$("alert-open").onclick = () => {
	if (!market.charted?.price) return;
	prepare(true);
	draw(); // by the decimals that are known by now
	$("alerts").showModal();
};
$("alert-kind").onchange = () => prepare();
$("alert-form").onsubmit = (event) => {
	event.preventDefault();
	const [value, minutes] = ["alert-value", "alert-minutes"].map((id) => $(id).valueAsNumber);
	const { charted } = market;
	// Both may only be asked for by a hand.
	audio ??= new AudioContext();
	globalThis.Notification?.requestPermission();
	const alert = { id: Date.now(), symbol: charted.symbol, kind: $("alert-kind").value, value, minutes };
	keep([...alerts, { ...alert, met: isMet(alert, charted) }].slice(-MOST));
};
$("alerted-ok").onclick = () => keep(alerts.map((alert) => ({ ...alert, unseen: false })));
onSaved(NAME, () => {
	alerts = kept();
	draw();
});
navigator.locks
	?.request(`${NAME} ${new URL("./", import.meta.url)}`, () => {
		judging = true;
		return new Promise(() => {}); // until this tab is closed
	})
	.catch(() => (judging = true)); // where storage is forbidden
