/*
 * Keeps an open page of one job up to date, in all its parts: it reads the page again every few seconds, and at once
 * if the socket tells of a change. It says when it cannot, and when the job was deleted.
 */

import {exchange} from "./page_parts.js";

const LONGEST_PAUSE = 60000;
// While the socket tells of changes, asking by the clock is needed only for what changes by itself, such as durations.
const CALM_PAUSE = 5000;
// Changes come in bursts, and one request serves all of them.
const HINT_PAUSE = 300;

const page = document.querySelector("[data-djobs-page]");
const state = page?.querySelector("[data-djobs-state]");
const heading = () => document.querySelector("[data-djobs-part=heading]");

let failures = 0;
let timer = null;
let asking = false;
let hinted = false;
let isOver = false;
let isLive = false;
let isLost = false;
let socket = null;

function tell(name) {
    const text = name ? state.dataset[name] : "";
    if (state.textContent !== text) {
        state.textContent = text;
    }
}

function pause() {
    const own = Number(heading()?.dataset.djobsPause) || CALM_PAUSE;
    return failures ? Math.min(own * 2 ** failures, LONGEST_PAUSE) : Math.max(own, isLive ? CALM_PAUSE : 0);
}

function stop() {
    isOver = true;
    window.clearTimeout(timer);
    socket?.close();
}

// The server sends whoever asks for a deleted job, or is logged out, to another page. The list's answer tells which.
async function findOutWhy() {
    const address = `${page.dataset.djobsLive}?ids=${page.dataset.djobsPage}`;
    const response = await fetch(address, {credentials: "same-origin", cache: "no-store", redirect: "manual"});
    const jobs = response.ok ? (await response.json()).jobs : null;
    if (jobs && page.dataset.djobsPage in jobs) {
        throw new Error("the job is there, and its page is not");
    }
    stop();
    if (!jobs) {
        tell("djobsOut");
        return;
    }
    const note = page.querySelector("[data-djobs-gone]");
    const buttons = [...document.querySelectorAll(".djobs-act-row, [data-djobs-part=tools]")];
    const hadFocus = buttons.some((element) => element.contains(document.activeElement));
    buttons.forEach((element) => element.remove());
    tell("");
    note.hidden = false;
    if (hadFocus) {
        note.focus();
    }
}

function show(fresh) {
    const before = heading()?.dataset.djobsNews;
    for (const next of fresh.querySelectorAll("[data-djobs-part]")) {
        const old = document.querySelector(`[data-djobs-part="${next.dataset.djobsPart}"]`);
        if (old) {
            exchange(old, next);
        }
    }
    const news = heading()?.dataset.djobsNews;
    if (news !== before) {
        page.querySelector("[data-djobs-said]").textContent = news;
    }
}

async function ask() {
    const address = window.location.href.split("#")[0];
    const response = await fetch(address, {credentials: "same-origin", cache: "no-store", redirect: "manual"});
    if (response.type === "opaqueredirect" || response.status === 403 || response.status === 404) {
        await findOutWhy();
        return;
    }
    if (!response.ok) {
        throw new Error(`status ${response.status}`);
    }
    show(new DOMParser().parseFromString(await response.text(), "text/html"));
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
        failures = 0;
        if (!isOver) {
            tell(isLost ? "djobsLost" : "");
        }
    } catch {
        failures += 1;
        tell("djobsLate");
    }
    asking = false;
    if (!isOver) {
        timer = window.setTimeout(round, hinted ? HINT_PAUSE : pause());
    }
}

function hint() {
    if (!hinted && !isOver) {
        hinted = true;
        if (!asking) {
            window.clearTimeout(timer);
            timer = window.setTimeout(round, HINT_PAUSE);
        }
    }
}

function showProgress({detail: {data}}) {
    const pk = page.dataset.djobsPage;
    for (const holder of document.querySelectorAll(`[data-djobs-progress="${pk}"]`)) {
        holder.hidden = false;
        holder.querySelector("progress").value = data.progress;
        holder.querySelector("small").textContent = `${data.progress} %`;
    }
    for (const holder of document.querySelectorAll(`[data-djobs-message="${pk}"]`)) {
        holder.textContent = data.progress_message;
    }
}

async function listen() {
    if (!page.dataset.djobsSocket || isOver) {
        return;
    }
    try {
        const {JobsSocket} = await import(page.dataset.djobsSockets);
        socket = new JobsSocket({url: page.dataset.djobsSocket});
        socket.addEventListener("joined", () => {
            isLive = true;
            isLost = false;
            hint();
        });
        socket.addEventListener("close", () => {
            isLive = false;
            isLost = !isOver;
            hint();
        });
        socket.addEventListener("job_status_changed", hint);
        socket.addEventListener("job_progress", showProgress);
        socket.join(page.dataset.djobsRoom);
    } catch {
        socket = null; // the page goes on asking by the clock
    }
}

if (page) {
    document.addEventListener("visibilitychange", round);
    // The page goes into the browser's memory, and comes back from it, where neither timer nor socket lived on.
    window.addEventListener("pagehide", () => {
        socket?.close();
        socket = null;
        isLive = isLost = false;
    });
    window.addEventListener("pageshow", (event) => {
        if (event.persisted) {
            round();
            listen();
        }
    });
    timer = window.setTimeout(round, pause());
    listen(); // and ask once the socket is joined: the job may have changed while the page was made and sent
}
