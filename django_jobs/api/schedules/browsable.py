"""What the browsable API shows beside schedules: links to their pages, and buttons for what may be done."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext as _
from rest_framework import status


def page_context(view: Any, data: Any) -> dict[str, Any]:
    """Return the values for the template of a page of the browsable API."""
    if status.is_client_error(view.response.status_code):
        return {}
    if "id" in view.kwargs:
        return _of_one(view, view.kwargs["id"], data)
    rows = data.get("results", []) if isinstance(data, dict) else []
    return {"listed_schedules": rows} if view.action == "list" else {}


def _of_one(view: Any, pk: str, data: Any) -> dict[str, Any]:
    def address(route: str) -> str:
        return str(view.reverse_action(route, kwargs={"id": pk}))

    links = [(_("Schedule"), address("detail")), (_("Firings"), address("firings"))]
    buttons = [{"label": _("Fire now"), "url": address("fire")}]
    told = data if isinstance(data, dict) else {}
    is_enabled = told.get("is_enabled")
    if is_enabled is not None:
        verb, label = ("pause", _("Pause")) if is_enabled else ("resume", _("Resume"))
        buttons.append({"label": label, "url": address(verb)})
    title = _("Schedule {name}").format(name=told.get("name", pk))
    return {"job_links": [{"title": title, "links": links}], "job_buttons": buttons}
