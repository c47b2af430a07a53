"""The members' page: start a job, watch the jobs of the organization, cancel, download."""

from __future__ import annotations

from typing import Any, Final

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from django_jobs import list_jobs, submit_job
from django_jobs.engine.scope import Scope
from django_jobs.exceptions import JobsError
from django_jobs.models import Batch, JobType, Organization

#: The jobs that members may start from the page, each with its title and what its button says.
STARTS: Final = {
    "pdf_generation": ("Sales report of the last month", "Make the PDF"),
    "bulk_statements": ("Statements of the last month", "Write them"),
    "catalog_publish": ("Catalog", "Publish"),
}
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
    """Show the page, or start the job whose button was pressed. An organization of others is not found."""
    organizations = organizations_for(request.user)
    tenant = get_object_or_404(organizations, name=organization)
    if request.method == "POST":
        try:
            job = submit_job(request.POST.get("job_type", ""), tenant, user=request.user)
        except JobsError as refusal:
            messages.error(request, str(refusal))
        else:
            messages.success(request, f"{job.name} was started.")
        return redirect("shop:jobs", tenant.name)
    rows = rows_of(tenant, request.user)
    context = {"tenant": tenant, "organizations": organizations, "starts": STARTS, "rows": rows}
    return render(request, "shop/jobs.html", {**context, "room": f"org:{tenant.name}"})


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
