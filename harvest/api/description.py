"""What the description of the API has beside what its views say of themselves."""

from __future__ import annotations

from typing import Any

ERROR = {
    "type": "object",
    "required": ["detail"],
    "properties": {
        "detail": {"type": "string", "description": "What is wrong."},
        "errors": {
            "type": "object",
            "description": "What is wrong with which parameter.",
            "additionalProperties": {"type": "array", "items": {"type": "string"}},
        },
    },
}

ERRORS = {
    "400": "A parameter is unknown, or can't be meant.",
    "401": "No token and no session, or none that is valid.",
    "403": "The account may not see this.",
    "404": "There is no such thing.",
    "429": "Too many requests: Retry-After says how many seconds to wait.",
    "503": "The database is away or busy.",
}


def describe_errors(result: dict[str, Any], **context: Any) -> dict[str, Any]:
    """Say of each operation what it answers when something is wrong."""
    result["components"].setdefault("schemas", {})["Error"] = ERROR
    content = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    for path in result["paths"].values():
        for operation in path.values():
            for status, description in ERRORS.items():
                operation["responses"][status] = {"description": description, "content": content}
    return result
