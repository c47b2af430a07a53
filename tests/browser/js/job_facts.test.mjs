import assert from "node:assert/strict";
import { test } from "node:test";

import { after, isVague, newsOf, told, words } from "../../../django_jobs/static/django_jobs/job_facts.js";
import { job as english } from "./words.mjs";

Object.assign(words, english);

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

test("a new attempt starts its clock, and says what the event says", () => {
	const waiting = { ...running, status: "Queued", attempt: 0, started_at: null };
	assert.equal(after(waiting, change(4, "Running")).started_at, "2026-01-01T00:01:05Z");
	assert.equal(after(waiting, change(4, "Running", { started_at: START })).started_at, START);
});

test("an end brings the last words", () => {
	const job = after(running, change(4, "Completed", { progress_message: "350 of 350", completed_at: START }));
	assert.deepEqual([job.progress_message, job.completed_at], ["350 of 350", START]);
});

test("a clock that started with progress goes on with the attempt's own start", () => {
	const job = after({ job_id: "JOB-1", status: "Queued", attempt: 0 }, progress({ updated_at: "2026-01-01T00:00:09Z" }));
	assert.deepEqual([job.status, job.started_at], ["Running", "2026-01-01T00:00:09Z"]);
	assert.equal(after(job, change(4, "Completed", { started_at: START })).started_at, START);
});

const joined = (cursor, data) => ({ event: "joined", cursor, updated_at: "2026-01-01T00:00:30Z", data: { job_id: "JOB-1", ...data } });

test("the state of a join takes the place of what the page was rendered with", () => {
	const job = after({ job_id: "JOB-1", status: "Queued", attempt: 0 }, joined(5, { status: "Completed", attempt: 1, progress: 100 }));
	assert.deepEqual([job.status, job.progress, job.event], ["Completed", 100, 5]);
});

test("the state of a join that is behind an event changes nothing", () => {
	assert.equal(after({ ...running, event: 6 }, joined(5, { status: "Queued" })).status, "Running");
});

test("progress that was read before the join's state changes nothing", () => {
	const job = after(running, joined(5, { status: "Running", attempt: 1, progress: 60 }));
	assert.equal(after(job, progress({ progress: 40, updated_at: "2026-01-01T00:00:29Z" })).progress, 60);
	assert.equal(after(job, progress({ progress: 70, updated_at: "2026-01-01T00:00:31Z" })).progress, 70);
});

test("progress does not go back to what was told late", () => {
	const job = after(running, progress({ progress: 40, updated_at: "2026-01-01T00:00:31Z" }));
	assert.equal(after(job, progress({ progress: 30, updated_at: "2026-01-01T00:00:30Z" })).progress, 40);
});

test("a change of an earlier attempt changes nothing", () => {
	const job = { ...running, attempt: 2, event: undefined };
	assert.equal(after(job, change(4, "Failed")), job);
});

test("an attempt whose end is known does not start any more", () => {
	for (const status of ["Completed", "Failed", "Queued"]) {
		const job = { ...running, status, event: undefined };
		assert.equal(after(job, change(4, "Running")), job);
	}
});

test("a change from before what REST told changes nothing", () => {
	const job = { ...running, status: "Queued", queued_at: "2026-01-01T00:01:06Z", event: undefined };
	assert.equal(after(job, change(4, "Failed")), job);
});

test("what a change does not say is asked of REST", () => {
	assert.deepEqual(["Pending", "Failed", "Timed Out"].map((status) => isVague({ status })), [true, true, true]);
	assert.deepEqual(["Queued", "Running", "Completed"].map((status) => isVague({ status })), [false, false, false]);
});

const clock = (moment) => new Date(moment).toLocaleString(undefined, { hour: "2-digit", minute: "2-digit", timeZoneName: "short" });
const NOW = Date.parse("2026-01-01T12:00:00Z");
const LATER = "2026-01-01T12:05:00Z";
const said = (job) => told(job, NOW).status;

test("a job that waits says so in plain words", () => {
	assert.equal(said({ status: "Pending", waiting_for: "window" }), "Waiting for its turn");
	assert.equal(said({ status: "Queued", waiting_for: "broker" }), "Waiting for its turn");
	assert.equal(said({ status: "Pending", waiting_for: "a_reason_to_come" }), "Waiting for its turn");
	assert.equal(said({ status: "Pending", waiting_for: "dependency" }), "Waiting for other jobs");
	assert.equal(said({ status: "Pending", waiting_for: "concurrency" }), "Waiting for others of its kind");
	assert.equal(said({ status: "Pending", waiting_for: "breaker" }), "On hold: jobs of this kind fail at present");
	assert.equal(said({ status: "Pending", waiting_for: "type_paused" }), "On hold: jobs of this kind are paused");
	assert.equal(said({ status: "Pending", waiting_for: "run_at", run_at: LATER }), `Waiting until ${clock(LATER)}`);
});

test("another day is named", () => {
	const day = new Date("2026-01-05T12:00:00Z").toLocaleString(undefined, {
		...{ day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZoneName: "short" },
	});
	assert.equal(said({ status: "Pending", waiting_for: "run_at", run_at: "2026-01-05T12:00:00Z" }), `Waiting until ${day}`);
});

test("another year is named", () => {
	const day = new Date("2030-01-05T12:00:00Z").toLocaleString(undefined, {
		...{ day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", timeZoneName: "short" },
	});
	assert.match(day, /2030/);
	assert.equal(said({ status: "Pending", waiting_for: "run_at", run_at: "2030-01-05T12:00:00Z" }), `Waiting until ${day}`);
});

test("a job that waits names what it waits for where the page does", () => {
	assert.equal(said({ status: "Pending", waiting_for: "dependency", waits_for: "Import customers" }), "Waiting for: Import customers");
	assert.equal(said({ status: "Pending", waiting_for: "type_paused", waits_for: "Import customers" }), words.type_paused);
});

test("a page may have sentences of its own for a job's states", () => {
	const own = { Running: "Your catalog is being published", ready: "Your catalog is ready" };
	assert.equal(said({ status: "Running", words: own }), "Your catalog is being published");
	assert.equal(said({ status: "Canceled", words: own }), words.Canceled);
	const file = { job_id: "JOB-1", output_reference: "django_jobs/1/JOB-1/x/a.pdf" };
	assert.equal(said({ status: "Completed", words: own, ...file }), "Your catalog is ready");
});

const failed = (seconds) => ({
	status: "Failed",
	waiting_for: "retry",
	next_retry_at: new Date(NOW + 1000 * seconds).toISOString(),
});

test("a job that failed says when it is tried again", () => {
	assert.equal(said(failed(0.5)), "Trying again in 1 second");
	assert.equal(said(failed(59)), "Trying again in 59 seconds");
	assert.equal(said(failed(60)), "Trying again in 1 minute");
	assert.equal(said(failed(3599)), "Trying again in 59 minutes");
	assert.equal(said(failed(3600)), `Trying again at ${clock("2026-01-01T13:00:00Z")}`);
	assert.match(said(failed(48 * 3600)), /^Trying again on Jan 3, /);
});

test("a job that is due, or of which that is not known, is tried again soon", () => {
	assert.equal(said(failed(-60)), "Trying again soon");
	assert.equal(said({ status: "Timed Out", next_retry_at: null }), "Trying again soon");
});

test("a retry that people hold back is on hold", () => {
	assert.equal(said({ ...failed(60), waiting_for: "type_paused" }), "On hold: jobs of this kind are paused");
});

test("a file is said to be ready", () => {
	const job = { job_id: "JOB-1", status: "Completed", output_reference: "django_jobs/7/JOB-1/abc/sales.pdf" };
	assert.deepEqual([said(job), told(job).output], ["Ready to download", "Download sales.pdf"]);
});

test("news say the job, how it stands and why", () => {
	assert.equal(newsOf({ status: "Dead Letter", error_message: "Busy" }, "Fax", NOW), "Fax: Did not complete. Busy");
	assert.equal(newsOf({ status: "Completed", progress_message: "3 of 3" }, "Fax", NOW), "Fax: Completed");
});

test("an end is said in plain words", () => {
	assert.equal(said({ status: "Dead Letter" }), "Did not complete");
	assert.equal(said({ status: "Running", cancel_requested: true }), "Being canceled");
	const canceled = { status: "Canceled", error_message: "Expired" };
	assert.equal(said({ ...canceled, error_type: "" }), "Canceled: it did not start in time");
	assert.equal(said({ ...canceled, error_type: "Transient" }), "Canceled");
	assert.equal(said({ status: "Canceled", error_message: "Busy" }), "Canceled");
});

test("a translation is taken", (t) => {
	const { Running } = words;
	t.after(() => Object.assign(words, { Running }));
	words.Running = "Läuft";
	assert.equal(said({ status: "Running" }), "Läuft");
});

test("a value that looks like a pattern is a value", () => {
	assert.equal(told({ job_id: "JOB-1", status: "Running", progress_message: "$& {}" }).message, "$& {}");
});

test("a long error is clamped", () => {
	const { message } = told({ status: "Failed", error_message: "x".repeat(10_000) });
	assert.equal(message, `${"x".repeat(300)}…`);
});

test("an error of an earlier attempt is not shown while the job runs", () => {
	assert.equal(told({ status: "Running", error_message: "Busy", progress_message: "Page 2" }).message, "Page 2");
});

test("a job that begins anew is no longer being canceled", () => {
	assert.equal(after({ ...running, cancel_requested: true }, change(4, "Pending")).cancel_requested, false);
});

test("how long a job took", () => {
	const end = change(4, "Completed", { completed_at: "2026-01-01T00:01:05Z" });
	assert.equal(told(after(running, end), at(500)).time, "1:05");
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
	assert.equal(told({ status: "Failed", error_message: "Busy", progress_message: "Page 2" }).message, "Busy");
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
