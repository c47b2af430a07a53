import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { countIn, fill, momentIn, numberIn, takeWords } from "../../../django_jobs/static/django_jobs/page_language.js";

afterEach(() => delete globalThis.document);

function speak(lang, block) {
	const found = block && { textContent: JSON.stringify(block) };
	globalThis.document = { documentElement: { lang }, getElementById: (id) => (id === "django-jobs-words" ? found : null) };
}

test("the words of the page take the place of the English ones", () => {
	speak("de", { job: { Running: "Läuft" } });
	const words = { Running: "Running", cancel: "Cancel" };
	takeWords("job", words);
	assert.deepEqual(words, { Running: "Läuft", cancel: "Cancel" });
});

test("a page without words has the English ones", () => {
	const words = { Running: "Running" };
	takeWords("job", words);
	speak("de");
	takeWords("job", words);
	assert.deepEqual(words, { Running: "Running" });
});

test("a value that looks like a placeholder is a value", () => {
	assert.equal(fill("{label}: {status}", { label: "{status} $&", status: "Done" }), "{status} $&: Done");
});

test("a plural has the form of its number", () => {
	const forms = { 1: "{count} job", 2: "{count} jobs" };
	assert.deepEqual([0, 1, 21].map((count) => countIn(forms, count)), ["0 jobs", "1 job", "21 jobs"]);
});

test("Arabic has six forms", () => {
	speak("ar");
	const forms = Object.fromEntries([0, 1, 2, 3, 11, 100].map((sample) => [sample, `form ${sample}`]));
	const said = [0, 1, 2, 7, 25, 300].map((count) => countIn(forms, count));
	assert.deepEqual(said, ["form 0", "form 1", "form 2", "form 3", "form 11", "form 100"]);
});

test("a language for which there are too few forms has the last of them", () => {
	speak("ar");
	assert.equal(countIn({ 1: "{count} job", 2: "{count} jobs" }, 7), "7 jobs");
});

test("figures are those that Django writes", () => {
	speak("ar-EG");
	assert.equal(numberIn(4200), "4200");
});

test("a moment is told in the page's language, with its zone", () => {
	speak("de");
	const { text, isToday } = momentIn("2026-01-05T12:05:00Z", Date.parse("2026-01-01T12:00:00Z"));
	assert.match(text, /^5\. Jan\.?,? .*12:05 UTC$/);
	assert.equal(isToday, false);
});

test("a page whose language is none is told in the reader's", () => {
	speak("not a language");
	assert.equal(numberIn(7), "7");
});
