"""The members' page: start a job, watch the jobs of the organization, cancel, download."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from django_jobs import list_jobs
from django_jobs.engine.scope import Scope
from django_jobs.models import Batch, JobType, Organization
from example_project.shop.forms import FORMS

JOBS, BATCHES = 20, 3
#: They are many; a bar for their batch stands for them.
IN_BATCHES = "customer_statement"


def organizations_for(user: Any) -> QuerySet[Organization]:
    """Return the organizations whose jobs the access policy lets the user see."""
    return Scope(user).tenants.order_by("name")


@login_required
@require_GET
def home(request: HttpRequest) -> HttpResponse:
    first = organizations_for(request.user).first()
    return redirect("shop:jobs", first.name) if first else render(request, "shop/no_organization.html")


@login_required
@require_http_methods(["GET", "POST"])
def jobs(request: HttpRequest, organization: str) -> HttpResponse:
    """Show the page, or start the job of the form that was sent. An organization of others is not found."""
    organizations = organizations_for(request.user)
    tenant = get_object_or_404(organizations, name=organization)
    sent = request.POST.get("job_type")
    forms = [form(request.POST if form.job_type == sent else None, organization=tenant) for form in FORMS]
    for form in forms:
        if form.is_bound and (job := form.submit(request.user)):
            messages.success(request, f"{job.name} was started.")
            return redirect("shop:jobs", tenant.name)
    is_refused = any(form.is_bound for form in forms)
    context = {
        "tenant": tenant,
        "organizations": organizations,
        "forms": forms,
        "rows": rows_of(tenant, request.user),
        "room": f"org:{tenant.name}",
    }
    return render(request, "shop/jobs.html", context, status=422 if is_refused else 200)


def rows_of(tenant: Organization, user: Any) -> list[dict[str, Any]]:
    """Return the newest jobs and batches, newest first, as the page's rows."""
    titles = dict(JobType.objects.exclude(pk=IN_BATCHES).values_list("pk", "display_name"))
    jobs_of_tenant = list_jobs(tenant, job_type=titles, limit=JOBS, user=user)
    batches = Batch.objects.visible_to(user).filter(organization=tenant).order_by("-pk")[:BATCHES]
    rows: list[dict[str, Any]] = [
        {"job": job, "id": job.job_id, "title": titles[job.job_type], "owner": job.owner, "created_at": job.created_at}
        for job in jobs_of_tenant
    ]
    rows += [
        {"batch": row, "id": row.batch_id, "title": row.name, "owner": row.owner_name, "created_at": row.created_at}
        for row in batches
    ]
    return sorted(rows, key=lambda row: row["created_at"], reverse=True)
