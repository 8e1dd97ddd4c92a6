"""The keyboard alone: what a person reaches with it, and whether one sees where one is."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page


def is_focused(locator: Locator) -> bool:
    return bool(locator.evaluate("element => element === document.activeElement"))


def tab_to(page: Page, locator: Locator) -> None:
    """Go on by Tab until something has the focus."""
    _press_until(page, "Tab", lambda: is_focused(locator))


def _press_until(page: Page, key: str, reached: Callable[[], bool]) -> None:
    """Press a key until something is reached, as a person would: not for ever."""
    for _ in range(80):
        if reached():
            return
        page.keyboard.press(key)
    raise AssertionError(f"never reached: at {page.evaluate('document.activeElement.outerHTML')[:200]}")


def outlined(page: Page) -> bool:
    """Return whether one can see where the focus is."""
    return bool(
        page.evaluate(
            """() => {
                const style = getComputedStyle(document.activeElement);
                const none = /^(none|(rgba\\(0, 0, 0, 0\\) 0px 0px 0px 0px,? ?)+)$/;
                const ring = !none.test(style.boxShadow);
                return (style.outlineStyle !== "none" && style.outlineWidth !== "0px") || ring;
            }"""
        )
    )


def covered(page: Page) -> str:
    """Return what lies over the middle of what has the focus, or nothing."""
    found: str = page.evaluate(
        """() => {
            const focused = document.activeElement;
            const box = focused.getBoundingClientRect();
            const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
            const free = top && (top.contains(focused) || focused.contains(top));
            const [one, other] = [focused, top].map(each => each?.outerHTML.slice(0, 100));
            return free ? "" : `${one} is under ${other}`;
        }"""
    )
    return found
