// Words, numbers and moments in the language of the page, which is the `lang` of its <html>.

const made = new Map(); // what Intl has made for a language: that is slow, and a page may have two hundred elements

// Takes the words of the page. `{% job_progress_script %}` renders them; a page that includes the script by hand brings
// such a block, too. See docs/realtime.md.
export function takeWords(name, words) {
	const block = globalThis.document?.getElementById?.("django-jobs-words");
	if (block) Object.assign(words, JSON.parse(block.textContent)[name]);
}

// Fills in what stands in braces.
export const fill = (text = "", values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

// Returns the form of a word for a number. `forms` has texts by sample numbers; the one that is taken has a number of
// the same plural category, of which Arabic has six.
export function countIn(forms = {}, count, values = {}) {
	const rules = intl("PluralRules", {});
	const samples = Object.keys(forms);
	const alike = samples.find((sample) => rules.select(Number(sample)) === rules.select(count));
	return fill(forms[alike ?? samples.at(-1)], { count: numberIn(count), ...values });
}

export const numberIn = (value) => intl("NumberFormat", { useGrouping: false }).format(value);

const DAY = { day: "numeric", month: "short" };
const CLOCK = { hour: "2-digit", minute: "2-digit", timeZoneName: "short" };

// Returns {text, isToday}: "14:05 CET", for another day "27 Nov, 14:05 CET", for another year with the year; in the reader's zone.
export function momentIn(moment, now = Date.now()) {
	const date = new Date(moment);
	const today = new Date(now);
	const isToday = date.toDateString() === today.toDateString();
	const year = date.getFullYear() === today.getFullYear() ? {} : { year: "numeric" };
	const options = isToday ? CLOCK : { ...DAY, ...year, ...CLOCK };
	return { text: intl("DateTimeFormat", options).format(date), isToday };
}

function intl(kind, options) {
	const { lang } = globalThis.document?.documentElement ?? {};
	const key = `${kind} ${lang} ${Object.keys(options)}`;
	if (!made.has(key)) made.set(key, make(kind, lang, options));
	return made.get(key);
}

// Figures are Latin in every language, as Django writes them: else a number changed its looks when a script takes over.
function make(kind, lang, options) {
	try {
		return new Intl[kind](lang || undefined, { numberingSystem: "latn", ...options });
	} catch {
		return new Intl[kind](undefined, options); // the page's `lang` is none
	}
}
