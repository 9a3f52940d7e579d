"""Somebody who uses the keyboard alone."""

from typing import Final

from playwright.async_api import Page

TABS_MAX: Final = 60
FOCUSED: Final = """() => {
    const focused = document.activeElement;
    const style = getComputedStyle(focused);
    return {
        name: (focused.getAttribute("aria-label") ?? focused.textContent ?? "").trim(),
        isMarked: (style.outlineStyle !== "none" && style.outlineWidth !== "0px") || style.boxShadow !== "none",
    };
}"""


async def tab_to(page: Page, name: str) -> None:
    """Press Tab until what has this name has the focus, and shows it (WCAG 2.4.7)."""
    passed = []
    for _ in range(TABS_MAX):
        await page.keyboard.press("Tab")
        focused = await page.evaluate(FOCUSED)
        if focused["name"] == name:
            assert focused["isMarked"], f"nothing shows that `{name}` has the focus"
            return
        passed.append(focused["name"])
    raise AssertionError(f"Tab never came to `{name}`, but to {passed}")
