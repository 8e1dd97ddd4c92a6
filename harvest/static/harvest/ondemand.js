// A row of the picture of tasks leads to its task in the table, and opens what that has to open.
document.addEventListener("click", ({ target }) => {
    const address = target.closest?.(".timeline a")?.getAttribute("href");
    const opens = address && document.querySelector(`${address} + .opened details`);
    if (opens) opens.open = true;
});

// What a <details data-fragment="address"> holds is loaded when it is opened first. Without this script, or
// where loading fails, there is a link to a page that has it.
document.addEventListener(
    "toggle",
    async ({ target }) => {
        const address = target.open && target.dataset.fragment;
        if (!address) return;
        const place = target.querySelector(":scope > .on-demand");
        delete target.dataset.fragment;
        place.setAttribute("aria-busy", "true");
        try {
            const response = await fetch(address, { headers: { Accept: "text/html" } });
            if (!response.ok || response.redirected) throw new Error(response.status);
            place.innerHTML = await response.text();
        } catch {
            target.dataset.fragment = address;
        }
        place.removeAttribute("aria-busy");
    },
    true, // A toggle does not bubble.
);
