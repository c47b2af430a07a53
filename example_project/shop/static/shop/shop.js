// Shows jobs that somebody else starts while the page is open. What moves inside a row is <job-progress>'s matter.

import { sharedSocket } from "../django_jobs/jobs.js";

const SHOWN = 50;
const list = document.getElementById("jobs");
const address = new URL("/ws/jobs/", location.href);
address.protocol = address.protocol.replace("http", "ws");
const socket = sharedSocket(address.href);
const unlisted = list.dataset.unlisted.split(" ");
let waiting = null;

function isMissing({ data }) {
	return !unlisted.includes(data.job_type) && document.getElementById(data.job_id) === null;
}

// A crowd of new jobs is one request.
function refreshSoon() {
	waiting ??= setTimeout(async () => {
		await refresh().catch(() => {});
		waiting = null;
	}, 300);
}

async function refresh() {
	const response = await fetch(list.dataset.rows);
	if (!response.ok || response.redirected) return;
	const template = document.createElement("template");
	template.innerHTML = await response.text();
	[...template.content.children].forEach((row, place) => {
		if (!document.getElementById(row.id)) list.insertBefore(row, list.children[place] ?? null);
	});
	while (list.children.length > SHOWN) list.lastElementChild.remove();
}

socket.addEventListener("joined", refreshSoon);
socket.addEventListener("job_status_changed", ({ detail }) => isMissing(detail) && refreshSoon());
socket.join(list.dataset.room);
setInterval(() => socket.open || document.hidden || refreshSoon(), 10_000);
