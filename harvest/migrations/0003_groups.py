"""Three groups of people. Made once: what is given to them afterwards, or taken, is the registry's affair."""

from django.apps.registry import Apps
from django.contrib.auth.management import create_permissions
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

#: By app: what each permission is called in the admin is docs/permissions.md's to tell.
VIEWER = {
    "harvest": (
        "view_collection", "view_harvestevent", "view_harvestrun", "view_harvesttrigger", "view_notice",
        "view_queuereading", "view_redrive", "view_rejectedmessage", "view_runchange",
        # A person's own, which is all that these pages show.
        "view_subscription", "add_subscription", "change_subscription", "delete_subscription",
        "change_notice",  # to have it sent again
    ),
    # Likewise: a token reads what its owner may view.
    "authtoken": ("view_tokenproxy", "add_tokenproxy", "delete_tokenproxy"),
    "django_celery_results": ("view_taskresult", "view_groupresult"),
    "django_celery_beat": (
        "view_periodictask", "view_intervalschedule", "view_crontabschedule", "view_clockedschedule",
        "view_solarschedule",
    ),
}
OPERATOR = {
    "harvest": ("reconcile_run", "run_schedule", "set_status", "replay_message", "redrive_queue"),
}
PUBLISHER = {"harvest": ("trigger_run",)}

GROUPS = {
    "viewer": (VIEWER,),
    "operator": (VIEWER, OPERATOR),
    "publisher": (VIEWER, PUBLISHER),
}


def make_groups(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    # Permissions come after all migrations, too late for this one.
    for label in VIEWER:
        config = apps.get_app_config(label)
        before = getattr(config, "models_module", None)  # a migration sees only a stub of it
        config.models_module = True  # create_permissions leaves an app without models alone
        create_permissions(config, verbosity=0, apps=apps)
        config.models_module = before
    group, permission = apps.get_model("auth", "Group"), apps.get_model("auth", "Permission")
    for name, parts in GROUPS.items():
        made, is_new = group.objects.get_or_create(name=name)
        if not is_new:
            continue
        for part in parts:
            for label, codenames in part.items():
                found = permission.objects.filter(
                    content_type__app_label=label, codename__in=codenames
                )
                made.permissions.add(*found)


class Migration(migrations.Migration):
    dependencies = [
        ("harvest", "0002_schedule"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("authtoken", "0004_alter_tokenproxy_options"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("django_celery_beat", "0019_alter_periodictasks_options"),
        ("django_celery_results", "0014_alter_taskresult_status"),
    ]

    operations = [migrations.RunPython(make_groups, migrations.RunPython.noop)]
