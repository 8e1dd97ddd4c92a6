// A page that refreshes itself: asks for the page's own address again and gives the answer to the page's
// own script, which renews what changed.
//
// One request at a time, the next some seconds after its answer; none in a hidden tab. The switch is
// remembered. Where the server is away, or the session has ended, it says so and stops.

const PATIENCE = 15_000; // milliseconds, for one answer
const MOST_FAILURES = 3; // in a row, each waited for twice as long as the one before
const KEPT_AS = "harvest.live";

const control = document.getElementById("live");
const toggle = document.getElementById("live-switch");
const word = document.getElementById("live-word");
const trouble = document.getElementById("live-trouble");

/** Whether this page has the switch that such a page has. */
export const isLive = Boolean(control);

let every = 5_000; // milliseconds between an answer and the next question
let renew = null;
let timer = null;
let request = null;
let failures = 0;
let updated = new Date();

const two = number => String(number).padStart(2, "0");
const clock = at => `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

/** Say in a person's words how things are. Troubles are read out, the rest is not. */
function say(state) {
    control.dataset.state = state;
    const text = `${control.dataset[state]} ${clock(updated)}`;
    const calm = state === "updated" || state === "off";
    word.textContent = calm ? text : "";
    if (trouble.textContent !== (calm ? "" : text)) trouble.textContent = calm ? "" : text;
}

function stop(state) {
    clearTimeout(timer);
    timer = null;
    request?.abort();
    request = null;
    say(state);
}

function plan(wait) {
    clearTimeout(timer);
    timer = setTimeout(ask, wait);
}

async function ask() {
    if (request || document.hidden || !toggle.checked) return;
    const own = (request = new AbortController());
    const limit = setTimeout(() => own.abort(), PATIENCE);
    let answer, text;
    try {
        answer = await fetch(location.href, {
            headers: { "X-Live": "1" },
            redirect: "manual", // to the login
            cache: "no-store",
            signal: own.signal,
        });
        text = answer.ok ? await answer.text() : "";
    } catch {
        answer = null;
    } finally {
        clearTimeout(limit);
    }
    if (request !== own) return; // stopped meanwhile
    request = null;

    if (answer === null || answer.status >= 500) {
        failures += 1;
        if (failures >= MOST_FAILURES) return stop("stopped");
        say("away");
        return plan(every * 2 ** failures);
    }
    failures = 0;
    if (answer.type === "opaqueredirect") return stop("ended");
    if (!answer.ok) return stop("refused");
    if (renew(new DOMParser().parseFromString(text, "text/html"))) {
        updated = new Date();
        say("updated");
    }
    plan(every);
}

function remember(on) {
    try {
        if (on) localStorage.removeItem(KEPT_AS);
        else localStorage.setItem(KEPT_AS, "off");
    } catch { /* a browser that keeps nothing: the switch holds for this page */ }
}

function isOff() {
    try {
        return localStorage.getItem(KEPT_AS) === "off";
    } catch {
        return false;
    }
}

/** Begin. What is given gets each answer as a document, and says whether the page is as new now. */
export function follow(seconds, renewing) {
    every = 1000 * seconds;
    renew = renewing;
    toggle.checked = !isOff();
    toggle.addEventListener("change", () => {
        remember(toggle.checked);
        failures = 0;
        if (toggle.checked) plan(0);
        else stop("off");
    });
    document.addEventListener("visibilitychange", () => {
        const runs = toggle.checked && ["updated", "away"].includes(control.dataset.state);
        if (document.hidden) clearTimeout(timer);
        else if (runs && !request) plan(0);
    });
    control.hidden = false;
    say(toggle.checked ? "updated" : "off");
    if (toggle.checked) plan(every);
}

/** Whether a person has marked text of it. */
export function isMarked(element) {
    const marked = getSelection();
    if (marked.isCollapsed) return false;
    return marked.intersectsNode?.(element) || element.contains(marked.anchorNode);
}
