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
	assert.deepEqual(
		[element.parts.cancel.ariaDisabled, element.parts.cancel.textContent, element.parts.cancel.ariaLabel],
		["true", "Canceling", "Canceling: JOB-1"],
	);
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

test("the start of a job is no news: a list of many would never be silent", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { status: "Queued", attempt: 0 }) });
	await join("JOB-1");
	says({ event: "job_status_changed", room: "job:JOB-1", id: 9, data: { job_id: "JOB-1", attempt: 1, to_status: "Running" } });
	draw();
	assert.deepEqual([element.parts.status.textContent, element.parts.news.textContent], ["Running", ""]);
});

test("what a join tells is shown, and REST is not asked", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { status: "Queued", attempt: 0 }) });
	FakeWebSocket.last.accept();
	const data = { job_id: "JOB-1", status: "Completed", attempt: 1, progress: 100, progress_message: "350 of 350" };
	says({ event: "joined", room: "job:JOB-1", cursor: 9, updated_at: "2026-01-01T00:00:10Z", data });
	await pass(2000);
	draw();
	const { status, percent, message } = element.parts;
	assert.deepEqual([status.textContent, percent.textContent, message.textContent], ["Completed", "100 %", "350 of 350"]);
	assert.equal(page.requests.length, 0);
});

test("a job that was rendered as Queued counts its seconds once it runs", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { status: "Queued", attempt: 0, progress: 0 }) });
	await join("JOB-1");
	assert.equal(element.parts.time.textContent, "");
	const data = { job_id: "JOB-1", attempt: 1, to_status: "Running", started_at: "2026-01-01T00:00:10Z" };
	says({ event: "job_status_changed", room: "job:JOB-1", id: 9, data: { ...data, updated_at: "2026-01-01T00:00:10Z" } });
	await pass(5000);
	assert.equal(element.parts.time.textContent, "0:05");
});

test("seconds are counted by the server's clock", async () => {
	const rendered_at = "2026-01-01T02:00:00Z"; // two hours ahead of this page's
	const job = state("JOB-1", { started_at: "2026-01-01T01:59:57Z", rendered_at });
	const element = await shown("JOB-1", { job });
	assert.equal(element.parts.time.textContent, "0:03, about 0:27 left");
});

test("of a job that failed REST tells when it is tried again", async () => {
	await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	page.answers.push({ results: [result("JOB-1")] });
	await pass(1000);
	says({ event: "job_status_changed", room: "job:JOB-1", id: 9, data: { job_id: "JOB-1", attempt: 1, to_status: "Failed" } });
	await pass(1000);
	assert.equal(page.requests.length, 2);
});

const post = (element, part) => element.parts[part].onclick();

test("a cancel that is refused is taken back and said", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "can-cancel": "" });
	page.answers.push({ status: 409, detail: "Cannot cancel JOB-1: it is Completed." });
	post(element, "cancel");
	await pass();
	draw();
	const { cancel, message, news } = element.parts;
	assert.equal(cancel.ariaDisabled, "false");
	assert.equal(message.textContent, "It could not be canceled: Cannot cancel JOB-1: it is Completed.");
	assert.equal(news.textContent, message.textContent);
});

test("what went wrong is said in words", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "can-cancel": "" });
	const reasons = [];
	for (const answer of [{ status: 403 }, { status: 429 }, { status: 500 }, new Error("no network")]) {
		page.answers.push(answer);
		post(element, "cancel");
		await pass();
		draw();
		reasons.push(element.parts.message.textContent.replace("It could not be canceled: ", ""));
	}
	assert.deepEqual(reasons, [
		"you may not do that, or you are logged out.",
		"too many requests, try again in a minute.",
		"the server has a problem, try again later.",
		"there is no connection, try again.",
	]);
});

test("what was said gives way after a while", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { progress_message: "Page 2" }), "can-cancel": "", "ws-url": null });
	page.answers.push({ status: 500 });
	post(element, "cancel");
	await pass();
	for (let second = 0; second < 16; second++) {
		page.answers[0] ??= { results: [result("JOB-1", { progress_message: "Page 2" })] };
		await pass(1000);
	}
	draw();
	assert.equal(element.parts.message.textContent, "Page 2");
});

test("a click more asks for nothing more", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "can-cancel": "" });
	post(element, "cancel");
	post(element, "cancel");
	assert.equal(page.requests.length, 1);
});

test("whoever may try again is offered it once the job has failed", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "can-retry": "", "csrf-token": "abc" });
	assert.equal(element.parts.retry.hidden, true);
	await join("JOB-1");
	says({ event: "job_status_changed", room: "job:JOB-1", id: 9, data: { job_id: "JOB-1", attempt: 1, to_status: "Dead Letter" } });
	draw();
	assert.deepEqual([element.parts.retry.hidden, element.parts.retry.ariaLabel], [false, "Try again: JOB-1"]);
	post(element, "retry");
	const { url, method, headers } = page.requests.at(-1);
	assert.deepEqual([url, method, headers["X-CSRFToken"]], ["/api/jobs/JOB-1/retry/", "POST", "abc"]);
});

test("whoever may not try again has no button", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { status: "Dead Letter" }) });
	assert.equal(element.parts.retry.hidden, true);
});

test("a new try that is refused is said", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { status: "Dead Letter" }), "can-retry": "" });
	page.answers.push({ status: 409, detail: "Cannot retry JOB-1: it waits for JOB-0, which must be retried first." });
	post(element, "retry");
	await pass();
	draw();
	assert.match(element.parts.message.textContent, /^It could not be started again: Cannot retry JOB-1: it waits/);
	assert.equal(element.parts.retry.ariaDisabled, "false");
});

test("a focus whose button goes stays with the job", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "can-cancel": "" });
	await join("JOB-1");
	page.document.activeElement = element.parts.cancel;
	says({ event: "job_status_changed", room: "job:JOB-1", id: 9, data: { job_id: "JOB-1", attempt: 1, to_status: "Canceled" } });
	draw();
	assert.deepEqual(page.focused, ["[part=status]"]);
});

test("where nothing answers that is said, until it does", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { progress_message: "Page 2" }), "ws-url": null });
	page.answers.push(new Error("no network"));
	await pass(4000);
	draw();
	assert.equal(element.parts.message.textContent, "No connection: this may have changed since.");
	page.answers.push({ results: [result("JOB-1", { progress_message: "Page 3" })] });
	for (let second = 0; second < 11; second++) await pass(1000);
	draw();
	assert.equal(element.parts.message.textContent, "Page 3");
});

test("how long a job has left is not guessed without a connection", async () => {
	const job = state("JOB-1", { started_at: "2026-01-01T01:59:57Z", rendered_at: "2026-01-01T02:00:00Z" });
	const element = await shown("JOB-1", { job });
	assert.match(element.parts.time.textContent, /left$/);
	navigator.onLine = false;
	page.told.offline();
	draw();
	assert.equal(element.parts.time.textContent, "0:03");
});

test("whoever was logged out is told", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "ws-url": null });
	page.answers.push({ status: 403, detail: "Authentication credentials were not provided." });
	await pass(4000);
	draw();
	assert.equal(element.parts.message.textContent, "You are logged out: log in to see how it goes on.");
});

test("a device without a network says so at once, and asks as soon as it has one", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	page.answers.push({ results: [result("JOB-1")] });
	await pass(1000);
	navigator.onLine = false;
	page.told.offline();
	draw();
	assert.equal(element.parts.message.textContent, "No connection: this may have changed since.");
	navigator.onLine = true;
	page.told.online();
	await pass(1000);
	assert.equal(page.requests.length, 2);
});

test("an element that cannot poll says that its socket is gone", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1"), "api-url": null });
	await join("JOB-1");
	FakeWebSocket.last.drop(4401);
	await pass(1000);
	assert.equal(element.parts.message.textContent, "");
	await pass(3000);
	assert.equal(element.parts.message.textContent, "No connection: this may have changed since.");
});

test("a job that has ended is true without a connection", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1", { status: "Completed", progress_message: "Done" }) });
	navigator.onLine = false;
	page.told.offline();
	draw();
	assert.equal(element.parts.message.textContent, "Done");
});

test("progress that overtook an answer of REST is not taken back", async () => {
	const element = await shown("JOB-1", { job: state("JOB-1") });
	await join("JOB-1");
	page.answers.push({ results: [result("JOB-1", { progress: 20 })] }, { results: [result("JOB-1", { progress: 60 })] });
	const tick = pass(1000);
	says({ event: "job_progress", room: "job:JOB-1", data: { job_id: "JOB-1", attempt: 1, status: "Running", progress: 60 } });
	await tick;
	assert.equal(element.job.progress, 60);
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
