// What theme and admin leave out for a screen reader and the keyboard. Names: of the search in a choice of
// several, and of places to scroll in, of which each must be told from the others. And their buttons that
// are links to nowhere: neither Tab nor Enter would know them.
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
        for (const button of document.querySelectorAll("#content a:not([href], [role])")) {
            button.setAttribute("role", "button");
            button.tabIndex = 0;
        }
        let others = 0;
        for (const scroller of document.querySelectorAll('[aria-label="scrollable content"]')) {
            const place = places.findLast(([selector]) => scroller.closest(selector));
            scroller.setAttribute("aria-label", place ? place[1] : `More to scroll ${++others}`);
        }
    }

    document.addEventListener("keydown", event => {
        const isButton = event.target.matches?.('a[role="button"]:not([href])');
        if (!isButton || !["Enter", " "].includes(event.key)) return;
        event.preventDefault();
        event.target.click();
    });

    window.addEventListener("load", () => {
        name();
        new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
    });
})();
