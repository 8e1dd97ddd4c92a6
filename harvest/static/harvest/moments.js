// Moments in the viewer's zone. The server writes <time datetime="…" title="… UTC">…</time>, in UTC;
// this replaces the text, in what the page has at first and in what is put into it later, and names the zone.
"use strict";

(() => {
    const two = number => String(number).padStart(2, "0");

    const local = at =>
        `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
        `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

    /** Without seconds, and without the year that it is. */
    function short(text) {
        const year = `${new Date().getFullYear()}-`;
        return (text.startsWith(year) ? text.slice(year.length) : text).slice(0, -":00".length);
    }

    function rewrite(root) {
        const times = [...root.querySelectorAll("time[datetime]")];
        if (root instanceof Element && root.matches("time[datetime]")) times.push(root);
        for (const time of times) {
            const at = new Date(time.dateTime);
            if (Number.isNaN(at.getTime())) continue;
            const text = time.classList.contains("short") ? short(local(at)) : local(at);
            if (time.textContent !== text) time.textContent = text;
        }
    }

    // For scripts that measure what they put in: the observer comes after them.
    window.rewriteMoments = rewrite;

    document.addEventListener("DOMContentLoaded", () => {
        rewrite(document);
        const name = Intl.DateTimeFormat().resolvedOptions().timeZone;
        const zone = document.getElementById("zone");
        if (zone && name) zone.textContent = name === "UTC" ? name : `${name}, ${zone.dataset.hint}`;
        new MutationObserver(changes => {
            for (const change of changes)
                for (const node of change.addedNodes) if (node instanceof Element) rewrite(node);
        }).observe(document.body, { childList: true, subtree: true });
    });
})();
