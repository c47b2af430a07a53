/*
 * Asks the server every few seconds how the unfinished jobs of an open list stand, and shows the answers.
 * A server's text is only ever set as text, never as HTML.
 */

import {keepAsking} from "./page_parts.js";

const PAUSE = 2000;
const CALM_PAUSE = 10000;

const source = document.querySelector("[data-djobs-live]");
const unfinished = () => [...document.querySelectorAll('[data-djobs-job][data-djobs-final="no"]')];
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
        setText([badge], facts.word);
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
    for (const [name, text] of Object.entries(facts.texts)) {
        setText(all(name, pk), text);
    }
    for (const [name, address] of Object.entries(facts.links)) {
        for (const link of all(name, pk)) {
            if (address) {
                link.setAttribute("href", address);
            } else {
                link.removeAttribute("href");
            }
        }
    }
}

function showGone(pk, text) {
    for (const holder of all("job", pk)) {
        holder.dataset.djobsFinal = "yes";
        setText(holder.querySelectorAll("small"), text);
    }
}

async function ask() {
    const keys = [...new Set(unfinished().map((holder) => holder.dataset.djobsJob))];
    if (!keys.length) {
        refresh.stop();
        return;
    }
    const response = await fetch(`${source.dataset.djobsLive}?ids=${keys.join(",")}`, {
        credentials: "same-origin",
        headers: {Accept: "application/json"},
    });
    if (response.redirected || response.status === 403) {
        refresh.stop(); // logged out, or no longer permitted
        return;
    }
    if (!response.ok) {
        throw new Error(`status ${response.status}`);
    }
    const {jobs} = await response.json();
    for (const key of keys) {
        if (jobs[key]) {
            show(key, jobs[key]);
        } else {
            showGone(key, source.dataset.djobsGone);
        }
    }
}

// Dead letters change only by hand, so a page that shows nothing else asks less often.
function pause() {
    return unfinished().every((holder) => holder.querySelector(".djobs-dead-letter")) ? CALM_PAUSE : PAUSE;
}

const refresh = source && unfinished().length ? keepAsking({ask, pause}) : null;
