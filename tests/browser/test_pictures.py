"""The pictures in docs/pictures: `make screenshots` keeps what this test makes."""

from __future__ import annotations

import base64
import os
import struct
import zlib
from datetime import timedelta
from importlib import import_module
from pathlib import Path

import pytest
from django.apps import apps
from django.contrib.auth.models import User
from playwright.sync_api import Page

from tests.browser import world
from tests.browser.conftest import OpenPage, log_in

#: What is shown of each page, in pixels of height.
PICTURES = {
    "front": 900,
    "runs": 900,
    "run": 1500,
    "event": 800,
    "rejected message": 900,
    "collection": 1500,
    "queues": 900,
    "results": 700,
}
WIDTH = 1400
MOST_BYTES = 150_000

#: Gives the picture at an address as 256 colours and the number of one for each pixel, as base64. The
#: most frequent are kept, others become the nearest of them: all that differ are edges of letters.
REDUCE = """async address => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
    canvas.drawImage(image, 0, 0);
    const dots = new Uint32Array(canvas.getImageData(0, 0, image.width, image.height).data.buffer);
    const counts = new Map();
    for (const dot of dots) counts.set(dot, (counts.get(dot) ?? 0) + 1);
    const frequent = [...counts].sort((a, b) => b[1] - a[1] || a[0] - b[0]);
    const kept = frequent.slice(0, 256).map(([dot]) => dot);
    const parts = dot => [dot & 255, dot >> 8 & 255, dot >> 16 & 255];
    const palette = kept.map(parts);
    const numbers = new Map(kept.map((dot, number) => [dot, number]));
    const nearest = dot => {
        const [red, green, blue] = parts(dot);
        const far = ([r, g, b]) => (r - red) ** 2 + (g - green) ** 2 + (b - blue) ** 2;
        return palette.reduce((best, one, number) => far(one) < far(palette[best]) ? number : best, 0);
    };
    const indices = Uint8Array.from(dots, dot => {
        if (!numbers.has(dot)) numbers.set(dot, nearest(dot));
        return numbers.get(dot);
    });
    let text = "";
    for (let at = 0; at < indices.length; at += 32768)
        text += String.fromCharCode(...indices.subarray(at, at + 32768));
    return {width: image.width, height: image.height, palette, indices: btoa(text)};
}"""


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def reduce(page: Page, png: bytes) -> bytes:
    """Return a picture as a PNG with a palette, which takes a third of the bytes."""
    found = page.evaluate(REDUCE, f"data:image/png;base64,{base64.b64encode(png).decode()}")
    width, height = found["width"], found["height"]
    dots = base64.b64decode(found["indices"])
    rows = b"".join(b"\0" + dots[row * width : (row + 1) * width] for row in range(height))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0))
        + chunk(b"PLTE", bytes(part for colour in found["palette"] for part in colour))
        + chunk(b"IDAT", zlib.compress(rows, 9))
        + chunk(b"IEND", b"")
    )


def test_pictures_are_made_of_what_the_demo_tells(
    open_page: OpenPage, superuser: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import_module("harvest.migrations.0002_schedule").make_schedule(apps, None)
    pages = world.furnish(monkeypatch, superuser)
    folder = Path(os.environ.get("PICTURES") or tmp_path)
    with open_page(color_scheme="light", timezone_id="UTC", reduced_motion="reduce") as page:
        log_in(page, superuser)
        page.clock.set_fixed_time(world.NOW + timedelta(seconds=5))
        for name, height in PICTURES.items():
            page.set_viewport_size({"width": WIDTH, "height": height})
            page.goto(pages[name])
            page.wait_for_load_state("networkidle")
            page.evaluate("document.fonts.ready")
            picture = reduce(page, page.screenshot(animations="disabled"))
            (folder / f"{name.replace(' ', '-')}.png").write_bytes(picture)

    sizes = {name: (folder / f"{name.replace(' ', '-')}.png").stat().st_size for name in PICTURES}
    assert {name: size for name, size in sizes.items() if size > MOST_BYTES} == {}
