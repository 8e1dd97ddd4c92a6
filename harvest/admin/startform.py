"""The form that confirms what is to be started."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminRadioSelectWidget, UnfoldAdminTextInputWidget

from harvest import airflow_api, limits, triggering
from harvest.models import Collection
from harvest.triggering import Order


class StartForm(forms.Form):
    """On which host, and of which version. Sent twice, its token starts each run once."""

    token = forms.CharField(widget=forms.HiddenInput, validators=[RegexValidator(triggering.TOKEN)])
    host = forms.ChoiceField(label=_("Host"), widget=UnfoldAdminRadioSelectWidget)

    def __init__(
        self,
        action: str,
        collections: Sequence[Collection],
        versions: Mapping[int, Sequence[str]],
        data: Mapping[str, Any] | None,
    ) -> None:
        super().__init__(data, label_suffix="")
        self.action = action
        self.collections = collections
        self.fields["token"].initial = triggering.make_token()
        hosts = airflow_api.hosts()
        host: Any = self.fields["host"]
        host.choices = [(address, address) for address in hosts]
        if len(hosts) == 1:
            host.initial = hosts[0]
        if action != "harvest":
            for collection in collections:
                self.fields[f"version_{collection.pk}"] = self._version_field(
                    collection, versions.get(collection.pk, ())
                )

    def _version_field(self, collection: Collection, versions: Sequence[str]) -> forms.CharField:
        in_production = collection.production_target_version
        offered = next(iter(versions), "") if self.action == "publish" else in_production
        return forms.CharField(
            label=str(collection),
            required=False,  # Those that are left empty are left out.
            initial=offered,
            max_length=limits.MAX_VERSION,
            widget=UnfoldAdminTextInputWidget(
                {"list": f"versions-{collection.pk}", "class": "!max-w-4xl"}
            ),
            help_text=_("In production: %s") % (in_production or _("nothing")),
        )

    def clean(self) -> dict[str, Any]:
        if self.action == "publish":
            for collection in self.collections:
                version = self.cleaned_data.get(f"version_{collection.pk}")
                if version and not re.fullmatch(rf"{collection.pk}/[!-~]+", version):
                    text = gettext("A version of this collection is %d/…, without spaces.")
                    self.add_error(f"version_{collection.pk}", text % collection.pk)
        if not self.errors and not self.orders():
            raise ValidationError(gettext("No version is given, so that nothing would run."))
        return self.cleaned_data

    def orders(self) -> list[Order]:
        """Return what is to be started."""
        if self.action == "harvest":
            return [Order(collection.pk) for collection in self.collections]
        versions = {one.pk: self.cleaned_data[f"version_{one.pk}"] for one in self.collections}
        return [Order(pk, version) for pk, version in versions.items() if version]
