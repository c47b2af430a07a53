// Keeps the list up to date: jobs and batches that somebody else starts. What moves inside a row is the elements' matter.

import { sharedSocket } from "../django_jobs/jobs.js";
import { momentIn } from "../django_jobs/page_language.js";

const SOON = 300;
const PAUSE = 2000; // between two requests for the list, however much happens
const list = document.getElementById("jobs");
let waiting = null;
let asked = 0; // when the list was asked for

// Tells times in the reader's zone.
function tellTimes(root) {
	for (const time of root.querySelectorAll("time")) time.textContent = momentIn(time.dateTime).text;
}

// Rows that the list has stay as they are.
function merge(rows) {
	const gone = new Map([...list.children].map((row) => [row.id, row]));
	rows.forEach((row, place) => {
		if (!gone.delete(row.id)) list.insertBefore(row, list.children[place] ?? null);
	});
	for (const row of gone.values()) if (!row.contains(document.activeElement)) row.remove();
}

async function refresh() {
	asked = Date.now();
	const response = await fetch(location.pathname).catch(() => null);
	waiting = null;
	if (!response?.ok || response.redirected) return;
	const page = new DOMParser().parseFromString(await response.text(), "text/html");
	tellTimes(page);
	merge([...page.getElementById("jobs").children]);
}

// A crowd of changes is one request.
function refreshSoon() {
	waiting ??= setTimeout(refresh, Math.max(SOON, asked + PAUSE - Date.now()));
}

tellTimes(document);
const address = new URL("/ws/jobs/", location.href);
address.protocol = address.protocol.replace("http", "ws");
const socket = sharedSocket(address.href);
socket.addEventListener("joined", refreshSoon);
socket.addEventListener("job_status_changed", ({ detail }) => {
	if (!document.getElementById(detail.data.job_id)) refreshSoon();
});
socket.join(list.dataset.room);
setInterval(() => socket.open || document.hidden || refreshSoon(), 10_000);
