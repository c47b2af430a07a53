/*
 * Puts parts of a page that the server rendered again in the place of the old ones. What somebody opened stays open,
 * what was scrolled stays so, and the focus is not lost. What somebody fills in or marks is left alone.
 */

const TOKEN = "input[name=csrfmiddlewaretoken]";
const SCROLLED = ".djobs-scroll, .djobs-text, .djobs-log";
// What is of one thing, such as an alarm or a worker: the focus stays with that thing.
const ROW = "[data-djobs-row], [data-djobs-alarm], [data-djobs-fold]";

const shown = new WeakMap();

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

// Returns whether the part was replaced; it is not if it says the same, or if somebody fills in or marks something in it.
export function exchange(old, next) {
    const html = htmlOf(next);
    Object.assign(old.dataset, next.dataset);
    renewTokens(old, next);
    if ((shown.get(old) ?? htmlOf(old)) === html || isMarked(old) || isFilledIn(old)) {
        return false;
    }
    const state = remember(old);
    old.replaceChildren(...document.adoptNode(next).childNodes);
    shown.set(old, html);
    restore(old, state);
    return true;
}
