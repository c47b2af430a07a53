"""System checks: they find what is wrong with the host's settings before it costs a job.

Importing the package registers them. The broker's package has its own.
"""

from __future__ import annotations

from django_jobs.checks.handlers import (
    check_declarations,
    check_declared_pools,
    check_declared_twice,
    check_handler_logs,
    check_handler_modules,
)
from django_jobs.checks.organizations import (
    check_access_policy,
    check_method_prefix,
    check_organization_id_field,
    check_page_apps,
    check_policy_class,
    check_swapped_late,
    check_system_organization,
    check_system_organization_exists,
    check_throttle_rates,
    check_websocket_origins,
)
from django_jobs.checks.settings import (
    check_foreign_rq_jobs,
    check_metrics,
    check_numbers,
    check_queues,
    check_sensitive_parameters,
    check_setting_names,
)
from django_jobs.checks.storage import check_alerts, check_database, check_output_storage, check_pools, check_time_zones

__all__ = [
    "check_access_policy",
    "check_alerts",
    "check_database",
    "check_declarations",
    "check_declared_pools",
    "check_declared_twice",
    "check_foreign_rq_jobs",
    "check_handler_logs",
    "check_handler_modules",
    "check_method_prefix",
    "check_metrics",
    "check_numbers",
    "check_organization_id_field",
    "check_output_storage",
    "check_page_apps",
    "check_policy_class",
    "check_pools",
    "check_queues",
    "check_sensitive_parameters",
    "check_setting_names",
    "check_swapped_late",
    "check_system_organization",
    "check_system_organization_exists",
    "check_throttle_rates",
    "check_time_zones",
    "check_websocket_origins",
]
