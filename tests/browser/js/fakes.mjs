// What a browser would give to jobs.js: a WebSocket that a test plays the server of, REST, and as much of a page as needed.

import { batch, job } from "./words.mjs";
import { mock } from "node:test";

export class FakeWebSocket {
	static all = [];

	static get last() {
		return FakeWebSocket.all.at(-1);
	}

	frames = [];
	isClosed = false;

	constructor(url, protocols) {
		Object.assign(this, { url, protocols });
		FakeWebSocket.all.push(this);
	}

	send(text) {
		this.frames.push(JSON.parse(text));
	}

	close() {
		this.isClosed = true;
	}

	// -- the server's side

	accept() {
		this.onopen?.();
	}

	say(message) {
		this.onmessage?.({ data: JSON.stringify(message) });
	}

	drop(code = 1006) {
		this.onclose?.({ code });
	}
}

export class FakeElement {
	attributes = new Map();
	children = [1];
	dataset = {};
	parts = {};

	getAttribute(name) {
		return this.attributes.get(name) ?? null;
	}

	hasAttribute(name) {
		return this.attributes.has(name);
	}

	querySelector(selector) {
		return (this.parts[selector.match(/part=(\w+)/)[1]] ??= { focus: () => page.focused.push(selector) });
	}

	contains(node) {
		return Object.values(this.parts).includes(node);
	}
}

let page;

// Every timer of the module, and the clock, move only by mock.timers.tick.
export function install() {
	FakeWebSocket.all = [];
	const words = { textContent: JSON.stringify({ job, batch }) };
	const document = { hidden: false, getElementById: (id) => (id === "django-jobs-words" ? words : null) };
	page = { document, frames: [], requests: [], answers: [], focused: [], told: {} };
	Object.defineProperty(globalThis, "navigator", { value: { onLine: true }, configurable: true, writable: true });
	Object.assign(globalThis, {
		WebSocket: FakeWebSocket,
		HTMLElement: FakeElement,
		customElements: { get: () => undefined, define() {} },
		addEventListener: (event, act) => (page.told[event] = act),
		document: page.document,
		requestAnimationFrame: (act) => page.frames.push(act),
		fetch: async (url, options) => {
			page.requests.push({ url, ...options });
			const answer = page.answers.shift() ?? { results: [] };
			if (answer instanceof Error) throw answer;
			const { status = 200 } = answer;
			const headers = new Headers(answer.headers);
			return { ok: status < 400, status, headers, json: async () => answer };
		},
	});
	mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: Date.parse("2026-01-01T00:00:10Z") });
	mock.method(Math, "random", () => 1);
	return page;
}

export function uninstall() {
	mock.timers.reset();
	mock.restoreAll();
}

// What is due, and what its promises do.
export async function pass(milliseconds = 0) {
	mock.timers.tick(milliseconds);
	for (let turn = 0; turn < 10; turn++) await Promise.resolve();
}

let copies = 0;
// The module afresh: the elements of a page share what it keeps.
export function load() {
	return import(`../../../django_jobs/static/django_jobs/jobs.js?copy=${copies++}`);
}
