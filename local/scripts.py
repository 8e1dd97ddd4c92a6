"""What the demo's runs say, and when: scripts of events as Rikolti's DAGs publish them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

#: id, name, campus, mapper type.
COLLECTIONS = (
    (27551, "O'Neill (Edward) Papers", "UC Irvine", "oai.samvera"),
    (26098, "Ænima — Sound Recordings", "UC Santa Cruz", "oai.dspace"),
    (466, "Japanese American Relocation", "UC Berkeley", "oac.dc"),
    (28077, "加州 Postcards", "UC San Diego", "ucsd.blacklight"),
    (509, "Water Resources Archive", "UC Riverside", "oai.content_dm"),
)

TRACEBACK = """Traceback (most recent call last):
  File "/usr/local/airflow/dags/rikolti/dags/shared_tasks/mapping_tasks.py", line 80, in map_page_task
    mapped_page_status = map_page(
  File "/usr/local/airflow/dags/rikolti/metadata_mapper/map_pages.py", line 131, in map_page
    mapped_record = mapper(source_record).to_UCLDC()
  File "/usr/local/airflow/dags/rikolti/metadata_mapper/mappers/mapper.py", line 212, in to_UCLDC
    "isShownAt": self.map_is_shown_at()["isShownAt"],
KeyError: 'isShownAt'
"""


@dataclass(frozen=True)
class Line:
    """One event, and how many seconds after the one before it."""

    pause: float
    message: Any
    task_id: str
    map_index: int = -1
    try_number: int = 1


@dataclass(frozen=True)
class Script:
    """A run from its first event to its last."""

    title: str
    dag_id: str
    conf: dict[str, Any]
    lines: tuple[Line, ...]


def scripts() -> Iterator[Script]:
    """Yield the cast of the demo, one of each kind."""
    yield Script("a success with mapped tasks", "harvest_collection", _conf(27551), _harvest(27551, 4))
    yield Script("a failure with a traceback", "harvest_collection", _conf(26098), _failure(26098))
    yield Script("a success with a retried task", "harvest_collection", _conf(466), _retried(466))
    yield Script("a task cleared after completion", "harvest_collection", _conf(28077), _cleared(28077))
    yield Script(
        "a validate run without collection",
        "validate_by_mapper_type",
        {"rikolti_mapper_type": "oai.samvera", "limit": "3"},
        (
            Line(0, {"collections": 3}, "get_collections"),
            Line(8, [{"status": "success", "num_mapped_records": 12}], "validate.map_page", 0),
            Line(8, [{"status": "success", "num_mapped_records": 9}], "validate.map_page", 1),
        ),
    )
    yield Script("a lost run that will go stale", "harvest_collection", _conf(509), _harvest(509, 2)[:3])


def _conf(collection_id: int) -> dict[str, Any]:
    return {"collection_id": str(collection_id)}


def _harvest(collection_id: int, pages: int) -> tuple[Line, ...]:
    vernacular = f"{collection_id}/vernacular_metadata_2026-11-24T05:21:45/"
    mapped = f"{vernacular}mapped_metadata_2026-11-24T05:22:03/"
    return (
        Line(0, {"collection_id": collection_id, "harvest_type": "oai"}, "get_registry_data"),
        Line(3, {"vernacular_version": vernacular}, "fetching.create_vernacular_version"),
        Line(5, {"num_items": pages * 4, "num_pages": pages}, "fetching.fetch_collection"),
        Line(3, mapped, "mapping.create_mapped_version"),
        *(Line(3, _page(mapped, page), "mapping.map_page", page) for page in range(pages)),
        Line(4, {"status": "success", "num_mapped_pages": pages}, "mapping.get_mapping_status"),
        Line(
            4,
            {"with_content_urls_version": f"{mapped}with_content_urls_2026-11-24T05:22:44/"},
            "content_harvesting.create_with_content_urls_version",
        ),
        *(
            Line(3, {"content_harvest_success": True}, "content_harvesting.content_harvest", page)
            for page in range(pages)
        ),
        Line(5, {"records_with_children": None}, "merge_any_child_records"),
        Line(4, {"record_indexer_success": "success"}, "create_stage_index"),
        Line(3, {"dag_complete": True}, "merge_any_child_records"),
    )


def _failure(collection_id: int) -> tuple[Line, ...]:
    error = {"error": True, "exception": "KeyError: 'isShownAt'\n", "traceback": TRACEBACK}
    end = {"dag_complete": False, "error": True, "reason": "task_failure"}
    return (
        *_harvest(collection_id, 3)[:6],
        Line(6, error, "mapping.map_page", 2, try_number=2),
        Line(5, end, "content_harvesting.create_with_content_urls_version", try_number=0),
    )


def _retried(collection_id: int) -> tuple[Line, ...]:
    # Rikolti tells of a task when it went well or has no tries left: a retry shows in try_number.
    return tuple(
        Line(line.pause * 2, line.message, line.task_id, line.map_index, try_number=3)
        if line.task_id == "fetching.fetch_collection"
        else line
        for line in _harvest(collection_id, 2)
    )


def _cleared(collection_id: int) -> tuple[Line, ...]:
    index = Line(20, {"record_indexer_success": "success"}, "create_stage_index", try_number=2)
    end = Line(15, {"dag_complete": True}, "create_stage_index", try_number=2)
    return (*_harvest(collection_id, 1), index, end)


def _page(mapped: str, page: int) -> list[dict[str, Any]]:
    return [
        {
            "status": "success",
            "num_mapped_records": 4,
            "page_exceptions": {},
            "mapped_page_path": f"{mapped}data/{page}.jsonl",
        }
    ]
