/*
 * Keeps the parts of an open page up to date: the server renders them again, and those that differ replace the old
 * ones. It asks every few seconds, and at once if the socket tells of a change. It also shows the values of a chart
 * at the pointer, or at the place that the arrow keys choose.
 */

import {exchange, keepAsking, openSocket, readPage, showParts, tell} from "./page_parts.js";

const PAUSE = 5000;
// With a socket, asking by the clock is needed only for what changes by itself, such as ages.
const CALM_PAUSE = 15000;
const HINT_PAUSE = 1500;

const page = document.querySelector("[data-djobs-refresh]");
let isLive = false;

// What the pointer or the arrow keys chose in a chart stays chosen.
function put(old, next) {
    const here = [...old.querySelectorAll(".djobs-bucket")].findIndex((element) => element.matches(".djobs-here"));
    const said = old.querySelector("[data-djobs-readout]")?.textContent;
    if (!exchange(old, next)) {
        return;
    }
    const readout = old.querySelector("[data-djobs-readout]");
    if (here >= 0 && old.querySelectorAll(".djobs-bucket").length > here) {
        point(old.querySelector(".djobs-chart"), here);
    } else if (said && readout) {
        readout.textContent = said;
    }
}

async function ask() {
    const fresh = await readPage(page.dataset.djobsRefresh);
    if (fresh) {
        showParts(fresh, put);
    }
    tell(fresh ? "" : "djobsOut");
    if (!fresh || page.querySelector("[data-djobs-over]")) {
        refresh.stop();
    }
}

function point(chart, index) {
    const buckets = [...chart.querySelectorAll(".djobs-bucket")];
    const readout = chart.parentElement.querySelector("[data-djobs-readout]");
    buckets.forEach((bucket, other) => bucket.classList.toggle("djobs-here", other === index));
    if (readout && buckets[index]) {
        readout.textContent = buckets[index].querySelector("title").textContent;
    }
}

function step(event) {
    const chart = event.target.closest?.("[data-djobs-chart]");
    const direction = {ArrowLeft: -1, ArrowRight: 1}[event.key];
    if (!chart || !direction) {
        return;
    }
    event.preventDefault();
    const buckets = [...chart.querySelectorAll(".djobs-bucket")];
    const at = buckets.findIndex((bucket) => bucket.matches(".djobs-here"));
    const next = at < 0 ? buckets.length - 1 : Math.min(buckets.length - 1, Math.max(0, at + direction));
    point(chart, next);
}

function hover(event) {
    const bucket = event.target.closest?.(".djobs-bucket");
    const chart = bucket?.closest("[data-djobs-chart]");
    if (chart) {
        point(chart, [...chart.querySelectorAll(".djobs-bucket")].indexOf(bucket));
    }
}

document.addEventListener("keydown", step);
document.addEventListener("pointerover", hover);

// A page of few things may ask more often.
const pause = () => (isLive ? CALM_PAUSE : Number(page.dataset.djobsPause) || PAUSE);
const refresh = page && keepAsking({ask, pause, late: () => tell("djobsLate"), hintPause: HINT_PAUSE});
if (page) {
    openSocket(page, "admin:jobs", {
        joined: () => { isLive = true; },
        close: () => { isLive = false; },
        job_status_changed: refresh.hint,
    });
}
