/*
 * Keeps what an open admin page shows of unfinished jobs up to date by asking for their facts now and then.
 * Server text is only ever set as text. A page that has a faster source dispatches the event `django-jobs:changed`
 * on the document, and is asked at once.
 */
(() => {
    "use strict";

    const PAUSE = 2000;
    const LONGEST_PAUSE = 60000;
    let pause = PAUSE;
    let timer = null;
    let asking = false;

    const all = (name, pk) => document.querySelectorAll(`[data-djobs-${name}="${pk}"]`);

    function setText(elements, text) {
        for (const element of elements) {
            if (element.textContent !== text) {
                element.textContent = text;
            }
        }
    }

    function show(pk, facts) {
        for (const holder of all("job", pk)) {
            const badge = holder.querySelector(".djobs-badge");
            badge.className = `djobs-badge ${facts.slug}`;
            setText([badge], facts.status);
            setText(holder.querySelectorAll("small"), facts.note);
            holder.dataset.djobsFinal = facts.final ? "yes" : "no";
        }
        for (const holder of all("progress", pk)) {
            holder.hidden = !facts.progress && facts.status !== "Running";
            holder.title = facts.message;
            holder.querySelector("progress").value = facts.progress;
            setText(holder.querySelectorAll("small"), `${facts.progress} %`);
        }
        setText(all("message", pk), facts.message);
        setText(all("waited", pk), facts.waited);
        setText(all("ran", pk), facts.ran);
    }

    function showGone(pk, text) {
        for (const holder of all("job", pk)) {
            holder.dataset.djobsFinal = "yes";
            if (holder.dataset.djobsPage) {
                const note = document.createElement("p");
                note.className = "errornote djobs-gone";
                note.setAttribute("role", "alert");
                note.textContent = text;
                holder.after(note);
            } else {
                setText(holder.querySelectorAll("small"), text);
            }
        }
    }

    // A job's own page tells more than its facts: it is read again as soon as one of those that matter differs.
    async function readPageAgain(holder) {
        const response = await fetch(window.location.href, {credentials: "same-origin"});
        if (!response.ok || response.redirected) {
            return;
        }
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
        const freshHolder = fresh.querySelector("[data-djobs-page]");
        // The buttons stand inside of the content in some releases of Django, and beside it in others.
        for (const part of ["#content-main", ".object-tools"]) {
            const old = document.querySelector(part);
            const next = fresh.querySelector(part);
            if (old && next) {
                old.replaceWith(document.adoptNode(next));
            }
        }
        if (freshHolder && holder.isConnected) {
            holder.replaceWith(document.adoptNode(freshHolder));
        }
    }

    async function ask() {
        const source = document.querySelector("[data-djobs-live]");
        const unfinished = [...document.querySelectorAll('[data-djobs-job][data-djobs-final="no"]')];
        if (!source || !unfinished.length) {
            return false;
        }
        const keys = [...new Set(unfinished.map((holder) => holder.dataset.djobsJob))];
        const response = await fetch(`${source.dataset.djobsLive}?ids=${keys.join(",")}`, {
            credentials: "same-origin",
            headers: {Accept: "application/json"},
        });
        if (response.redirected || response.status === 403) {
            return false; // logged out, or no longer permitted
        }
        if (!response.ok) {
            throw new Error(`status ${response.status}`);
        }
        const {jobs} = await response.json();
        for (const key of keys) {
            if (!jobs[key]) {
                showGone(key, source.dataset.djobsGone);
                continue;
            }
            const page = document.querySelector(`[data-djobs-page][data-djobs-job="${key}"]`);
            const state = `${jobs[key].status} ${jobs[key].attempt} ${jobs[key].note}`;
            show(key, jobs[key]);
            if (page && page.dataset.djobsState && page.dataset.djobsState !== state) {
                await readPageAgain(page);
            }
            const now = document.querySelector(`[data-djobs-page][data-djobs-job="${key}"]`);
            if (now) {
                now.dataset.djobsState = state;
            }
        }
        return true;
    }

    async function round() {
        window.clearTimeout(timer);
        if (asking || document.hidden) {
            return;
        }
        asking = true;
        let goesOn = true;
        try {
            goesOn = await ask();
            pause = PAUSE;
        } catch {
            pause = Math.min(pause * 2, LONGEST_PAUSE);
        }
        asking = false;
        if (goesOn) {
            timer = window.setTimeout(round, pause);
        }
    }

    function start() {
        document.addEventListener("visibilitychange", round);
        document.addEventListener("django-jobs:changed", round);
        timer = window.setTimeout(round, PAUSE);
    }

    if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", start);
    } else {
        start();
    }
})();
