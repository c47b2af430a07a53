/*
 * Tells a screen reader of an alarm that appears on an open page, once, and when the last one is over. The part that
 * holds the alarms is exchanged at each refresh, so it is no live region itself.
 */

const news = document.querySelector("[data-djobs-alarm-news]");
const part = document.querySelector('[data-djobs-part="alarms"]');

const alarms = () => new Map([...part.querySelectorAll("[data-djobs-alarm]")].map(
    (element) => [element.dataset.djobsAlarm, element.dataset.djobsSpoken],
));

if (news && part) {
    let known = alarms();
    new MutationObserver(() => {
        const now = alarms();
        const fresh = [...now].filter(([key]) => !known.has(key)).map(([, spoken]) => spoken);
        if (fresh.length) {
            news.textContent = fresh.join(" ");
        } else if (known.size && !now.size) {
            news.textContent = news.dataset.djobsAlarmOver;
        }
        known = now;
    }).observe(part, {childList: true});
}
