// What theme and admin leave out for a screen reader and the keyboard. Names: of the search in a choice of
// several, of buttons that are a picture, and of places to scroll in, of which each must be told from the
// others. Keys: for what only a mouse can click. Roles and levels that hints and headings lack.
"use strict";

(() => {
    const places = [
        ["#nav-sidebar-apps", "Navigation"],
        ["#changelist", "Rows of the list"],
        ["#changelist-filter", "Filters"],
    ];

    // What the theme's scripts listen to, and no key reaches. The ground behind the filters is no button.
    const CLICKED =
        ":is(a:not([href]), div, span)[x-on\\:click]:not([role], #changelist-filter-close)";

    // Pictures are names of letters of the theme's font: no words to read out, but of controls that are
    // nothing else.
    const PICTURES = ":is(a, button, [role=button]) .material-symbols-outlined:not([aria-hidden]), " +
        ".material-symbols-outlined[role=button]:not([aria-label])";
    const ICONS = {
        add: "Add",
        more_horiz: "Actions",
        more_vert: "More",
        computer: "Colours",
        dark_mode: "Colours",
        light_mode: "Colours",
        water_drop: "Front page",
    };

    function name() {
        for (const field of document.querySelectorAll(".select2-search__field:not([aria-label])")) {
            const select = field.closest(".select2")?.previousElementSibling;
            const label = select?.labels?.[0]?.textContent.trim();
            field.setAttribute("aria-label", label || "Search");
        }
        for (const button of document.querySelectorAll(CLICKED)) {
            button.setAttribute("role", "button");
            button.tabIndex = 0;
        }
        for (const icon of document.querySelectorAll(PICTURES)) {
            const control = icon.closest("a, button, [role=button]");
            const picture = icon.textContent.trim();
            if (!control.ariaLabel && control.textContent.trim() === picture) {
                const label = control.title || ICONS[picture];
                if (!label) continue;
                control.ariaLabel = label;
            }
            if (icon !== control) icon.ariaHidden = "true";
        }
        for (const hint of document.querySelectorAll(".help-tooltip[aria-label]:not([role])"))
            hint.setAttribute("role", "img");
        // Below the title of the page there is none that these would be parts of.
        for (const heading of document.querySelectorAll("#changelist-filter h3:not([aria-level])"))
            heading.setAttribute("aria-level", "2");
        let others = 0;
        for (const scroller of document.querySelectorAll('[aria-label="scrollable content"]')) {
            const place = places.findLast(([selector]) => scroller.closest(selector));
            scroller.setAttribute("aria-label", place ? place[1] : `More to scroll ${++others}`);
        }
    }

    document.addEventListener("keydown", event => {
        const pressed = event.key === "Enter" || event.key === " ";
        if (!pressed || !event.target.matches?.('[role="button"]:is(div, span, a:not([href]))')) return;
        event.preventDefault();
        event.target.click();
    });

    window.addEventListener("load", () => {
        name();
        new MutationObserver(name).observe(document.body, { childList: true, subtree: true });
    });
})();
