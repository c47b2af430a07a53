/*
 * Keeps an open page of one job up to date, in all its parts: it reads the page again every few seconds, and at once
 * if the socket tells of a change. It says when it cannot, and when the job was deleted.
 */

import {keepAsking, openSocket, readPage, showParts, tell} from "./page_parts.js";

// While the socket tells of changes, asking by the clock is needed only for what changes by itself, such as durations.
const CALM_PAUSE = 5000;

const page = document.querySelector("[data-djobs-page]");

let refresh = null;
let socket = null;
let isOver = false;
let isLive = false;
let isLost = false;

function pause() {
    const own = Number(document.querySelector("[data-djobs-part=heading]")?.dataset.djobsPause) || CALM_PAUSE;
    return Math.max(own, isLive ? CALM_PAUSE : 0);
}

function stop() {
    isOver = true;
    refresh.stop();
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
    tell();
    note.hidden = false;
    if (hadFocus) {
        note.focus();
    }
}

async function ask() {
    const fresh = await readPage(window.location.href.split("#")[0]);
    if (!fresh) {
        await findOutWhy();
        return;
    }
    showParts(fresh);
    tell(isLost ? "djobsLost" : "");
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
    socket = await openSocket(page, page.dataset.djobsRoom, {
        joined: () => {
            isLive = true;
            isLost = false;
            refresh.hint(); // the job may have changed while the page was made and sent
        },
        close: () => {
            isLive = false;
            isLost = !isOver;
            refresh.hint();
        },
        job_status_changed: refresh.hint,
        job_progress: showProgress,
    });
    if (isOver) {
        socket?.close();
    }
}

if (page) {
    refresh = keepAsking({ask, pause, late: () => tell("djobsLate")});
    // The page goes into the browser's memory, and comes back from it, where no socket lived on.
    window.addEventListener("pagehide", () => {
        socket?.close();
        socket = null;
        isLive = isLost = false;
    });
    window.addEventListener("pageshow", (event) => { if (event.persisted && !isOver) { listen(); } });
    listen();
}
