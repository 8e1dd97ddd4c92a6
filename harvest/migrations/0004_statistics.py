"""What PostgreSQL knows of an event's kinds together: that errors hardly ever end well, and the like.

By each alone it would expect many events where there are none, and read all of one kind to find them.
"""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def create(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(
            "CREATE STATISTICS event_kinds (mcv) ON error, dag_level, outcome FROM harvest_harvestevent"
        )


def drop(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS event_kinds")


class Migration(migrations.Migration):
    dependencies = [("harvest", "0003_groups")]

    operations = [migrations.RunPython(create, drop)]
