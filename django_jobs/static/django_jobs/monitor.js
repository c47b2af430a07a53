/*
 * Keeps the parts of an open page up to date: the server renders them again, and those that differ replace the old
 * ones. It asks every few seconds, and at once if the socket tells of a change. It also shows the values of a chart
 * at the pointer, or at the place that the arrow keys choose.
 */

import {exchange} from "./page_parts.js";

const PAUSE = 5000;
// With a socket, asking by the clock is needed only for what changes by itself, such as ages.
const CALM_PAUSE = 15000;
const LONGEST_PAUSE = 60000;
const HINT_PAUSE = 1500;

// What somebody fills in or presses is not replaced meanwhile.
const FILLED_IN = "form :is(input, select, textarea, button):focus";

const page = document.querySelector("[data-djobs-refresh]");
const state = document.querySelector("[data-djobs-state]");
// A page of few things may ask more often.
const ownPause = Number(page?.dataset.djobsPause) || PAUSE;
let pause = ownPause;
let timer = null;
let asking = false;
let hinted = false;
let isOver = false;
let isLive = false;

function tell(text) {
    if (state && state.textContent !== text) {
        state.textContent = text;
    }
}

// What the pointer or the arrow keys chose in a chart stays chosen.
function refresh(old, next) {
    if (old.querySelector(FILLED_IN)) {
        return;
    }
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
    const response = await fetch(page.dataset.djobsRefresh, {credentials: "same-origin", cache: "no-store"});
    if (response.redirected || response.status === 403 || response.status === 404) {
        isOver = true;
        tell(state?.dataset.djobsOut ?? "");
        return;
    }
    if (!response.ok) {
        throw new Error(`status ${response.status}`);
    }
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    for (const next of fresh.querySelectorAll("[data-djobs-part]")) {
        // Some releases of Django put the buttons into the content, and others beside it.
        const old = document.querySelector(`[data-djobs-part="${next.dataset.djobsPart}"]`);
        if (old) {
            refresh(old, next);
        }
    }
    isOver = page.querySelector("[data-djobs-over]") !== null;
    tell("");
}

async function round() {
    window.clearTimeout(timer);
    if (asking || isOver || document.hidden) {
        return;
    }
    asking = true;
    hinted = false;
    try {
        await ask();
        pause = isLive ? CALM_PAUSE : ownPause;
    } catch {
        pause = Math.min(pause * 2, LONGEST_PAUSE);
        tell(state?.dataset.djobsLate ?? "");
    }
    asking = false;
    if (!isOver) {
        timer = window.setTimeout(round, hinted ? HINT_PAUSE : pause);
    }
}

// Changes come in bursts, and one request serves all of them.
function hint() {
    if (!hinted) {
        hinted = true;
        if (!asking) {
            window.clearTimeout(timer);
            timer = window.setTimeout(round, HINT_PAUSE);
        }
    }
}

async function listen() {
    if (!page.dataset.djobsSocket) {
        return;
    }
    try {
        const {JobsSocket} = await import(page.dataset.djobsSockets);
        const socket = new JobsSocket({url: page.dataset.djobsSocket});
        socket.addEventListener("joined", () => { isLive = true; });
        socket.addEventListener("close", () => { isLive = false; });
        socket.addEventListener("job_status_changed", hint);
        socket.join("admin:jobs");
    } catch {
        isLive = false; // the page goes on asking by the clock
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
if (page) {
    document.addEventListener("visibilitychange", round);
    timer = window.setTimeout(round, ownPause);
    listen();
}
