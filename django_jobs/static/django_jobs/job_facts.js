// What a browser knows of a job, and the words for it. Nothing here needs a page or a socket.

import { countIn, fill, momentIn, numberIn, takeWords } from "./page_language.js";

// The words of the page, by the names of their tables in templatetags; a plural by sample numbers. A page may change them.
export const words = {};
takeWords("job", words);

export const FINAL = /Completed|Canceled|gone/;
export const ENDED = /Completed|Canceled|gone|Dead Letter/;
export const AMISS = /Failed|Timed Out|Dead Letter/;
const HELD = /organization_inactive|type_|handler|breaker/;
const LONGEST = 300;
const AFTER_OTHERS = /^(dependency|concurrency|limit)$/;
const HOUR = 3600;

// Returns the job after a message of the server. A message that is older than what is known changes nothing.
export function after(job, message) {
	if (message.event === "joined") return asJoined(job, message);
	return message.event === "job_progress" ? withProgress(job, message.data) : withStatus(job, message);
}

function asJoined(job, { cursor, data, updated_at }) {
	return cursor < job.event ? job : { ...job, ...data, event: cursor, updated_at };
}

function withProgress(job, data) {
	const { attempt, updated_at: now } = data;
	if (attempt > job.attempt) return { ...job, ...data, started_at: now, error_message: "", cancel_requested: false };
	const isLate = attempt !== job.attempt || job.status !== "Running" || isBefore(now, job.updated_at);
	return isLate ? job : { ...job, ...data };
}

function withStatus(job, { id, data }) {
	const { attempt, to_status: status, updated_at: now } = data;
	const isLate =
		id <= job.event ||
		attempt < job.attempt ||
		(attempt === job.attempt && status === "Running" && job.status !== "Running") || // it is known to have run already
		[job.queued_at, job.completed_at, job.canceled_at].some((moment) => isBefore(now, moment));
	if (isLate) return job;
	const next = { ...job, ...data, event: id, status, cancel_requested: false, next_retry_at: null, run_at: null };
	next.waiting_for = status === "Queued" ? "broker" : null;
	if (status === "Queued") next.queued_at = now;
	if (status === "Running") next.started_at = data.started_at ?? now;
	else if (ENDED.test(status) || AMISS.test(status)) next.started_at = data.started_at ?? job.started_at;
	if (status === "Canceled") next.canceled_at = now;
	return next;
}

const isBefore = (one, other) => Date.parse(one) < Date.parse(other);

// An event does not say why a job waits or until when. REST does.
export const isVague = ({ status }) => /Pending|Failed|Timed Out/.test(status);

// Returns what is said of a job at this moment. `file` is empty unless a handler saved one. With `isOld`, what is known
// may have changed meanwhile, and no time that is left is told.
export function told(job, now = Date.now(), isOld = false) {
	const { progress = 0, output_reference: reference } = job;
	const file = reference?.match(`^django_jobs/[^/]+/${job.job_id}/[^/]+/([^/]+)$`)?.[1] ?? "";
	const text = (AMISS.test(job.status) && job.error_message) || job.progress_message || "";
	return {
		status: statusOf(job, now, file),
		progress,
		percent: fill(words.percent, { number: numberIn(progress) }),
		message: text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text,
		time: times(job, now, isOld),
		file,
		output: fill(words.output, { file }),
		cancel: job.cancel_requested ? words.canceling : words.cancel,
		retry: job.retry_requested ? words.retrying : words.retry,
	};
}

// Returns what is read out when a job has ended or failed: what job, how it stands, and why.
export function newsOf(job, label, now) {
	const { status, message } = told(job, now);
	const reason = AMISS.test(job.status) ? message : "";
	return fill(reason ? words.news_why : words.news, { label, status, reason });
}

function statusOf(job, now, file) {
	const { status = "", waiting_for, waits_for, cancel_requested, run_at, next_retry_at } = job;
	const own = (name) => job.words?.[name] ?? words[name];
	const plain = own(status) ?? status;
	// Each error of an attempt has a type; a canceled job has an error without one only if it did not start in time.
	if (status === "Canceled" && job.error_message && job.error_type === "") return own("expired");
	if (status === "Completed" && file) return own("ready");
	if (status === "Running") return cancel_requested ? own("stopping") : plain;
	const held = HELD.test(waiting_for) && words[waiting_for];
	if (/Failed|Timed Out/.test(status)) return held || again(plain, Date.parse(next_retry_at), now);
	if (!/Pending|Queued/.test(status)) return plain;
	if (waiting_for === "run_at") return run_at ? fill(words.run_at, { time: momentIn(run_at, now).text }) : plain;
	if (waiting_for === "dependency" && waits_for) return fill(words.waits_for, { names: waits_for });
	return held || (AFTER_OTHERS.test(waiting_for) ? words[waiting_for] : plain);
}

// Returns when a job is tried again: "in 2 minutes", and where that is far away, at which time.
function again(plain, due, now) {
	const seconds = Math.floor((due - now) / 1000);
	if (!(due > now)) return plain;
	if (seconds < 60) return countIn(words.again_seconds, Math.max(seconds, 1));
	if (seconds < HOUR) return countIn(words.again_minutes, Math.floor(seconds / 60));
	const { text: time, isToday } = momentIn(due, now);
	return fill(isToday ? words.again_at : words.again_on, { time });
}

// Returns how long the job took, or has run and may still run: "1:05, about 0:40 left".
function times({ status, progress, started_at, completed_at, canceled_at }, now, isOld) {
	const clock = (seconds) => `${Math.floor(seconds / 60)}:${`${Math.floor(seconds % 60)}`.padStart(2, 0)}`;
	const end = status === "Running" ? now : Date.parse(completed_at || canceled_at);
	const spent = (end - Date.parse(started_at)) / 1000;
	if (!(spent >= 0)) return "";
	if (end !== now || spent < 3 || progress < 3 || isOld) return clock(spent);
	return fill(words.left, { time: clock(spent), left: clock(spent * (100 / progress - 1)) });
}
