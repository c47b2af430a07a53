/*
 * Asks the server every few seconds how the unfinished jobs of an open admin page stand, and shows the answers.
 * A server's text is only ever set as text, never as HTML. A page that hears of changes sooner dispatches the event
 * `django-jobs:changed` on the document; the script then asks at once.
 */
(() => {
    "use strict";

    const PAUSE = 2000;
    const CALM_PAUSE = 10000;
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
            if (!holder.dataset.djobsPage) {
                holder.dataset.djobsFinal = facts.final ? "yes" : "no";
            }
        }
        for (const holder of all("progress", pk)) {
            holder.hidden = !facts.progress && facts.status !== "Running";
            holder.title = facts.message;
            holder.querySelector("progress").value = facts.progress;
            setText(holder.querySelectorAll("small"), `${facts.progress} %`);
        }
        setText(all("message", pk), facts.message);
        for (const [name, text] of Object.entries(facts.texts)) {
            setText(all(name, pk), text);
        }
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

    const nameOf = (element) => element.getAttribute("href") || element.id || element.textContent;
    const focusable = (part) => [...part.querySelectorAll("a, button, input, select, summary, [tabindex]")];

    const foldOf = (element) => element.dataset.djobsFold || element.querySelector("summary").textContent.trim();

    // Details that were opened or closed stay so, and the element that has the focus keeps it.
    function exchange(old, next) {
        const open = new Map([...old.querySelectorAll("details")].map((element) => [foldOf(element), element.open]));
        const focused = old.contains(document.activeElement) ? nameOf(document.activeElement) : null;
        old.replaceWith(document.adoptNode(next));
        for (const element of next.querySelectorAll("details")) {
            element.open = open.get(foldOf(element)) ?? element.open;
        }
        if (focused !== null) {
            focusable(next).find((element) => nameOf(element) === focused)?.focus({preventScroll: true});
        }
    }

    // A job's own page also has buttons, result, error and attempts, so the whole page is read again.
    async function readPageAgain(holder) {
        const response = await fetch(window.location.href, {credentials: "same-origin", cache: "no-store"});
        if (response.redirected || response.status === 403) {
            return false; // logged out, no longer permitted, or the job is gone
        }
        if (!response.ok) {
            throw new Error(`status ${response.status}`);
        }
        const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
        const freshHolder = fresh.querySelector("[data-djobs-page]");
        // Some releases of Django put the buttons into the content, and others beside it.
        for (const part of ["#content-main", ".object-tools"]) {
            const old = document.querySelector(part);
            const next = fresh.querySelector(part);
            if (old && next) {
                exchange(old, next);
            }
        }
        if (freshHolder && holder.isConnected) {
            holder.replaceWith(document.adoptNode(freshHolder));
        }
        return true;
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
        let goesOn = true;
        for (const key of keys) {
            const page = document.querySelector(`[data-djobs-page][data-djobs-job="${key}"]`);
            if (!jobs[key]) {
                showGone(key, source.dataset.djobsGone);
            } else if (page && page.dataset.djobsState !== jobs[key].state) {
                goesOn = await readPageAgain(page);
            } else {
                show(key, jobs[key]);
            }
        }
        return goesOn;
    }

    // Dead letters change only by hand, so a page that shows nothing else asks less often.
    function pace() {
        const unfinished = [...document.querySelectorAll('[data-djobs-job][data-djobs-final="no"]')];
        return unfinished.every((holder) => holder.querySelector(".djobs-dead-letter")) ? CALM_PAUSE : PAUSE;
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
            pause = pace();
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
        // The page comes back from the browser's memory, where no timer ran.
        window.addEventListener("pageshow", (event) => { if (event.persisted) { round(); } });
        // A job's page asks at once: the job may have changed while the page was made and sent.
        timer = window.setTimeout(round, document.querySelector("[data-djobs-page]") ? 0 : PAUSE);
    }

    if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", start);
    } else {
        start();
    }
})();
