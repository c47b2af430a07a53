"""The members' page: start a job, watch all jobs of the organization, cancel, download."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from django_jobs import list_jobs
from django_jobs.engine.access import organizations_seen_by
from django_jobs.models import JobType, Organization
from example_project.shop.forms import FORMS, JobForm

SHOWN: Final = 50
#: They come by the hundred, from one job that is listed, and are shown when asked for.
UNLISTED: Final = ("customer_statement",)
login_first = login_required(login_url="shop:login")


def organizations_for(user: Any) -> QuerySet[Organization]:
    """Return the organizations whose jobs the access policy lets the user see."""
    seen = organizations_seen_by(user)
    everything: QuerySet[Organization] = Organization.objects.order_by("name")
    return everything if seen is None else seen.order_by("name")


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
    tenant = get_object_or_404(organizations_for(request.user), name=organization)
    forms = [kind(organization=tenant) for kind in FORMS]
    if request.method == "POST":
        forms = [bound(form, request, tenant) for form in forms]
        for form in forms:
            job = form.submit(request.user) if form.is_bound else None
            if job is not None:
                messages.success(request, f"{job.name} was started.")
                return redirect("shop:jobs", tenant.name)
    context = {
        **rows(request, tenant),
        "tenant": tenant,
        "organizations": organizations_for(request.user),
        "report_form": forms[0],
        "import_form": forms[1],
        "publish_form": forms[2],
    }
    refused = any(form.is_bound and form.errors for form in forms)
    return render(request, "shop/jobs.html", context, status=422 if refused else 200)


@login_first
@require_GET
def job_rows(request: HttpRequest, organization: str) -> HttpResponse:
    """Show the newest jobs alone. The page looks here for those that it does not show yet."""
    tenant = get_object_or_404(organizations_for(request.user), name=organization)
    return render(request, "shop/job_rows.html", rows(request, tenant))


def bound(form: JobForm, request: HttpRequest, tenant: Organization) -> JobForm:
    """Return the form, with the sent data if it is the form that was sent."""
    if request.POST.get("job_type") != form.job_type:
        return form
    return type(form)(request.POST, request.FILES, organization=tenant)


def rows(request: HttpRequest, tenant: Organization) -> dict[str, Any]:
    titles = dict(JobType.objects.values_list("type_name", "display_name"))
    is_complete = "all" in request.GET
    unlisted = () if is_complete else UNLISTED
    wanted = [name for name in titles if name not in unlisted]
    found = list_jobs(tenant, job_type=wanted, limit=SHOWN, user=request.user)
    return {
        "is_complete": is_complete,
        "unlisted": unlisted,
        "rows": [{"job": job, "title": titles.get(job.job_type) or job.job_type} for job in found],
        "room": f"org:{tenant.name}",
    }
