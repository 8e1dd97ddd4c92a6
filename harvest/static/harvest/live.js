// A list that refreshes itself: asks for the page's own address again and renews rows and page numbers,
// while whatever a person has ticked, focused or marked stays.
//
// One request at a time, the next some seconds after its answer; none in a hidden tab. The switch is
// remembered. Where the server is away, or the session has ended, it says so and stops.

const EVERY = 5_000; // milliseconds between an answer and the next question
const PATIENCE = 15_000; // for one answer
const MOST_FAILURES = 3; // in a row, each waited for twice as long as the one before
const KEPT_AS = "harvest.live-list";

const control = document.getElementById("live");
const list = document.getElementById("live-list");
const pages = document.getElementById("live-pages");
const toggle = document.getElementById("live-switch");
const word = document.getElementById("live-word");
const trouble = document.getElementById("live-trouble");

/** What the server wrote for each row's cells, to see which of them changed. */
const written = new WeakMap();

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
            headers: { "X-Live-List": "1" },
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
        return plan(EVERY * 2 ** failures);
    }
    failures = 0;
    if (answer.type === "opaqueredirect") return stop("ended");
    if (!answer.ok) return stop("refused");
    if (!isInUse()) {
        renew(new DOMParser().parseFromString(text, "text/html"));
        updated = new Date();
        say("updated");
    }
    plan(EVERY);
}

/** Whether text of the list is marked, or all runs of all pages are ticked: then it stays as it is. */
function isInUse() {
    const marked = getSelection();
    const across = document.querySelector("#changelist-form input.select-across");
    return (!marked.isCollapsed && marked.intersectsNode?.(list)) ||
        (!marked.isCollapsed && list.contains(marked.anchorNode)) || across?.value === "1";
}

// --- Renewing ------------------------------------------------------------------------------------

const tableOf = root => root.querySelector("#result_list");
const boxOf = body => body.querySelector("input.action-select");
const keyOf = body => boxOf(body)?.value ?? body.querySelector("a[href]")?.getAttribute("href");
const cellsOf = body => [...(body.querySelector("tr.data-row")?.cells ?? [])];
const write = body => written.set(body, cellsOf(body).map(cell => cell.outerHTML));

function renew(fresh) {
    const newPages = fresh.getElementById("live-pages");
    if (pages.innerHTML !== newPages.innerHTML && !pages.contains(document.activeElement))
        pages.replaceChildren(...newPages.childNodes);

    const newList = fresh.getElementById("live-list");
    const [table, newTable] = [tableOf(list), tableOf(newList)];
    if (!table || !newTable) {
        if (table || newTable) renewWhole(newList);
        return;
    }
    const anchor = anchorOf(table);
    const top = anchor()?.getBoundingClientRect().top;
    renewRows(table, newTable);
    if (top !== undefined && anchor()) scrollBy(0, anchor().getBoundingClientRect().top - top);
    recount();
}

/** What stays where it is when rows come and go: the focused element, else the first row that is seen. */
function anchorOf(table) {
    if (scrollY === 0) return () => null; // who looks at the newest goes on looking at the newest
    const seen = element => element.getBoundingClientRect().bottom > 0;
    if (table.contains(document.activeElement) && seen(document.activeElement))
        return () => document.activeElement; // also where its cell was written anew
    const row = [...table.tBodies].find(seen);
    return () => (row?.isConnected ? row : null);
}

/** From no rows to some, or from some to none. */
function renewWhole(newList) {
    if (list.querySelector("input.action-select:checked")) return; // not from under a person's hands
    list.replaceChildren(...newList.childNodes);
    const table = tableOf(list);
    if (!table) return;
    [...table.tBodies].forEach(write);
    const parent = list.closest(".result-list-wrapper");
    if (boxes.length) window.Actions?.(boxes, { parent });
    recount();
}

function renewRows(table, newTable) {
    const known = new Map([...table.tBodies].map(body => [keyOf(body), body]));
    const focused = document.activeElement;
    let place = table.tBodies[0] ?? null;
    for (const newBody of [...newTable.tBodies]) {
        let body = known.get(keyOf(newBody));
        if (body) {
            known.delete(keyOf(newBody));
            body.className = newBody.className;
            renewCells(body, newBody);
        } else {
            body = document.importNode(newBody, true);
            write(body);
            window.rewriteMoments?.(body);
            body.addEventListener("change", tick); // the theme's script knows those of the start only
        }
        if (body === place) place = place.nextElementSibling;
        else table.insertBefore(body, place);
    }
    for (const body of known.values()) {
        // What is ticked or focused stays, behind the others, until it is let go.
        if (boxOf(body)?.checked || body.contains(document.activeElement)) table.append(body);
        else body.remove();
    }
    if (focused !== document.activeElement && focused?.isConnected) focused.focus({ preventScroll: true });
}

function renewCells(body, newBody) {
    const before = written.get(body);
    const newCells = cellsOf(newBody).map(cell => cell.outerHTML);
    cellsOf(body).forEach((cell, index) => {
        const same = before?.[index] === newCells[index];
        if (same || cell.querySelector("input.action-select")) return;
        const newCell = document.importNode(cellsOf(newBody)[index], true);
        window.rewriteMoments?.(newCell);
        const links = [...cell.querySelectorAll("a")];
        const focused = links.indexOf(document.activeElement);
        cell.replaceWith(newCell);
        if (focused >= 0) newCell.querySelectorAll("a")[focused]?.focus({ preventScroll: true });
    });
    written.set(body, newCells);
}

// --- The theme's script for ticked rows ----------------------------------------------------------

/** The boxes of now, for a script that takes those of the start for all there will ever be. */
const boxes = {
    all: () => [...list.querySelectorAll("tr input.action-select")],
    get length() { return this.all().length; },
    forEach(each) { this.all().forEach(each); },
    [Symbol.iterator]() { return this.all()[Symbol.iterator](); },
};

/** The script counts anew when a page is shown, also when it is shown again. */
function recount() {
    const counter = document.querySelector("span.action-counter");
    if (!counter) return;
    counter.dataset.actionsIcnt = boxes.length;
    window.dispatchEvent(new Event("pageshow"));
}

function tick(event) {
    if (!event.target.classList.contains("action-select")) return;
    event.target.closest("tr").classList.toggle("selected", event.target.checked);
    recount();
}

// --- Start ---------------------------------------------------------------------------------------

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

if (control && list && pages) {
    if (tableOf(list)) [...tableOf(list).tBodies].forEach(write);

    // Modules run before the page's own event, with which the theme's script starts.
    const actions = window.Actions;
    if (actions) window.Actions = (_boxes, options) => actions(boxes, options);

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
    if (toggle.checked) plan(EVERY);
}
