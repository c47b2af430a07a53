/*
 * Keeps the numbers in the bar up to date while its page is visible: one small request every ten seconds. Nothing else
 * of the page changes, and no screen reader is told of it: the numbers are there for whoever looks.
 */

import {keepAsking} from "./page_parts.js";

const PAUSE = 10000;
const LONGEST_PAUSE = 120000;

const bar = document.querySelector("[data-djobs-navigation]");

function show(entries) {
    for (const [key, {count, is_alarm: isAlarm}] of Object.entries(entries)) {
        const entry = bar.querySelector(`[data-djobs-entry="${key}"]`);
        const number = entry?.querySelector("[data-djobs-count]");
        if (number && number.textContent !== count) {
            number.textContent = count;
        }
        entry?.classList.toggle("djobs-nav-alarm", isAlarm);
    }
}

async function ask() {
    const options = {credentials: "same-origin", cache: "no-store", headers: {Accept: "application/json"}};
    const response = await fetch(bar.dataset.djobsNavigation, options);
    if (response.redirected || response.status === 403 || response.status === 404) {
        refresh.stop(); // logged out, or no longer permitted
        return;
    }
    if (!response.ok) {
        throw new Error(`status ${response.status}`);
    }
    show((await response.json()).entries);
}

const refresh = bar && keepAsking({ask, pause: () => PAUSE, longestPause: LONGEST_PAUSE});
if (bar) {
    // On a phone the bar scrolls: the page that is open is where one sees it.
    const current = bar.querySelector("[aria-current]");
    const list = bar.querySelector("ul");
    if (current && list.scrollWidth > list.clientWidth) {
        const [own, whole] = [current.getBoundingClientRect(), list.getBoundingClientRect()];
        list.scrollLeft += own.left + own.width / 2 - whole.left - whole.width / 2;
    }
}
