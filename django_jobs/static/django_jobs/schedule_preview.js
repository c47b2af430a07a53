/*
 * Shows what a schedule's rule says, and its next firings, while one types it. The server judges the rule; its texts are
 * only ever set as text, never as HTML.
 */
(() => {
    "use strict";

    const PAUSE = 300;
    const FIELDS = ["cron", "every", "timezone", "starts_at", "ends_at"];

    function start() {
        const holder = document.querySelector("[data-djobs-preview]");
        if (!holder) {
            return;
        }
        const words = holder.querySelector(".djobs-preview-words");
        const runs = holder.querySelector(".djobs-preview-runs");
        const inputs = FIELDS.map((name) => document.getElementById(`id_${name}`)).filter(Boolean);
        let timer = null;
        let latest = 0;

        function lineOf(first, second) {
            const item = document.createElement("li");
            const text = document.createElement("span");
            text.textContent = first;
            item.append(text);
            if (second) {
                const small = document.createElement("small");
                small.textContent = second;
                item.append(" ", small);
            }
            return item;
        }

        function show(answer) {
            const errors = Object.values(answer.errors || {}).flat();
            holder.classList.toggle("djobs-preview-wrong", errors.length > 0);
            for (const input of inputs) {
                const isWrong = Boolean((answer.errors || {})[input.name]);
                input.setAttribute("aria-invalid", isWrong ? "true" : "false");
            }
            words.textContent = errors.length ? errors.join(" ") : answer.words;
            const found = errors.length ? [] : answer.runs;
            runs.replaceChildren(...found.map((run) => lineOf(run.moment, run.until)));
            if (!errors.length && !found.length) {
                runs.replaceChildren(lineOf(holder.dataset.djobsNever, ""));
            }
        }

        async function ask() {
            latest += 1;
            const mine = latest;
            const address = new URL(holder.dataset.djobsPreview, window.location.href);
            for (const input of inputs) {
                address.searchParams.set(input.name, input.value);
            }
            let answer;
            try {
                const response = await fetch(address, {
                    credentials: "same-origin",
                    headers: {Accept: "application/json"},
                });
                if (!response.ok || response.redirected) {
                    throw new Error(`status ${response.status}`);
                }
                answer = await response.json();
            } catch {
                answer = {errors: {all: [holder.dataset.djobsLate]}};
            }
            if (mine === latest) { // an answer that comes late says nothing about what was typed since
                show(answer);
            }
        }

        for (const input of inputs) {
            input.addEventListener("input", () => {
                window.clearTimeout(timer);
                timer = window.setTimeout(ask, PAUSE);
            });
        }
        if (inputs.some((input) => input.value && input.id !== "id_timezone")) {
            ask(); // a form that came back with errors holds what was typed
        }
    }

    if (document.readyState === "loading") {
        document.addEventListener("DOMContentLoaded", start);
    } else {
        start();
    }
})();
