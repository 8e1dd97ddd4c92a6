"""A clock that can be wrong, for processes that the tests start."""

from __future__ import annotations

from pathlib import Path

import libfaketime

FAKETIME = Path(libfaketime.__file__).parent / "vendor/libfaketime/src/libfaketime.so.1"


class Clock:
    """The clock of the processes that are given its ``variables``: right, or hours off."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.put_right()

    def put_right(self) -> None:
        self.jump(0)

    def jump(self, hours: int) -> None:
        new = self._file.with_suffix(".new")
        new.write_text(f"{hours:+}h\n")
        new.replace(self._file)  # whoever reads it finds it whole

    @property
    def variables(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }
