// The elements <job-progress> and <batch-progress>, and what a page may import with it; see docs/realtime.md.

import { BatchProgress, batchWords, defineBatchProgress } from "./batch_progress.js";
import { AMISS, after, ENDED, FINAL, isVague, newsOf, told, words } from "./job_facts.js";
import { JobsSocket } from "./jobs_socket.js";
import { fill } from "./page_language.js";

export { BatchProgress, batchWords, JobsSocket, words };

// The elements of a page share one socket, and one request for all those that need REST.
const elements = new Set();
const live = new Set(); // rooms
let shared, quietUntil;
let trouble = ""; // why REST does not answer, as the name of a word
let closedAt; // since when there is no socket
let skew = Infinity; // how far this clock is ahead of the server's

export function sharedSocket(url) {
	if (shared) return shared;
	shared = new JobsSocket({ url, getTicket: JobProgress.getTicket });
	const on = (event, act) => shared.addEventListener(event, ({ detail }) => act(detail));
	const hear = (message) => elements.forEach((item) => item.hear(message));
	on("joined", (message) => {
		live.add(message.room);
		closedAt = null;
		settle("");
		if (message.data) return hear(message);
		for (const item of elements) if (item.room === message.room) item.heard = 0;
	});
	on("job_progress", hear);
	on("job_status_changed", hear);
	for (const event of ["left", "error"]) on(event, ({ room }) => live.delete(room));
	on("close", () => {
		live.clear();
		closedAt ??= Date.now();
	});
	return shared;
}

const serverTime = () => Date.now() - (Number.isFinite(skew) ? skew : 0);
const isOffline = () => globalThis.navigator?.onLine === false;

// Each message was on its way for some time, so the smallest difference of the clocks is the closest to the truth.
function compareClocks(moment) {
	const ahead = Date.now() - Date.parse(moment);
	if (ahead < skew) skew = ahead;
}

function settle(word) {
	trouble = word;
	for (const item of elements) item.drawSoon();
}

// Asks REST about the jobs of which nothing was heard for too long: after a join, or without a socket.
function tick() {
	const now = Date.now();
	for (const item of elements) if (!ENDED.test(item.job.status)) item.draw();
	const silent = [...elements].filter(({ api, heard, room, job }) => {
		const patience = ENDED.test(job.status) ? Infinity : live.has(room) ? 30_000 : 3000;
		return api && (!heard || now - heard > patience);
	});
	const [first] = silent;
	if (!first || now < quietUntil || document.hidden) return;
	read(first.api, silent.filter(({ api }) => api === first.api).slice(0, 100));
}

async function read(api, asked) {
	for (const item of asked) Object.assign(item, { heard: Date.now(), before: item.version });
	quietUntil = Infinity;
	let pause = 0;
	let word = "offline";
	try {
		const ids = asked.map(({ jobId }) => `&job_id=${jobId}`).join("");
		const options = { headers: JobProgress.headers, signal: AbortSignal.timeout(20_000) };
		const response = await fetch(`${api}?limit=100${ids}`, options);
		pause = 1000 * response.headers.get("Retry-After");
		if (response.status < 500) word = "";
		if (response.status === 401 || response.status === 403) word = "signed_out";
		const { results } = await response.json();
		for (const item of asked) {
			const job = results.find(({ job_id }) => job_id === item.jobId) ?? { status: "gone" };
			if (item.version === item.before) item.show({ ...item.job, ...job });
			else item.heard = 0;
		}
	} catch {
		for (const item of asked) item.heard = 0;
		pause ||= 10_000;
	}
	quietUntil = Date.now() + pause;
	settle(word);
}

// Returns why REST refused a request; nothing if it did not.
async function refusalOf(request) {
	try {
		const response = await request;
		if (response.ok) return "";
		if (response.status === 409) return (await response.json()).detail;
		return words[{ 401: "forbidden", 403: "forbidden", 404: "forbidden", 429: "busy" }[response.status] ?? "broken"];
	} catch {
		return words.unreachable;
	}
}

const PARTS = `<span part=status tabindex=-1></span><span part=percent></span>
<progress part=bar max=100></progress>
<span part=message dir=auto></span><span part=time></span>
<a part=output hidden></a><button part=retry type=button hidden></button><button part=cancel type=button hidden></button>
<span part=news role=status></span>`;

export class JobProgress extends (globalThis.HTMLElement ?? Object) {
	version = 0;
	news = "";

	connectedCallback() {
		const url = this.getAttribute("ws-url");
		this.jobId = this.getAttribute("job-id");
		this.label = this.getAttribute("label") ?? this.jobId;
		this.api = this.getAttribute("api-url");
		this.room = this.getAttribute("room") ?? `job:${this.jobId}`;
		const own = { waits_for: this.getAttribute("waits-for"), words: JSON.parse(this.getAttribute("words")) };
		this.job ??= { ...JSON.parse(this.getAttribute("job")), ...own };
		this.heard ??= this.job.status ? Date.now() : 0;
		if (this.job.rendered_at) compareClocks(this.job.rendered_at);
		if (!this.children.length) this.innerHTML = PARTS;
		for (const verb of ["cancel", "retry"]) this.querySelector(`[part=${verb}]`).onclick = () => this.ask(verb);
		elements.add(this);
		if (url && !FINAL.test(this.job.status)) sharedSocket(url).join(this.room);
		this.draw();
	}

	disconnectedCallback() {
		elements.delete(this);
		if (![...elements].some(({ room }) => room === this.room)) shared?.leave(this.room);
	}

	// Cancels or retries. That is shown at once, and taken back with a reason if REST refuses.
	async ask(verb) {
		const wish = `${verb}_requested`;
		if (this.job[wish]) return;
		this.show({ ...this.job, [wish]: true });
		const headers = { ...JobProgress.headers, "X-CSRFToken": this.getAttribute("csrf-token") };
		const options = { method: "POST", headers, signal: AbortSignal.timeout(20_000) };
		const reason = await refusalOf(fetch(`${this.api}${this.jobId}/${verb}/`, options));
		if (reason || verb === "retry") this.show({ ...this.job, [wish]: false });
		this.say(reason && fill(words[`no_${verb}`], { reason }));
		this.heard = 0;
	}

	// Shows a text in the place of the message for a while, and has it read out.
	say(text) {
		this.said = this.news = text;
		clearTimeout(this.saying);
		if (text) this.saying = setTimeout(() => this.say(""), 15_000);
		this.drawSoon();
	}

	hear(message) {
		const { data, updated_at, event } = message;
		if (data.job_id !== this.jobId) return;
		if (event !== "job_status_changed") compareClocks(updated_at ?? data.updated_at); // other events may be old
		const job = after(this.job, message);
		this.heard = job !== this.job && event === "job_status_changed" && isVague(job) ? 0 : Date.now();
		this.show(job);
	}

	show(job) {
		const isNews = job.status !== this.job.status && (ENDED.test(job.status) || AMISS.test(job.status));
		if (isNews && this.job.status) this.news = newsOf(this.withFile(job), this.label, serverTime());
		this.job = job;
		this.version++;
		this.drawSoon();
	}

	drawSoon() {
		this.frame ??= requestAnimationFrame(() => this.draw());
	}

	// Without REST there is no file to be had.
	withFile(job) {
		return this.api ? job : { ...job, output_reference: null };
	}

	draw() {
		this.frame = null;
		const { label, jobId } = this;
		const job = this.withFile(this.job);
		const isEnded = ENDED.test(job.status);
		const isCut = isOffline() || (!this.api && closedAt && Date.now() - closedAt > 3000);
		const warning = isEnded ? "" : isCut ? "offline" : trouble;
		const { progress, file, ...texts } = told(job, serverTime(), !!warning);
		const title = job.error_message?.length > texts.message.length ? job.error_message : "";
		const notice = this.said || words[warning];
		texts.message = notice || texts.message;
		texts.news = this.news;
		const focused = globalThis.document?.activeElement;
		const put = (part, values) => {
			const node = this.querySelector(`[part=${part}]`);
			for (const name in values) if (node && node[name] !== values[name]) node[name] = values[name];
		};
		Object.assign(this.dataset, { status: job.status ?? "", notice: notice ? "yes" : "" });
		for (const part in texts) put(part, { textContent: texts[part] });
		put("message", { title });
		put("bar", { value: progress, ariaLabel: label, ariaValueNow: `${progress}`, ariaValueText: fill(words.spoken, texts) });
		put("output", { hidden: !file, href: `${this.api}${jobId}/output/` });
		const button = (part, isOffered) =>
			put(part, {
				hidden: !isOffered || !this.api || !this.hasAttribute(`can-${part}`),
				ariaLabel: fill(words.button, { action: texts[part], label }),
				ariaDisabled: `${!!job[`${part}_requested`]}`,
			});
		button("cancel", !isEnded);
		button("retry", AMISS.test(job.status));
		// The element that had the focus is gone. The focus goes to the status beside it.
		if (focused?.hidden && this.contains(focused)) this.querySelector("[part=status]").focus({ preventScroll: true });
	}
}

function comeBack() {
	quietUntil = 0;
	for (const item of elements) item.heard = ENDED.test(item.job.status) ? item.heard : 0;
	settle("");
}

if (globalThis.customElements && !customElements.get("job-progress")) {
	customElements.define("job-progress", JobProgress);
	setInterval(tick, 1000);
	const refused = (verb, reason) => fill(words[`no_${verb}`], { reason });
	defineBatchProgress({ socket: sharedSocket, headers: () => JobProgress.headers, refusalOf, refused });
	globalThis.addEventListener?.("offline", () => settle(trouble));
	globalThis.addEventListener?.("online", comeBack);
}
