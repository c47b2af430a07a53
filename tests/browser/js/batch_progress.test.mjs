import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { FakeWebSocket, install, load, pass, uninstall } from "./fakes.mjs";

let page;
let BatchProgress;
let elements;

beforeEach(async () => {
	page = install();
	elements = [];
	({ BatchProgress } = await load());
});
afterEach(() => {
	for (const element of elements) element.disconnectedCallback();
	uninstall();
});

const batch = (more) => ({ batch_id: "BATCH-1", state: "Running", total: 10, by_status: { Completed: 2 }, progress: 20, ...more });
const says = (message) => FakeWebSocket.last.say(message);
const draw = () => page.frames.splice(0).forEach((act) => act());
const progress = (data) => says({ event: "batch_progress", room: "batch:BATCH-1", data });

async function shown(attributes = {}) {
	const element = new BatchProgress();
	const all = { "batch-id": "BATCH-1", "api-url": "/api/batches/", "ws-url": "wss://shop.example/", ...attributes };
	for (const [name, value] of Object.entries(all)) if (value !== null) element.attributes.set(name, value);
	element.connectedCallback();
	elements.push(element);
	await pass();
	return element;
}

async function join(data = batch()) {
	FakeWebSocket.last.accept();
	says({ event: "joined", room: "batch:BATCH-1", cursor: 0, data });
	await pass();
}

test("it shows the state that the server rendered, and joins the room of its batch", async () => {
	const element = await shown({ batch: JSON.stringify(batch()) });
	FakeWebSocket.last.accept();
	assert.deepEqual(FakeWebSocket.last.frames, [{ action: "join", room: "batch:BATCH-1" }]);
	assert.equal(element.parts.bar.value, 20);
	assert.equal(element.parts.message.textContent, "2 of 10 done");
	assert.equal(element.dataset.status, "Running");
	assert.equal(page.requests.length, 0);
});

test("without a state it shows what the join tells", async () => {
	const element = await shown();
	await join();
	draw();
	assert.equal(element.parts.status.textContent, "Running");
	assert.equal(element.parts.bar.ariaValueText, "Running, 20 %, 2 of 10 done");
});

test("each event is shown, and the end is read out", async () => {
	const element = await shown({ batch: JSON.stringify(batch()), label: "Invoices" });
	await join();
	progress(batch({ progress: 40, by_status: { Completed: 3, "Dead Letter": 1 } }));
	draw();
	assert.equal(element.parts.message.textContent, "3 of 10 done, 1 failed");
	assert.equal(element.dataset.amiss, "yes");
	assert.equal(element.parts.news.textContent, "");
	progress(batch({ state: "Failed", progress: 100, by_status: { Completed: 7, "Dead Letter": 1, Canceled: 2 } }));
	draw();
	assert.equal(element.parts.news.textContent, "Invoices: Did not all complete, 7 of 10 done, 1 failed, 2 canceled");
});

test("it hears of its own batch alone", async () => {
	const element = await shown({ batch: JSON.stringify(batch()) });
	await join();
	says({ event: "batch_progress", room: "batch:BATCH-2", data: batch({ progress: 90 }) });
	draw();
	assert.equal(element.parts.bar.value, 20);
});

test("many events between two frames are drawn once", async () => {
	await shown({ batch: JSON.stringify(batch()) });
	await join();
	for (let number = 21; number < 60; number++) progress(batch({ progress: number }));
	assert.equal(page.frames.length, 1);
});

test("a second element of the same batch begins as the first one stands", async () => {
	await shown({ batch: JSON.stringify(batch()) });
	const second = await shown();
	assert.equal(second.parts.bar.value, 20);
});

test("the room is left with the last element of a batch", async () => {
	const [one, two] = [await shown(), await shown()];
	await join();
	one.disconnectedCallback();
	await pass(100);
	assert.equal(FakeWebSocket.last.frames.at(-1).action, "join");
	two.disconnectedCallback();
	await pass(100);
	assert.deepEqual(FakeWebSocket.last.frames.at(-1), { action: "leave", room: "batch:BATCH-1" });
});

test("an empty batch that is open says that it has no jobs yet", async () => {
	const element = await shown({ batch: JSON.stringify(batch({ state: "Open", total: 0, by_status: {}, progress: 0 })) });
	assert.equal(element.parts.message.textContent, "No jobs yet");
});

test("without a socket REST is asked", async () => {
	const element = await shown({ "ws-url": null });
	page.answers.push(batch({ progress: 70 }));
	await pass(1000);
	draw();
	assert.equal(page.requests[0].url, "/api/batches/BATCH-1/");
	assert.equal(element.parts.bar.value, 70);
});

test("a room of which nothing is heard is looked at now and then", async () => {
	await shown({ batch: JSON.stringify(batch()) });
	await join();
	for (let second = 0; second < 40; second++) {
		if (second % 10 === 0) says({ event: "pong" });
		await pass(1000);
	}
	assert.equal(page.requests.length, 1);
});

test("a batch that has ended is not asked for, nor one on a page that nobody sees", async () => {
	await shown({ batch: JSON.stringify(batch({ state: "Completed" })) });
	await pass(60_000);
	await shown({ "batch-id": "BATCH-2", batch: JSON.stringify(batch()) });
	page.document.hidden = true;
	await pass(60_000);
	assert.equal(page.requests.length, 0);
});

test("a refusal to answer is obeyed, and said where nobody is logged in any more", async () => {
	const element = await shown({ "ws-url": null });
	page.answers.push({ status: 429, headers: { "Retry-After": "30" } }, { status: 403 });
	for (let second = 0; second < 29; second++) await pass(1000);
	assert.equal(page.requests.length, 1);
	await pass(3000);
	draw();
	assert.equal(element.parts.message.textContent, "You are logged out: log in to see how it goes on.");
});

test("a batch that is gone says so", async () => {
	const element = await shown({ "ws-url": null });
	page.answers.push({ status: 404 });
	await pass(1000);
	draw();
	assert.equal(element.parts.status.textContent, "Not available");
});

test("no network is said, and asked again", async () => {
	const element = await shown({ "ws-url": null });
	page.answers.push(new Error("no network"));
	await pass(1000);
	draw();
	assert.equal(element.parts.message.textContent, "No connection: this may have changed since.");
	for (let second = 0; second < 12; second++) await pass(1000);
	assert.equal(page.requests.length, 2);
});

test("who may cancel does so by a click, once", async () => {
	const element = await shown({ batch: JSON.stringify(batch()), "can-cancel": "", "csrf-token": "abc" });
	assert.deepEqual([element.parts.cancel.hidden, element.parts.retry.hidden], [false, true]);
	element.parts.cancel.onclick();
	element.parts.cancel.onclick();
	await pass();
	draw();
	assert.equal(element.parts.status.textContent, "Being canceled");
	const [{ url, method, headers }] = page.requests;
	assert.deepEqual([page.requests.length, url, method], [1, "/api/batches/BATCH-1/cancel/", "POST"]);
	assert.equal(headers["X-CSRFToken"], "abc");
});

test("a cancel that is refused is taken back, with the reason", async () => {
	const element = await shown({ batch: JSON.stringify(batch()), "can-cancel": "" });
	page.answers.push({ status: 409, detail: "Cannot cancel BATCH-1: it is Completed." });
	element.parts.cancel.onclick();
	await pass();
	draw();
	assert.equal(element.parts.status.textContent, "Running");
	assert.equal(element.parts.message.textContent, "It could not be canceled: Cannot cancel BATCH-1: it is Completed.");
});

test("only one that failed can be tried again, by who may", async () => {
	const failed = batch({ state: "Failed", by_status: { "Dead Letter": 1 } });
	const element = await shown({ batch: JSON.stringify(failed), "can-retry": "", "can-cancel": "" });
	assert.deepEqual([element.parts.cancel.hidden, element.parts.retry.hidden], [true, false]);
	const other = await shown({ "batch-id": "BATCH-2", batch: JSON.stringify(failed) });
	assert.equal(other.parts.retry.hidden, true);
});
