// How an open page asks again, and which of its news are read out.

import assert from "node:assert/strict";
import { afterEach, beforeEach, mock, test } from "node:test";

let told; // what the document and the window listen to
let requests;
let part;
let said;
let page;

beforeEach(async () => {
	[told, requests, page] = [{}, [], { hidden: false }];
	said = { textContent: "" };
	part = { dataset: { djobsNews: "Operation 12: Running, 0 of 50 retried.", djobsNewsState: "running" } };
	mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_000_000 });
	Object.assign(globalThis, {
		window: globalThis,
		addEventListener: (event, act) => (told[event] = act),
		document: Object.assign(page, {
			addEventListener: (event, act) => (told[event] = act),
			querySelector: (selector) => ({ "[data-djobs-news]": part, "[data-djobs-said]": said })[selector] ?? null,
		}),
	});
});

afterEach(() => mock.timers.reset());

let copies = 0;
const load = () => import(`../../../django_jobs/static/django_jobs/page_parts.js?copy=${copies++}`);

async function pass(milliseconds = 0) {
	mock.timers.tick(milliseconds);
	for (let turn = 0; turn < 5; turn++) await Promise.resolve();
}

// Starts asking, which counts the requests; the answers are what `answer` gives.
async function start(answer = () => {}, options = {}) {
	const { keepAsking } = await load();
	const ask = async () => {
		requests.push(Date.now());
		answer();
	};
	return keepAsking({ ask, pause: () => 5000, late: () => requests.push("late"), ...options });
}

function fail() {
	throw new Error("status 500");
}

test("it asks again after each pause", async () => {
	await start();
	await pass(4999);
	assert.equal(requests.length, 0);
	await pass(1);
	await pass(5000);
	assert.equal(requests.length, 2);
});

test("it asks ever later while that fails, but not later than the longest pause, and says so", async () => {
	await start(fail, { longestPause: 20_000 });
	const moments = [];
	for (let second = 0; second < 80; second++) {
		await pass(1000);
		moments.push(requests.filter((item) => item !== "late").length);
	}
	assert.deepEqual([4, 14, 34, 54, 74].map((second) => moments[second]), [1, 2, 3, 4, 5]);
	assert.equal(requests.filter((item) => item === "late").length, 5);
});

test("after an answer it asks by its own pause again", async () => {
	let isBroken = true;
	await start(() => isBroken && fail());
	await pass(5000);
	isBroken = false;
	await pass(10_000);
	await pass(5000);
	assert.equal(requests.length, 4);
});

test("many hints are one request, soon", async () => {
	const { hint } = await start();
	for (let count = 0; count < 9; count++) hint();
	await pass(300);
	assert.equal(requests.length, 1);
});

test("a hint while it asks has it ask once more", async () => {
	let open;
	const { keepAsking } = await load();
	const ask = () => new Promise((resolve) => { requests.push(Date.now()); open = resolve; });
	const { hint } = keepAsking({ ask, pause: () => 5000 });
	await pass(5000);
	hint();
	await pass(300);
	assert.equal(requests.length, 1);
	open();
	await pass();
	await pass(300);
	assert.equal(requests.length, 2);
});

test("a hidden page does not ask, and one that is seen again asks at once", async () => {
	await start();
	page.hidden = true;
	await pass(50_000);
	assert.equal(requests.length, 0);
	page.hidden = false;
	told.visibilitychange();
	await pass();
	assert.equal(requests.length, 1);
});

test("a page that comes back from the browser's memory, or is told of a change, asks at once", async () => {
	await start();
	told.pageshow({ persisted: true });
	await pass();
	told["django-jobs:changed"]();
	await pass();
	assert.equal(requests.length, 2);
});

test("what was stopped asks no more", async () => {
	const { hint, stop } = await start();
	stop();
	hint();
	told.visibilitychange();
	await pass(60_000);
	assert.equal(requests.length, 0);
});

const empty = { querySelectorAll: () => [] };

async function news() {
	const { showParts } = await load();
	showParts(empty);
	return (text, state) => {
		part.dataset = { djobsNews: text, djobsNewsState: state };
		showParts(empty);
	};
}

test("what stood on the page when it was opened is not read out, nor is the same once more", async () => {
	const show = await news();
	show("Operation 12: Running, 0 of 50 retried.", "running");
	assert.equal(said.textContent, "");
});

test("another state is read out at once", async () => {
	const show = await news();
	show("Operation 12: Paused, 9 of 50 retried. Too many of its jobs failed.", "paused");
	assert.equal(said.textContent, "Operation 12: Paused, 9 of 50 retried. Too many of its jobs failed.");
});

test("other numbers are read out once a minute", async () => {
	const show = await news();
	for (let count = 1; count < 60; count++) {
		await pass(1000);
		show(`Operation 12: Running, ${count} of 90 retried.`, "running");
		assert.equal(said.textContent, "");
	}
	await pass(1000);
	show("Operation 12: Running, 60 of 90 retried.", "running");
	assert.equal(said.textContent, "Operation 12: Running, 60 of 90 retried.");
	await pass(1000);
	show("Operation 12: Running, 61 of 90 retried.", "running");
	assert.equal(said.textContent, "Operation 12: Running, 60 of 90 retried.");
});

test("without a state each other sentence is read out", async () => {
	part.dataset = { djobsNews: "JOB-1: Running." };
	const { showParts } = await load();
	showParts(empty);
	part.dataset = { djobsNews: "JOB-1: Dead Letter. no route" };
	showParts(empty);
	assert.equal(said.textContent, "JOB-1: Dead Letter. no route");
});
