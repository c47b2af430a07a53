// The element <batch-progress>: how far a batch has come. jobs.js defines it and lends it the socket of the page.

import { words } from "./job_facts.js";
import { countIn, fill, numberIn, takeWords } from "./page_language.js";

// As `words` of job_facts.js are.
export const batchWords = {};
takeWords("batch", batchWords);

const ENDED = /Completed|Failed|Canceled|gone/;
const FINAL = /Completed|Canceled|gone/;
const SILENT = 30_000; // how long a live room may be silent
const PARTS = `<span part=status tabindex=-1></span><span part=percent></span>
<progress part=bar max=100 role=progressbar aria-valuemin=0 aria-valuemax=100></progress>
<span part=message dir=auto></span>
<button part=retry type=button hidden></button><button part=cancel type=button hidden></button>
<span part=news role=status></span>`;

const elements = new Set();
const live = new Set(); // rooms
let page; // what jobs.js lends: the socket, the headers for REST, and what REST says of a refusal
let heard; // the socket that these elements listen to

const listed = (parts) => parts.reduce((list, item) => fill(batchWords.list, { list, item }));

// Returns the batch in words: its state, its percentage, its counts.
export function toldOfBatch({ state, total = 0, by_status: counts = {}, progress = 0, wish }) {
	const failed = (counts["Dead Letter"] ?? 0) + (counts.Failed ?? 0) + (counts["Timed Out"] ?? 0);
	const parts = [countIn(batchWords.done, total, { done: numberIn(counts.Completed ?? 0) })];
	if (failed) parts.push(countIn(batchWords.failed, failed));
	if (counts.Canceled) parts.push(countIn(batchWords.canceled, counts.Canceled));
	return {
		status: (!ENDED.test(state) && batchWords[wish]) || (batchWords[state] ?? ""),
		percent: fill(words.percent, { number: numberIn(progress) }),
		message: total ? listed(parts) : state === "Open" ? batchWords.empty : "",
		isAmiss: failed > 0,
	};
}

function listen(url) {
	const socket = page.socket(url);
	if (heard === socket) return socket;
	heard = socket;
	const on = (event, act) => socket.addEventListener(event, ({ detail }) => act(detail));
	const hear = ({ room, data }) => {
		for (const item of elements) if (item.room === room && data) item.show(data);
	};
	on("joined", (message) => {
		live.add(message.room);
		hear(message);
	});
	on("batch_progress", hear);
	for (const event of ["left", "error"]) on(event, ({ room }) => live.delete(room));
	on("close", () => live.clear());
	return socket;
}

export class BatchProgress extends (globalThis.HTMLElement ?? Object) {
	batch = {};
	news = "";
	trouble = "";
	quietUntil = 0;
	version = 0;

	connectedCallback() {
		const url = this.getAttribute("ws-url");
		this.batchId = this.getAttribute("batch-id");
		this.label = this.getAttribute("label") ?? this.batchId;
		this.api = this.getAttribute("api-url");
		this.room = `batch:${this.batchId}`;
		const twin = [...elements].find(({ room }) => room === this.room);
		if (!this.batch.state) this.batch = JSON.parse(this.getAttribute("batch")) ?? twin?.batch ?? {};
		this.heard = this.batch.state ? Date.now() : 0;
		if (!this.children.length) this.innerHTML = PARTS;
		for (const verb of ["cancel", "retry"]) this.querySelector(`[part=${verb}]`).onclick = () => this.ask(verb);
		elements.add(this);
		if (url && !FINAL.test(this.batch.state)) listen(url).join(this.room);
		this.draw();
	}

	disconnectedCallback() {
		elements.delete(this);
		const isLast = ![...elements].some(({ room }) => room === this.room);
		if (isLast) heard?.leave(this.room);
		live.delete(this.room);
	}

	show(data) {
		const { state, wish } = this.batch;
		this.heard = Date.now();
		this.trouble = "";
		this.version++;
		// A wish holds until the server has done it.
		this.batch = { ...data, wish: state === data.state ? wish : "" };
		if (state && state !== data.state && ENDED.test(data.state)) {
			const { status, message: counts } = toldOfBatch(data);
			this.news = fill(counts ? batchWords.news_why : batchWords.news, { label: this.label, status, counts });
		}
		this.drawSoon();
	}

	// Asks REST where nothing was heard for too long: without a socket, or of a room that is silent.
	async tick() {
		const now = Date.now();
		const patience = ENDED.test(this.batch.state) ? Infinity : live.has(this.room) ? SILENT : 3000;
		if (!this.api || document.hidden || now < this.quietUntil || (this.heard && now - this.heard <= patience)) return;
		this.quietUntil = Infinity;
		let pause = 0;
		const { version } = this;
		try {
			const options = { headers: page.headers(), signal: AbortSignal.timeout(20_000) };
			const response = await fetch(`${this.api}${this.batchId}/`, options);
			pause = 1000 * response.headers.get("Retry-After");
			const isOut = response.status === 401 || response.status === 403;
			if (response.status === 404) this.show({ ...this.batch, state: "gone" });
			else if (response.ok && version === this.version) this.show(await response.json());
			else pause ||= 10_000;
			this.trouble = isOut ? "signed_out" : response.status >= 500 ? "offline" : "";
		} catch {
			this.trouble = "offline";
			pause ||= 10_000;
		}
		this.quietUntil = Date.now() + pause;
		this.drawSoon();
	}

	// Cancels or retries, which is shown at once and taken back where REST refuses.
	async ask(verb) {
		const wish = { cancel: "canceling", retry: "retrying" }[verb];
		if (this.batch.wish) return;
		this.batch = { ...this.batch, wish };
		this.drawSoon();
		const headers = { ...page.headers(), "X-CSRFToken": this.getAttribute("csrf-token") };
		const options = { method: "POST", headers, signal: AbortSignal.timeout(20_000) };
		const reason = await page.refusalOf(fetch(`${this.api}${this.batchId}/${verb}/`, options));
		if (reason || verb === "retry") this.batch = { ...this.batch, wish: "" };
		this.say(reason && page.refused(verb, reason));
		this.heard = 0;
	}

	// Shows a text in the place of the counts for a while, and has it read out.
	say(text) {
		this.said = this.news = text;
		clearTimeout(this.saying);
		if (text) this.saying = setTimeout(() => this.say(""), 15_000);
		this.drawSoon();
	}

	drawSoon() {
		this.frame ??= requestAnimationFrame(() => this.draw());
	}

	draw() {
		this.frame = null;
		const { batch, label } = this;
		const { isAmiss, ...texts } = toldOfBatch(batch);
		const isEnded = ENDED.test(batch.state);
		const notice = this.said || (isEnded ? "" : batchWords[this.trouble]);
		const focused = globalThis.document?.activeElement;
		const put = (part, values) => {
			const node = this.querySelector(`[part=${part}]`);
			for (const name in values) if (node && node[name] !== values[name]) node[name] = values[name];
		};
		const yes = (value) => (value ? "yes" : "");
		Object.assign(this.dataset, { status: batch.state ?? "", notice: yes(notice), amiss: yes(isAmiss) });
		const { status, percent, message } = texts;
		for (const [part, textContent] of Object.entries({ status, percent, message: notice || message, news: this.news }))
			put(part, { textContent });
		const value = batch.progress ?? 0;
		const ariaValueText = listed([status, percent, message].filter(Boolean));
		put("bar", { value, ariaLabel: label, ariaValueNow: `${value}`, ariaValueText });
		const button = (verb, isOffered) =>
			put(verb, {
				hidden: !isOffered || !this.api || !this.hasAttribute(`can-${verb}`),
				textContent: batchWords[verb],
				ariaLabel: fill(words.button, { action: batchWords[verb], label }),
				ariaDisabled: `${!!batch.wish}`,
			});
		button("cancel", !isEnded);
		button("retry", batch.state === "Failed" && isAmiss);
		// The button that had the focus is gone. The focus goes to the state beside it.
		if (focused?.hidden && this.contains(focused)) this.querySelector("[part=status]").focus({ preventScroll: true });
	}
}

// Defines the element, with what the page lends it.
export function defineBatchProgress(lent) {
	page = lent;
	customElements.define("batch-progress", BatchProgress);
	setInterval(() => elements.forEach((item) => item.tick()), 1000);
}
