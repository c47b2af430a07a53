"""The members' page: start a job, watch the jobs of the organization, cancel, download."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods

from django_jobs.engine.access import organizations_seen_by
from django_jobs.models import Job, Organization
from django_jobs.statuses import Status
from example_project.shop.cards import Group, count_by_status, describe_jobs, read_cards, read_display_names
from example_project.shop.forms import FORMS, JobForm
from example_project.shop.kinds import name_many
from example_project.shop.runs import CARDS, between, read_newer

login_first = login_required(login_url="shop:login")


def organizations_for(user: Any) -> QuerySet[Organization]:
    """Return the organizations whose jobs the access policy lets the user see."""
    seen = organizations_seen_by(user)
    everything: QuerySet[Organization] = Organization.objects.order_by("name")
    return everything if seen is None else seen.order_by("name")


def tenant_for(request: HttpRequest, organization: str) -> Organization:
    """Return the organization; Http404 also where the user may not know of it."""
    return get_object_or_404(organizations_for(request.user), name=organization)


@login_first
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    first = organizations_for(request.user).first()
    if first is None:
        return render(request, "shop/no_organization.html")
    return redirect("shop:jobs", first.name)


@login_first
@require_http_methods(["GET", "POST"])
def jobs(request: HttpRequest, organization: str) -> HttpResponse:
    tenant = tenant_for(request, organization)
    forms = [kind(organization=tenant) for kind in FORMS]
    if request.method == "POST":
        forms = [bound(form, request, tenant) for form in forms]
        for form in forms:
            job = form.submit(request.user) if form.is_bound else None
            if job is not None:
                messages.success(request, _("%(job)s was started.") % {"job": job.name})
                return redirect("shop:jobs", tenant.name)
    refused = any(form.is_bound and form.errors for form in forms)
    context = {**page_of(request, tenant), **cards_of(request, tenant), "forms": forms}
    return render(request, "shop/jobs.html", context, status=422 if refused else 200)


@login_first
@require_GET
def older(request: HttpRequest, organization: str, before: int) -> HttpResponse:
    """Show the jobs before the one with this key."""
    tenant = tenant_for(request, organization)
    newer = {"newer": read_newer(Job.objects.filter(organization=tenant), before)}
    return render(request, "shop/jobs.html", {**page_of(request, tenant), **cards_of(request, tenant, before), **newer})


@login_first
@require_GET
def rows(request: HttpRequest, organization: str, before: int | None = None) -> HttpResponse:
    """Show the cards of a page alone. The page looks here for those that it does not show yet."""
    return render(request, "shop/cards.html", cards_of(request, tenant_for(request, organization), before))


@login_first
@require_GET
def group(
    request: HttpRequest, organization: str, kind: str, oldest: int, newest: int, *, alone: bool = False
) -> HttpResponse:
    """Show a group page by page, with ``failed`` in the query what failed of it; ``alone`` the cards without a page."""
    tenant = tenant_for(request, organization)
    owner = request.GET.get("owner", "")
    members = between(Job.objects.filter(organization=tenant, job_type=kind), oldest, newest).filter(owner_name=owner)
    by_status = count_by_status(members)
    if not by_status:
        raise Http404
    display_names = read_display_names()
    failed = members.filter(status=Status.DEAD_LETTER)
    shown = (failed if "failed" in request.GET else members).order_by("-pk").values_list("pk", flat=True)
    page = Paginator(shown, CARDS).get_page(request.GET.get("page"))
    title = name_many(kind, by_status.total(), display_names)
    context = {
        "cards": describe_jobs(members.filter(pk__in=list(page.object_list)), request.user, display_names).values(),
        "group": Group(title, kind, owner, newest, oldest, by_status),
        "page": page,
        "is_failed": "failed" in request.GET,
        "room": room_of(tenant),
    }
    return render(request, "shop/cards.html" if alone else "shop/group.html", {**page_of(request, tenant), **context})


@login_first
@require_GET
def job(request: HttpRequest, organization: str, job_id: str) -> HttpResponse:
    tenant = tenant_for(request, organization)
    try:
        row = Job.objects.filter(organization=tenant).by_id(job_id)
    except Job.DoesNotExist:
        raise Http404 from None
    cards = describe_jobs(Job.objects.filter(pk=row.pk), request.user, read_display_names())
    context = {**page_of(request, tenant), "card": cards.get(row.pk), "room": room_of(tenant)}
    return render(request, "shop/job.html", context)


def bound(form: JobForm, request: HttpRequest, tenant: Organization) -> JobForm:
    """Return the form, with the sent data if it is the form that was sent."""
    if request.POST.get("job_type") != form.job_type:
        return form
    return type(form)(request.POST, request.FILES, organization=tenant)


def page_of(request: HttpRequest, tenant: Organization) -> dict[str, Any]:
    """Return what every page of an organization shows."""
    return {"tenant": tenant, "organizations": organizations_for(request.user)}


def cards_of(request: HttpRequest, tenant: Organization, before: int | None = None) -> dict[str, Any]:
    cards, older_than = read_cards(tenant, request.user, before)
    return {"tenant": tenant, "cards": cards, "before": before, "older": older_than, "room": room_of(tenant)}


def room_of(tenant: Organization) -> str:
    """Return the room of the websocket in which all jobs of the organization are told of."""
    return f"org:{tenant.name}"
