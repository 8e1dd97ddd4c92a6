"""The registry's own: collections, and what people started for them."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Upper
from django.utils.translation import gettext_lazy as _

from harvest import airflow, limits


class Collection(models.Model):
    """A collection of the registry, by its own id."""

    id = models.PositiveIntegerField(primary_key=True)
    name = models.CharField(max_length=255)
    slug = models.SlugField(max_length=255, blank=True)
    campus_names = models.JSONField(default=list, blank=True)
    harvest_type = models.CharField(max_length=255, blank=True)
    mapper_type = models.CharField(max_length=255, blank=True)
    production_target_version = models.CharField(
        max_length=limits.MAX_VERSION,
        blank=True,
        help_text=_("Follows the newest run that publishes or unpublishes and has not failed."),
    )
    registered_version = models.CharField(  # noqa: DJ001 - null where no run has decided yet
        max_length=limits.MAX_VERSION,
        null=True,
        blank=True,
        editable=False,
        help_text=_("The version before runs decided it, which is so again when all of them failed."),
    )

    class Meta:
        ordering = ("name",)
        indexes = (
            # Less for finding than for PostgreSQL's statistics: without them it takes a search for part
            # of a name to find next to nothing, and plans accordingly.
            models.Index(Upper("name"), name="collection_name"),
        )

    def __str__(self) -> str:
        return f"{self.name} ({self.id})"


class HarvestTriggerQuerySet(models.QuerySet["HarvestTrigger"]):
    def of_run(self, key: airflow.RunKey) -> HarvestTrigger | None:
        """Return the trigger of a run: of its host or, where run or trigger names none, of its name."""
        named = self.filter(dag_id=key.dag_id, dag_run_id=key.dag_run_id)
        if key.host:
            return named.filter(hostname__in=(key.host, "")).order_by("-hostname").first()
        return named.order_by("hostname").first()


class HarvestTrigger(models.Model):
    """A person's request to Airflow to start a run, and what Airflow answered."""

    class State(models.TextChoices):
        SENT = "sent", _("sent, no answer yet")
        ACCEPTED = "accepted", _("accepted")
        REFUSED = "refused", _("refused")
        UNKNOWN = "unknown", _("no answer: it may have started")
        ABSENT = "absent", _("did not start")

    collection = models.ForeignKey(
        Collection,
        on_delete=models.CASCADE,
        related_name="harvest_triggers",
        db_index=False,  # Another index begins with it.
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("triggered by"),
    )
    dag_id = models.CharField(_("DAG"), max_length=limits.MAX_ID)
    dag_run_id = models.CharField(_("DAG run"), max_length=limits.MAX_ID)
    logical_date = models.DateTimeField()
    dag_run_conf = models.JSONField(_("conf"), default=dict, blank=True)
    hostname = models.CharField(
        _("host"), max_length=limits.MAX_HOST, blank=True, help_text=_("Airflow's address.")
    )
    state = models.CharField(max_length=8, choices=State.choices, default=State.SENT)
    stdout = models.TextField(_("answer"), blank=True)
    stderr = models.TextField(_("error"), blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = HarvestTriggerQuerySet.as_manager()

    class Meta:
        ordering = ("-logical_date",)
        constraints = (
            # A second click finds the trigger of the first; a run looks for its trigger.
            models.UniqueConstraint(
                fields=("dag_id", "dag_run_id", "hostname"), name="harvest_trigger_once"
            ),
        )
        indexes = (
            models.Index(fields=("collection", "-logical_date"), name="trigger_newest_of_collection"),
            models.Index(fields=("-logical_date",), name="trigger_newest"),
            models.Index(fields=("state", "-logical_date"), name="trigger_newest_of_state"),
            # It is searched by how a DAG run's id begins.
            models.Index(
                fields=("dag_run_id",), opclasses=("varchar_pattern_ops",), name="trigger_dag_run"
            ),
        )
        permissions = (("trigger_run", "Can start runs in Airflow"),)

    def __str__(self) -> str:
        return f"{self.dag_id} {self.dag_run_id}"

    @property
    def key(self) -> airflow.RunKey:
        return airflow.RunKey(self.hostname, self.dag_id, self.dag_run_id)
