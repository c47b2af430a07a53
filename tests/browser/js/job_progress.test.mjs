import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { FakeWebSocket, install, load, pass, uninstall } from "./fakes.mjs";

let page;
let JobProgress;

beforeEach(async () => {
	page = install();
	({ JobProgress } = await load());
});
afterEach(uninstall);

async function shown(id, attributes = {}) {
	const element = new JobProgress();
	const all = { "job-id": id, "api-url": "/api/jobs/", "ws-url": "wss://shop.example/", ...attributes };
	for (const [name, value] of Object.entries(all)) if (value !== null) element.attributes.set(name, value);
	element.connectedCallback();
	await pass();
	return element;
}

const state = (id, more) => JSON.stringify({ job_id: id, status: "Running", attempt: 1, progress: 10, ...more });
const result = (id, more) => ({ job_id: id, status: "Running", attempt: 1, progress: 50, ...more });
const says = (message) => FakeWebSocket.last.say(message);
const draw = () => page.frames.splice(0).forEach((act) => act());

async function join(...ids) {
	FakeWebSocket.last.accept();
	for (const id of ids) says({ event: "joined", room: `job:${id}`, cursor: 3 });
	await pass();
}

test("the elements of a page share one socket", async () => {
	await shown("JOB-1");
	await shown("JOB-2");
	assert.equal(FakeWebSocket.all.length, 1);
});

test("an element shows the state that the server rendered at once", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1") });
	assert.equal(element.parts.bar.value, 10);
	assert.equal(page.requests.length, 0);
});

test("an element without a state asks for it", async () => {
	page.answers.push({ results: [result("JOB-1")] });
	const element = await shown("JOB-1");
	await pass(1000);
	draw();
	assert.equal(page.requests[0].url, "/api/jobs/?limit=100&job_id=JOB-1");
	assert.equal(element.parts.bar.value, 50);
});

test("what was missed before the join is read once after it, for all in one request", async () => {
	await shown("JOB-1", { job: state("JOB-1") });
	await shown("JOB-2", { job: state("JOB-2") });
	await join("JOB-1", "JOB-2");
	page.answers.push({ results: [result("JOB-1"), result("JOB-2")] });
	await pass(1000);
	await pass(2000);
	assert.deepEqual(
		page.requests.map(({ url }) => url),
		["/api/jobs/?limit=100&job_id=JOB-1&job_id=JOB-2"],
	);
});

test("many events between two frames are drawn once", async () => {
	await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	for (let progress = 11; progress <= 60; progress++) {
		says({ event: "job_progress", room: "job:JOB-1", data: { job_id: "JOB-1", attempt: 1, status: "Running", progress } });
	}
	assert.equal(page.frames.length, 1);
});

test("each element hears of its own job alone", async () => {
	const one = await shown("JOB-1", { job: state("JOB-1"), room: "org:ORG-1" });
	const two = await shown("JOB-2", { job: state("JOB-2"), room: "org:ORG-1" });
	FakeWebSocket.last.accept();
	says({ event: "job_progress", room: "org:ORG-1", data: { job_id: "JOB-2", attempt: 1, status: "Running", progress: 70 } });
	draw();
	assert.deepEqual([one.parts.bar.value, two.parts.bar.value], [10, 70]);
});

test("where no socket can be had REST is polled", async () => {
	await shown("JOB-1", { job: state("JOB-1") });
	FakeWebSocket.last.drop();
	for (let second = 0; second < 9; second++) {
		page.answers[0] ??= { results: [result("JOB-1")] };
		await pass(1000);
	}
	assert.ok(page.requests.length >= 2, `${page.requests.length}`);
});

test("an element without a socket's address polls", async () => {
	await shown("JOB-1", { job: state("JOB-1"), "ws-url": null });
	await pass(4000);
	assert.equal(FakeWebSocket.all.length, 0);
	assert.equal(page.requests.length, 1);
});

test("a job that has ended is not polled", async () => {
	await shown("JOB-1", { job: state("JOB-1", { status: "Completed" }) });
	await pass(60_000);
	assert.equal(page.requests.length, 0);
});

test("a page that nobody sees does not poll", async () => {
	await shown("JOB-1", { job: state("JOB-1") });
	page.document.hidden = true;
	await pass(60_000);
	assert.equal(page.requests.length, 0);
});

test("a live job of which nothing is heard is looked at now and then", async () => {
	await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	page.answers.push({ results: [result("JOB-1")] });
	for (let second = 0; second < 40; second++) {
		if (second % 10 === 0) says({ event: "pong" });
		await pass(1000);
	}
	assert.equal(page.requests.length, 2);
});

test("a refusal to poll is obeyed", async () => {
	await shown("JOB-1", { job: state("JOB-1"), "ws-url": null });
	page.answers.push({ headers: { "Retry-After": "30" }, detail: "Throttled." });
	for (let second = 0; second < 29; second++) await pass(1000);
	assert.equal(page.requests.length, 1);
});

test("a server that is away is asked again", async () => {
	await shown("JOB-1", { job: state("JOB-1"), "ws-url": null });
	page.answers.push(new Error("no network"));
	for (let second = 0; second < 20; second++) await pass(1000);
	assert.equal(page.requests.length, 2);
});

test("an answer that an event overtook is asked for again", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { event: 1 }) });
	await join("JOB-1");
	page.answers.push({ results: [result("JOB-1")] }, { results: [result("JOB-1", { status: "Completed" })] });
	const tick = pass(1000);
	says({
		event: "job_status_changed",
		room: "job:JOB-1",
		id: 9,
		data: { job_id: "JOB-1", attempt: 1, to_status: "Completed", progress: 100 },
	});
	await tick;
	assert.equal(element.job.status, "Completed");
	await pass(1000);
	assert.equal(page.requests.length, 2);
});

test("a job that is no longer there is said to be gone", async () => {
	page.answers.push({ results: [] });
	const element = await shown("JOB-1");
	await pass(1000);
	draw();
	assert.equal(element.parts.status.textContent, "Not available");
});

test("canceling asks REST with the token and shows it at once", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "csrf-token": "abc", "can-cancel": "" });
	element.parts.cancel.onclick();
	draw();
	assert.equal(element.parts.cancel.disabled, true);
	assert.deepEqual(
		[page.requests[0].url, page.requests[0].method, page.requests[0].headers["X-CSRFToken"]],
		["/api/jobs/JOB-1/cancel/", "POST", "abc"],
	);
});

test("whoever may not cancel has no button", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1") });
	assert.equal(element.parts.cancel.hidden, true);
});

test("a change is news for whoever does not look, progress is not", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	says({ event: "job_progress", room: "job:JOB-1", data: { job_id: "JOB-1", attempt: 1, status: "Running", progress: 20 } });
	draw();
	assert.equal(element.parts.news.textContent, "");
	says({ event: "job_status_changed", room: "job:JOB-1", id: 9, data: { job_id: "JOB-1", attempt: 1, to_status: "Completed" } });
	draw();
	assert.equal(element.parts.news.textContent, "JOB-1: Completed");
});

test("the last element of a job leaves its room", async () => {
	const one = await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	one.disconnectedCallback();
	await pass(100);
	assert.deepEqual(FakeWebSocket.last.frames.at(-1), { action: "leave", room: "job:JOB-1" });
});

test("a room in which another element listens is kept", async () => {
	const one = await shown("JOB-1", { job: state("JOB-1") });
	await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	one.disconnectedCallback();
	await pass(100);
	assert.deepEqual(FakeWebSocket.last.frames.map(({ action }) => action), ["join"]);
});
