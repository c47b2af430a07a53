// JobsSocket and <job-progress>; see docs/realtime.md.

import { after, ENDED, FINAL, told, words } from "./job_facts.js";

export { words };

export class JobsSocket extends EventTarget {
	#rooms = new Map(); // name -> last event id
	#known = new Set();
	#frames = [];
	#failures = 0;

	// {url, getTicket}
	constructor(options) {
		super();
		Object.assign(this, options);
		this.#connect();
	}

	join(room, { since } = {}) {
		if (this.#rooms.has(room)) return;
		this.#rooms.set(room, since);
		this.#send({ action: "join", room, since });
	}

	leave(room) {
		if (this.#rooms.delete(room)) this.#send({ action: "leave", room });
	}

	close() {
		this.closed = true;
		this.#lost(1000);
	}

	async #connect() {
		try {
			const ticket = await this.getTicket?.();
			if (this.closed) return;
			const socket = (this.socket = new WebSocket(this.url, ticket ? ["jobs.v1", `ticket.${ticket}`] : []));
			socket.onopen = () => this.#opened();
			socket.onmessage = ({ data }) => this.#heard(JSON.parse(data));
			socket.onclose = ({ code }) => this.#lost(code);
		} catch {
			this.#lost();
		}
	}

	#opened() {
		this.open = true;
		this.pinging = setInterval(() => this.#ping(), 15_000);
		for (const [room, since] of this.#rooms) this.#send({ action: "join", room, since });
		this.#tell("open");
	}

	// Dead connections do not close: nothing came between two pings.
	#ping() {
		if (this.isSilent) return this.#lost();
		this.isSilent = true;
		this.#send({ action: "ping" });
	}

	#lost(code = 1006) {
		const { socket } = this;
		if (socket) socket.onopen = socket.onmessage = socket.onclose = null;
		socket?.close();
		clearInterval(this.pinging);
		clearTimeout(this.retry);
		this.#frames = [];
		this.socket = this.open = this.isSilent = null;
		this.closed ||= code === 4401;
		const pause = Math.min(500 * 2 ** this.#failures++, 30_000) * (0.5 + Math.random() / 2);
		if (!this.closed) this.retry = setTimeout(() => this.#connect(), pause);
		this.#tell("close", { code });
	}

	#send(frame) {
		if (this.open && this.#frames.push(JSON.stringify(frame)) === 1) flush(this.socket, this.#frames);
	}

	#heard(message) {
		const { event, room, id, cursor, reason } = message;
		const key = `${room} ${id}`;
		const isKnown = this.#known.has(key);
		this.#failures = 0;
		this.isSilent = false;
		if (id && (isKnown || !this.#rooms.has(room))) return;
		const [oldest] = this.#known.add(key);
		if (this.#known.size > 5000) this.#known.delete(oldest);
		const since = this.#rooms.get(room);
		// A replay follows its cursor, and may be cut off.
		const seen = id ?? (since === undefined || message.resync ? cursor : 0);
		if (this.#rooms.has(room) && seen > (since ?? -1)) this.#rooms.set(room, seen);
		if (event === "error" || reason) this.#rooms.delete(room);
		this.#tell(event, message);
	}

	#tell(event, detail) {
		this.dispatchEvent(new CustomEvent(event, { detail }));
	}
}

// The server takes 20 frames a second.
function flush(socket, frames) {
	if (!frames.length) return;
	socket.send(frames[0]);
	setTimeout(() => flush(socket, frames, frames.shift()), 60);
}

// What the elements of a page share: a socket, and one request for all that need REST.
const elements = new Set();
const live = new Set(); // rooms
let shared, quietUntil;

export function sharedSocket(url) {
	if (shared) return shared;
	shared = new JobsSocket({ url, getTicket: JobProgress.getTicket });
	const on = (event, act) => shared.addEventListener(event, ({ detail }) => act(detail));
	on("joined", ({ room }) => {
		live.add(room);
		for (const item of elements) if (item.room === room) item.heard = 0;
	});
	const hear = (message) => elements.forEach((item) => item.hear(message));
	on("job_progress", hear);
	on("job_status_changed", hear);
	for (const event of ["left", "error"]) on(event, ({ room }) => live.delete(room));
	on("close", () => live.clear());
	return shared;
}

// Asks REST about those of whom nothing was heard for too long: after a join, or without a socket.
function tick() {
	const now = Date.now();
	for (const item of elements) if (item.job.status === "Running") item.draw();
	const silent = [...elements].filter(({ api, heard, room, job }) => {
		const patience = ENDED.test(job.status) ? Infinity : live.has(room) ? 30_000 : 3000;
		return api && (!heard || now - heard > patience);
	});
	const [first] = silent;
	if (!first || now < quietUntil || document.hidden) return;
	read(first.api, silent.filter(({ api }) => api === first.api).slice(0, 100));
}

async function read(api, asked) {
	for (const item of asked) Object.assign(item, { heard: Date.now(), before: item.job.event });
	quietUntil = Infinity;
	let pause = 0;
	try {
		const ids = asked.map(({ jobId }) => `&job_id=${jobId}`).join("");
		const options = { headers: JobProgress.headers, signal: AbortSignal.timeout(20_000) };
		const response = await fetch(`${api}?limit=100${ids}`, options);
		pause = 1000 * response.headers.get("Retry-After");
		const { results } = await response.json();
		for (const item of asked) {
			const job = results.find(({ job_id }) => job_id === item.jobId) ?? { status: "gone" };
			if (item.job.event === item.before) item.show({ ...item.job, ...job });
			else item.heard = 0;
		}
	} catch {
		for (const item of asked) item.heard = 0;
		pause ||= 10_000;
	}
	quietUntil = Date.now() + pause;
}

const PARTS = `<span part=status></span><span part=percent></span>
<progress part=bar max=100></progress>
<span part=message></span><span part=time></span>
<a part=output hidden></a><button part=cancel type=button hidden></button><span part=news role=status></span>`;

export class JobProgress extends (globalThis.HTMLElement ?? Object) {
	connectedCallback() {
		const url = this.getAttribute("ws-url");
		this.jobId = this.getAttribute("job-id");
		this.api = this.getAttribute("api-url");
		this.room = this.getAttribute("room") ?? `job:${this.jobId}`;
		this.job ??= JSON.parse(this.getAttribute("job")) ?? {};
		this.heard ??= this.job.status ? Date.now() : 0;
		if (!this.children.length) this.innerHTML = PARTS;
		this.querySelector("[part=cancel]").onclick = () => this.cancel();
		elements.add(this);
		if (url && !FINAL.test(this.job.status)) sharedSocket(url).join(this.room);
		this.draw();
	}

	disconnectedCallback() {
		elements.delete(this);
		if (![...elements].some(({ room }) => room === this.room)) shared?.leave(this.room);
	}

	async cancel() {
		this.show({ ...this.job, cancel_requested: true });
		const headers = { ...JobProgress.headers, "X-CSRFToken": this.getAttribute("csrf-token") };
		await fetch(`${this.api}${this.jobId}/cancel/`, { method: "POST", headers }).catch(() => {});
		this.heard = 0;
	}

	hear(message) {
		if (message.data.job_id !== this.jobId) return;
		this.heard = Date.now();
		this.show(after(this.job, message));
	}

	show(job) {
		if (job.status !== this.job.status) this.news = `${this.jobId}: ${told(job).status}`;
		this.job = job;
		this.frame ??= requestAnimationFrame(() => this.draw());
	}

	draw() {
		this.frame = null;
		const { job, jobId } = this;
		const { progress, file, ...texts } = { ...told(job, Date.now()), news: this.news ?? "" };
		const put = (part, values) => {
			const node = this.querySelector(`[part=${part}]`);
			for (const name in values) if (node[name] !== values[name]) node[name] = values[name];
		};
		this.dataset.status = job.status;
		for (const part in texts) put(part, { textContent: texts[part] });
		const ariaLabel = this.getAttribute("label") ?? jobId;
		const ariaValueText = `${texts.status}, ${texts.percent}`;
		put("bar", { value: progress, ariaLabel, ariaValueNow: `${progress}`, ariaValueText });
		put("output", { hidden: !file, href: `${this.api}${jobId}/output/` });
		const hidden = ENDED.test(job.status) || !this.hasAttribute("can-cancel");
		put("cancel", { hidden, disabled: !!job.cancel_requested });
	}
}

if (globalThis.customElements && !customElements.get("job-progress")) {
	customElements.define("job-progress", JobProgress);
	setInterval(tick, 1000);
}
