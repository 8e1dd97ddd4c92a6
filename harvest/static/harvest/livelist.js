// A list that refreshes itself: renews rows and page numbers, while whatever a person has ticked, focused
// or marked stays.

import { follow, isLive, isMarked } from "./refresh.js";

const list = document.getElementById("live-list");
const pages = document.getElementById("live-pages");

/** What the server wrote for each row's cells, to see which of them changed. */
const written = new WeakMap();

/** Whether text of the list is marked, or all runs of all pages are ticked: then it stays as it is. */
function isInUse() {
    const across = document.querySelector("#changelist-form input.select-across");
    return isMarked(list) || across?.value === "1";
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

if (isLive && list && pages) {
    if (tableOf(list)) [...tableOf(list).tBodies].forEach(write);

    // Modules run before the page's own event, with which the theme's script starts.
    const actions = window.Actions;
    if (actions) window.Actions = (_boxes, options) => actions(boxes, options);

    follow(5, fresh => {
        if (isInUse()) return false;
        renew(fresh);
        return true;
    });
}
