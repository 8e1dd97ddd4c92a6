// A page of parts that refreshes itself: each part that has a name (data-live) is renewed where the server
// writes it anew. What a person has opened or marked stays as it is until it is closed or let go.

import { follow, isLive, isMarked } from "./refresh.js";

const EVERY = 10; // seconds: such a page costs more than a list
const FOCUSABLE = "a[href], button, input, summary, [tabindex]";

const partsOf = root => [...root.querySelectorAll("[data-live]")];

/** What the server wrote for each part, to see which of them changed. */
const written = new Map(partsOf(document).map(part => [part.dataset.live, part.innerHTML]));

/** Whether something is open that one sees: not within what is closed. */
const hasOpen = part =>
    [...part.querySelectorAll("details[open]")].some(
        opened => !opened.parentElement.closest("details:not([open])"),
    );

/** One thing that opens, where there is no other, is the same one after as before. */
const isInUse = part =>
    isMarked(part) ||
    (hasOpen(part) && part.querySelectorAll("details").length > 1);

function renew(fresh) {
    const newParts = new Map(partsOf(fresh).map(part => [part.dataset.live, part]));
    for (const part of partsOf(document)) {
        const name = part.dataset.live;
        const newPart = newParts.get(name);
        if (!newPart || newPart.innerHTML === written.get(name) || isInUse(part)) continue;
        written.set(name, newPart.innerHTML);
        replace(part, newPart);
    }
    return true;
}

/** Put in what is new, as open, scrolled and focused as it was. */
function replace(part, newPart) {
    const isOpen = hasOpen(part);
    const scrolled = [...part.querySelectorAll(".wide")].map(place => place.scrollLeft);
    const focused = [...part.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement);
    const href = document.activeElement?.getAttribute("href");

    part.replaceChildren(...document.importNode(newPart, true).childNodes);
    window.rewriteMoments?.(part);

    if (isOpen) part.querySelector("details")?.setAttribute("open", "");
    part.querySelectorAll(".wide").forEach((place, index) => { place.scrollLeft = scrolled[index] ?? 0; });
    if (focused >= 0) {
        const places = [...part.querySelectorAll(FOCUSABLE)];
        const same = href && places.find(place => place.getAttribute("href") === href);
        (same || places[focused])?.focus({ preventScroll: true });
    }
}

if (isLive && written.size) follow(EVERY, renew);
