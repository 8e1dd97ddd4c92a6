// Names for a screen reader, for what the scripts of theme and admin put into a page without one: the
// search in a choice of several, and places to scroll in, of which each must be told from the others.
"use strict";

(() => {
    const places = [
        ["#nav-sidebar-apps", "Navigation"],
        ["#changelist", "Rows of the list"],
        ["#changelist-filter", "Filters"],
    ];

    function name() {
        for (const field of document.querySelectorAll(".select2-search__field:not([aria-label])")) {
            const select = field.closest(".select2")?.previousElementSibling;
            const label = select?.labels?.[0]?.textContent.trim();
            field.setAttribute("aria-label", label || "Search");
        }
        let others = 0;
        for (const scroller of document.querySelectorAll('[aria-label="scrollable content"]')) {
            const place = places.findLast(([selector]) => scroller.closest(selector));
            scroller.setAttribute("aria-label", place ? place[1] : `More to scroll ${++others}`);
        }
    }

    window.addEventListener("load", () => {
        name();
        new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
    });
})();
