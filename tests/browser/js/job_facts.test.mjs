import assert from "node:assert/strict";
import { test } from "node:test";

import { after, told } from "../../../django_jobs/static/django_jobs/job_facts.js";

const START = "2026-01-01T00:00:00Z";
const running = { job_id: "JOB-1", status: "Running", attempt: 1, progress: 10, started_at: START, event: 3 };

const progress = (data) => ({ event: "job_progress", data: { job_id: "JOB-1", status: "Running", attempt: 1, ...data } });
const change = (id, to_status, data) => ({
	event: "job_status_changed",
	id,
	data: { job_id: "JOB-1", attempt: 1, to_status, updated_at: "2026-01-01T00:01:05Z", ...data },
});
const at = (seconds) => Date.parse(START) + 1000 * seconds;

test("progress is taken over", () => {
	const job = after(running, progress({ progress: 20, progress_message: "Page 2" }));
	assert.deepEqual([job.progress, job.progress_message], [20, "Page 2"]);
});

test("progress of an earlier attempt changes nothing", () => {
	const job = { ...running, attempt: 2 };
	assert.equal(after(job, progress({ progress: 90 })), job);
});

test("progress that comes after the end changes nothing", () => {
	const job = { ...running, status: "Completed" };
	assert.equal(after(job, progress({ progress: 90 })), job);
});

test("progress of a new attempt says that it runs", () => {
	assert.equal(after({ ...running, status: "Failed" }, progress({ attempt: 2 })).status, "Running");
});

test("a change is taken over", () => {
	const job = after(running, change(4, "Completed", { progress: 100, output_reference: "x" }));
	assert.deepEqual([job.status, job.progress, job.output_reference, job.event], ["Completed", 100, "x", 4]);
});

test("an earlier change of the same job changes nothing", () => {
	assert.equal(after(running, change(2, "Queued")), running);
});

test("the first change is taken whatever its id", () => {
	assert.equal(after({}, change(1, "Pending")).status, "Pending");
});

test("a new attempt starts its clock and says nothing yet", () => {
	const job = after({ ...running, status: "Queued", progress_message: "Page 2" }, change(4, "Running"));
	assert.deepEqual([job.started_at, job.progress_message], ["2026-01-01T00:01:05Z", ""]);
});

test("a job that begins anew is no longer being canceled", () => {
	assert.equal(after({ ...running, cancel_requested: true }, change(4, "Pending")).cancel_requested, false);
});

test("how long a job took", () => {
	assert.equal(told(after(running, change(4, "Completed")), at(500)).time, "1:05");
});

test("how long a job has run, and may still run", () => {
	assert.equal(told({ ...running, progress: 25 }, at(20)).time, "0:20, about 1:00 left");
});

test("at the very beginning nothing is guessed", () => {
	assert.equal(told({ ...running, progress: 50 }, at(2)).time, "0:02");
	assert.equal(told({ ...running, progress: 1 }, at(60)).time, "1:00");
});

test("a clock that is behind the server's shows nothing", () => {
	assert.equal(told(running, at(-5)).time, "");
});

test("a job that waits has no time", () => {
	assert.equal(told({ status: "Pending", progress: 0 }, at(5)).time, "");
});

test("an error is more important than the last message", () => {
	assert.equal(told({ error_message: "Busy", progress_message: "Page 2" }).message, "Busy");
});

test("why it waits is said in words", () => {
	assert.equal(told({ waiting_for: "type_paused" }).message, "Jobs of this type are paused");
});

test("a saved file is known by its reference", () => {
	assert.equal(told({ job_id: "JOB-1", output_reference: "django_jobs/7/JOB-1/abc/sales.pdf" }).file, "sales.pdf");
});

test("any other reference is no file", () => {
	for (const output_reference of [null, "https://elsewhere.example/x.pdf", "django_jobs/7/JOB-2/abc/x.pdf"]) {
		assert.equal(told({ job_id: "JOB-1", output_reference }).file, "");
	}
});

test("of a job that nothing is known of nothing is said", () => {
	assert.deepEqual([told({}).status, told({}).message, told({}).progress], ["", "", 0]);
});
