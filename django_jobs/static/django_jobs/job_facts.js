// What a browser knows of a job, and how it says so. No page is needed here, nor a socket.

// To be translated by whoever imports them; statuses may be added.
export const words = {
	cancel: "Cancel",
	canceling: "Canceling",
	output: "Download",
	gone: "Not available",
	left: "about {} left",
	// Why a job waits, as REST has it.
	run_at: "Scheduled for later",
	dependency: "Waits for another job",
	retry: "Will be tried again",
	organization_inactive: "The organization is suspended",
	type_disabled: "Jobs of this type are switched off",
	type_paused: "Jobs of this type are paused",
	handler: "Waits for a worker that can run it",
	limit: "Waits for its turn",
	window: "Waits for its turn",
	broker: "Waits for its turn",
};

export const FINAL = /Completed|Canceled|gone/;
export const ENDED = /Completed|Canceled|gone|Dead Letter/;

// The job after a message of the server; an old message changes nothing.
export function after(job, { event, id, data }) {
	const { attempt, to_status: status, updated_at: now } = data;
	const isCurrent = attempt > job.attempt || (attempt === job.attempt && job.status === "Running");
	if (event === "job_progress") return isCurrent ? { ...job, ...data } : job;
	if (id <= job.event) return job;
	const isEnded = ENDED.test(status);
	const waiting_for = status === "Queued" ? "broker" : "";
	const next = { ...job, ...data, event: id, status, waiting_for, cancel_requested: false };
	if (status === "Running") next.started_at = now;
	if (!isEnded) next.progress_message = "";
	next.completed_at = isEnded && now;
	return next;
}

// What is said of a job at this moment. `file` is empty unless a handler saved one.
export function told(job, now) {
	const { status = "", progress = 0, output_reference: reference } = job;
	const file = reference?.match(`^django_jobs/[^/]+/${job.job_id}/[^/]+/([^/]+)$`)?.[1] ?? "";
	return {
		status: words[status] ?? status,
		progress,
		percent: `${progress} %`,
		message: job.error_message || job.progress_message || words[job.waiting_for] || "",
		time: times(job, now),
		file,
		output: `${words.output} ${file}`,
		cancel: job.cancel_requested ? words.canceling : words.cancel,
	};
}

// How long the job took, or has run and may still run: "1:05, about 0:40 left".
function times({ status, progress, started_at, completed_at, canceled_at }, now) {
	const clock = (seconds) => `${Math.floor(seconds / 60)}:${`${Math.floor(seconds % 60)}`.padStart(2, 0)}`;
	const end = status === "Running" ? now : Date.parse(completed_at || canceled_at);
	const spent = (end - Date.parse(started_at)) / 1000;
	if (!(spent >= 0)) return "";
	if (end !== now || spent < 3 || progress < 3) return clock(spent);
	return `${clock(spent)}, ${words.left.replace("{}", clock(spent * (100 / progress - 1)))}`;
}
