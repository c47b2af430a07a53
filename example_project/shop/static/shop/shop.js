// Keeps the list of jobs up to date: jobs that somebody else starts, and the counts of groups. What moves inside a card
// of a single job is <job-progress>'s matter.

import { sharedSocket } from "../django_jobs/jobs.js";
import { momentIn } from "../django_jobs/page_language.js";

const SOON = 300;
const PAUSE = 2000; // between two requests for the list, however much happens
const list = document.getElementById("jobs");
const isLive = "rows" in list.dataset;
let waiting = null;
let asked = 0; // when the list was asked for

// Tells times in the reader's zone.
function tellTimes(root) {
	for (const time of root.querySelectorAll("time")) time.textContent = momentIn(time.dateTime).text;
}

async function rowsFrom(url) {
	const response = await fetch(url);
	if (!response.ok || response.redirected) return null;
	const template = document.createElement("template");
	template.innerHTML = await response.text();
	tellTimes(template.content);
	return [...template.content.children];
}

// Makes a list hold these rows. Single jobs that it has already stay as they are, and groups stay open.
function merge(target, rows) {
	const known = new Map([...target.children].map((row) => [row.id, row]));
	rows.forEach((row, place) => {
		const old = known.get(row.id);
		known.delete(row.id);
		if (!old) target.insertBefore(row, target.children[place] ?? null);
		else if (row.dataset.kind) updateGroup(old, row);
	});
	for (const row of known.values()) if (!row.contains(document.activeElement)) row.remove();
}

function updateGroup(old, row) {
	const [summary, members] = ["summary", ".members"].map((selector) => row.querySelector(selector));
	const isNews = old.dataset.told !== row.dataset.told;
	const hasMore = old.dataset.newest !== row.dataset.newest;
	Object.assign(old.dataset, row.dataset);
	old.querySelector("summary").replaceChildren(...summary.childNodes);
	old.querySelector(".links").replaceChildren(...row.querySelector(".links").childNodes);
	old.querySelector(".members").dataset.rows = members.dataset.rows;
	if (hasMore && old.querySelector("details").open) showMembers(old);
	if (isNews) document.getElementById("news").textContent = newsOf(old);
}

// Returns what is read out of a group: how many jobs of what, and what became of them.
function newsOf(group) {
	const texts = [...group.querySelectorAll("summary strong, summary .count")];
	return texts.map((node) => node.textContent).join(", ");
}

async function showMembers(group) {
	const members = group.querySelector(".members");
	const rows = await rowsFrom(members.dataset.rows).catch(() => null);
	if (rows) merge(members, rows);
}

// A crowd of changes is one request.
function refreshSoon() {
	waiting ??= setTimeout(refresh, Math.max(SOON, asked + PAUSE - Date.now()));
}

async function refresh() {
	asked = Date.now();
	const rows = await rowsFrom(list.dataset.rows).catch(() => null);
	waiting = null;
	if (rows) merge(list, rows);
}

// A job without a card of its own is new, or in a group.
function hasCard({ data }) {
	return [...list.children].some(({ id }) => id === data.job_id);
}

tellTimes(document);
// The event of a <details> does not bubble.
list.addEventListener("toggle", ({ target }) => target.open && showMembers(target.closest(".job")), { capture: true });
if (isLive) {
	const address = new URL("/ws/jobs/", location.href);
	address.protocol = address.protocol.replace("http", "ws");
	const socket = sharedSocket(address.href);
	socket.addEventListener("joined", refreshSoon);
	socket.addEventListener("job_status_changed", ({ detail }) => hasCard(detail) || refreshSoon());
	socket.join(list.dataset.room);
	setInterval(() => socket.open || document.hidden || refreshSoon(), 10_000);
}
