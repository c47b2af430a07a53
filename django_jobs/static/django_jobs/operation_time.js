/*
 * Tells how long an operation will take at the rate that somebody types, before it is started. The server says it in
 * words, which are only ever set as text, never as HTML.
 */

const PAUSE = 300;

const told = document.querySelector("[data-djobs-time]");
const rate = document.getElementById("id_rate");
let timer = null;
let latest = 0;

async function ask() {
    latest += 1;
    const mine = latest;
    const address = new URL(told.dataset.djobsTime, window.location.href);
    address.searchParams.set("rate", rate.value);
    try {
        const response = await fetch(address, {credentials: "same-origin", headers: {Accept: "application/json"}});
        if (response.ok && !response.redirected) {
            const {text} = await response.json();
            if (mine === latest) { // an answer that comes late says nothing about what was typed since
                told.textContent = text;
            }
        }
    } catch {
        // What was told before stays; the operation's own page tells how long it takes.
    }
}

if (told && rate) {
    rate.addEventListener("input", () => {
        window.clearTimeout(timer);
        timer = window.setTimeout(ask, PAUSE);
    });
    if (rate.value) {
        ask(); // a form that came back holds what was typed
    }
}
