/*
 * Keeps an open page up to date: it asks the server again and again, and puts the parts of the page that were rendered
 * again in the place of the old ones. What somebody opened stays open, what was scrolled stays so, and the focus is not
 * lost. What somebody fills in, presses or marks is left alone.
 */

const TOKEN = "input[name=csrfmiddlewaretoken]";
const SCROLLED = ".djobs-scroll, .djobs-text, .djobs-log";
// What is of one thing, such as an alarm or a worker: the focus stays with that thing.
const ROW = "[data-djobs-row], [data-djobs-alarm], [data-djobs-fold]";
// What somebody is about to fill in or presses at this moment. A focus alone holds nothing: it stays with its element.
const IN_HAND = ":is(input:not([type=submit]), select, textarea):focus, :is(a, button, summary, [type=submit]):active";
const LONGEST_PAUSE = 60000;
// Changes come in bursts, and one request serves all of them.
const HINT_PAUSE = 300;
// News that differ in their numbers alone are read out this seldom.
const NEWS_PAUSE = 60000;

const shown = new WeakMap();
let told = null; // the news that were read out last, or that stood on the page before, and when

const foldOf = (element) => element.dataset.djobsFold || element.id || element.querySelector("summary")?.textContent.trim();
const keyOf = (row) => row.dataset.djobsRow || row.dataset.djobsAlarm || row.dataset.djobsFold;
const focusable = (area) => [...area.querySelectorAll("a, button, input, select, textarea, summary, [tabindex]")];

// Several things have the same words on their buttons, but each button of one thing has its own address, name or words.
function nameOf(element) {
    return element.getAttribute("href") || element.id || (element.name ? `${element.name}=${element.value}` : element.textContent.trim());
}

// Whoever has marked a text is about to copy it.
function isMarked(part) {
    const selection = window.getSelection();
    return !selection.isCollapsed && (part.contains(selection.anchorNode) || part.contains(selection.focusNode));
}

function isChanged(control) {
    if (control.matches("select")) {
        const options = [...control.options];
        const hasDefault = control.multiple || options.some((option) => option.defaultSelected);
        return hasDefault ? options.some((option) => option.selected !== option.defaultSelected) : control.selectedIndex > 0;
    }
    const isTicked = control.matches("[type=checkbox], [type=radio]");
    return isTicked ? control.checked !== control.defaultChecked : control.value !== control.defaultValue;
}

const isFilledIn = (part) => [...part.querySelectorAll("input, select, textarea")].some(isChanged);
const isInHand = (part) => isMarked(part) || isFilledIn(part) || part.querySelector(IN_HAND) !== null;

// Each answer has a token of its own for the same secret: a part that differs in it alone says the same.
function htmlOf(part) {
    const copy = part.cloneNode(true);
    copy.querySelectorAll(TOKEN).forEach((element) => element.remove());
    return copy.innerHTML;
}

// A part that stays as it is may be sent after somebody has logged in again, when its old token is refused.
function renewTokens(old, next) {
    const fresh = next.querySelector(TOKEN)?.value;
    if (fresh) {
        old.querySelectorAll(TOKEN).forEach((element) => { element.value = fresh; });
    }
}

function remember(part) {
    const active = part.contains(document.activeElement) ? document.activeElement : null;
    const row = active?.closest(ROW);
    const area = row && part.contains(row) ? row : part;
    const elements = focusable(area);
    const alike = active ? elements.filter((element) => nameOf(element) === nameOf(active)) : [];
    return {
        folds: new Map([...part.querySelectorAll("details")].map((element) => [foldOf(element), element.open])),
        focus: active && {
            row: area === part ? null : keyOf(area), name: nameOf(active), nth: alike.indexOf(active), place: elements.indexOf(active),
        },
        scrolled: [...part.querySelectorAll(SCROLLED)].map((element) => [element.scrollLeft, element.scrollTop]),
    };
}

// The same element, or the one in its place; never one of another thing, which somebody might press unawares.
function targetOf(part, {row, name, nth, place}) {
    const area = row === null ? part : [...part.querySelectorAll(ROW)].find((element) => keyOf(element) === row);
    if (!area) {
        return part;
    }
    const elements = focusable(area);
    const alike = elements.filter((element) => nameOf(element) === name);
    return alike[nth] ?? alike[0] ?? elements[Math.min(place, elements.length - 1)] ?? part;
}

function restore(part, {folds, focus, scrolled}) {
    for (const element of part.querySelectorAll("details")) {
        element.open = folds.get(foldOf(element)) ?? element.open;
    }
    part.querySelectorAll(SCROLLED).forEach((element, index) => element.scrollTo(...(scrolled[index] ?? [0, 0])));
    if (focus) {
        const target = targetOf(part, focus);
        if (target === part) {
            part.tabIndex = -1;
        }
        target.focus({preventScroll: true});
    }
}

// Returns whether the part was replaced; it is not if it says the same, or if somebody has something of it in hand.
export function exchange(old, next) {
    const html = htmlOf(next);
    Object.assign(old.dataset, next.dataset);
    renewTokens(old, next);
    if ((shown.get(old) ?? htmlOf(old)) === html || isInHand(old)) {
        return false;
    }
    const state = remember(old);
    old.replaceChildren(...document.adoptNode(next).childNodes);
    shown.set(old, html);
    restore(old, state);
    return true;
}

// One part of a page may have news: a sentence with the name of what it is about and how that stands. What is of
// interest at once is its state; without one, each other sentence is.
function newsOn() {
    const {djobsNews: news = "", djobsNewsState: state = news} = document.querySelector("[data-djobs-news]")?.dataset ?? {};
    return {news, state};
}

function tellNews() {
    const {news, state} = newsOn();
    const said = document.querySelector("[data-djobs-said]");
    if (said && news !== told.news && (state !== told.state || Date.now() - told.at >= NEWS_PAUSE)) {
        said.textContent = news;
        told = {news, state, at: Date.now()};
    }
}

// Puts the parts of a page that was read again in the place of those that are shown, and has its news read out.
export function showParts(fresh, put = exchange) {
    told ??= {...newsOn(), at: Date.now()};
    for (const next of fresh.querySelectorAll("[data-djobs-part]")) {
        // Some releases of Django put the buttons into the content, and others beside it.
        const old = document.querySelector(`[data-djobs-part="${next.dataset.djobsPart}"]`);
        if (old) {
            put(old, next);
        }
    }
    tellNews();
}

// Returns the page as the server renders it now, or null where it sends elsewhere: whoever asks is logged out, or what
// the page is about is gone.
export async function readPage(address) {
    const response = await fetch(address, {credentials: "same-origin", cache: "no-store", redirect: "manual"});
    if (response.type === "opaqueredirect" || response.status === 403 || response.status === 404) {
        return null;
    }
    if (!response.ok) {
        throw new Error(`status ${response.status}`);
    }
    return new DOMParser().parseFromString(await response.text(), "text/html");
}

// Says why a page may be out of date: in its own text of this name, or in none.
export function tell(name = "") {
    const state = document.querySelector("[data-djobs-state]");
    const text = state?.dataset[name] ?? "";
    if (state && state.textContent !== text) {
        state.textContent = text;
    }
}

// Hears of changes by the socket of a page that has one. Without it the page goes on asking by the clock.
export async function openSocket(page, room, handlers) {
    if (!page.dataset.djobsSocket) {
        return null;
    }
    try {
        const {JobsSocket} = await import(page.dataset.djobsSockets);
        const socket = new JobsSocket({url: page.dataset.djobsSocket});
        Object.entries(handlers).forEach(([event, handle]) => socket.addEventListener(event, handle));
        socket.join(room);
        return socket;
    } catch {
        return null;
    }
}

// Asks again and again while the page is visible: `pause()` milliseconds after an answer, soon after a hint, and ever
// later while `ask` fails, of which `late` tells. A page that hears of changes sooner dispatches the event
// `django-jobs:changed` on the document.
export function keepAsking({ask, pause, late = () => {}, hintPause = HINT_PAUSE, longestPause = LONGEST_PAUSE}) {
    let failures = 0;
    let timer = null;
    let isAsking = false;
    let isHinted = false;
    let isOver = false;

    async function round() {
        window.clearTimeout(timer);
        if (isAsking || isOver || document.hidden) {
            return;
        }
        isAsking = true;
        isHinted = false;
        try {
            await ask();
            failures = 0;
        } catch {
            failures += 1;
            late();
        }
        isAsking = false;
        wait(isHinted ? hintPause : Math.min(pause() * 2 ** failures, longestPause));
    }

    function wait(milliseconds) {
        if (!isOver) {
            timer = window.setTimeout(round, milliseconds);
        }
    }

    function hint() {
        if (!isHinted && !isOver) {
            isHinted = true;
            if (!isAsking) {
                window.clearTimeout(timer);
                wait(hintPause);
            }
        }
    }

    function stop() {
        isOver = true;
        window.clearTimeout(timer);
    }

    document.addEventListener("visibilitychange", round);
    document.addEventListener("django-jobs:changed", round);
    // The page comes back from the browser's memory, where no timer ran.
    window.addEventListener("pageshow", (event) => { if (event.persisted) { round(); } });
    wait(pause());
    return {hint, stop};
}
