"""Record the messages that the code of now publishes, where none of the same form is recorded:
`python -m tests.compat.record`. Earlier ones stay: messages of earlier versions may be in flight."""

from __future__ import annotations

import tests.environment  # noqa: F401 isort: skip - sets what Django reads

import json
import os
from unittest import mock

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "avram.settings")
django.setup()

from celery_app import app  # noqa: E402
from tests.compat import wire as compat  # noqa: E402


def main() -> None:
    with compat.memory() as wire, mock.patch.object(app, "producer_or_acquire", wire.producer):
        for name, publish in compat.PUBLISH.items():
            publish()
            (payload,) = wire.take()
            payload["headers"]["origin"] = "gen1@recorder"
            known = [one for one in compat.recorded().values() if one["headers"]["task"] == name]
            if wire.form(payload) in [wire.form(one) for one in known]:
                continue
            file = compat.FOLDER / f"{name.removeprefix('harvest.')}-{len(known) + 1}.json"
            file.write_text(json.dumps(payload, indent=2) + "\n")
            print("recorded", file.name)


if __name__ == "__main__":
    main()
