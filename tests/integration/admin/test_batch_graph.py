"""The graph of a batch's dependencies: what is drawn, what is folded, and what is too much."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from django.test import Client

from django_jobs import create_batch, submit_job
from django_jobs.models import Batch, Job, JobType, Organization
from django_jobs.testing import run_jobs
from tests.support import verbs
from tests.support.admin import codes_on, text, url
from tests.support.batches import make_batch
from tests.support.factories import make_job_type
from tests.support.tuning import Tuning
from tests.support.verbs import BatchGraph, GraphNode

pytestmark = pytest.mark.usefixtures("broker")


def fan(organization: Organization, width: int, kind: JobType) -> Batch:
    """A job, others that wait for it, and one that waits for them."""
    batch = create_batch(organization)
    first = batch.submit(kind)
    middle = [batch.submit(kind, {"n": number}, depends_on=[first]) for number in range(width)]
    batch.submit(kind, {"last": True}, depends_on=middle)
    return batch


def graph_of(client: Client, batch: Batch) -> BatchGraph | None:
    found: BatchGraph | None = client.get(url("batch", "change", batch.pk)).context.get("graph")
    return found


def test_each_job_has_a_box_with_its_status_in_words_and_a_link(root: Client, mine: Organization) -> None:
    batch = fan(mine, 2, make_job_type("fail_for_good", type_name="printing"))
    batch.close()
    run_jobs()
    page = text(root, url("batch", "change", batch.pk))
    drawn = re.findall(r'<a class="djobs-node ([\w-]+)" href="([^"]+)" aria-label="([^"]+)">', page)
    jobs = list(Job.objects.filter(batch=batch).order_by("pk"))
    assert [address for _, address, _ in drawn] == [url("job", "change", job.pk) for job in jobs]
    assert {color for color, _, _ in drawn} == {"djobs-dead-letter"}
    for (_, _, words), job, numbers in zip(drawn, jobs, (["2"], ["1", "1"]), strict=False):
        assert words.startswith(f"printing {job.name} · Dead Letter;")
        assert re.findall(r"\d+", words.partition(";")[2]) == numbers


def test_nothing_is_drawn_where_nothing_waits(root: Client, mine: Organization, kind: JobType) -> None:
    batch = make_batch(mine, "Completed", "Completed")
    outside = submit_job(kind, mine)
    batch_with_parent_elsewhere = create_batch(mine)
    batch_with_parent_elsewhere.submit(kind, {"n": 1}, depends_on=[outside])
    assert graph_of(root, batch) is graph_of(root, batch_with_parent_elsewhere) is None
    assert "djobs-dag" not in text(root, url("batch", "change", batch.pk))


def test_jobs_that_wait_for_none_are_counted_beside(root: Client, mine: Organization, kind: JobType) -> None:
    batch = fan(mine, 2, kind)
    batch.submit(kind, {"alone": True})
    page = root.get(url("batch", "change", batch.pk))
    assert page.context["unlinked"] == 1
    assert "some_not_drawn" in codes_on(page)


def test_many_jobs_are_folded_by_type_status_and_layer(
    root: Client, mine: Organization, kind: JobType, tuning: Tuning
) -> None:
    tuning.set(batch_graph_boxes=4)
    batch = fan(mine, 5, kind)
    graph = graph_of(root, batch)
    assert graph is not None
    assert [(box.count, box.before, box.after) for box in graph.boxes.values()] == [(1, 0, 5), (5, 5, 5), (1, 5, 0)]
    assert set(graph.links.values()) == {5}
    page = text(root, url("batch", "change", batch.pk))
    assert re.search(r"\b5\b[^<]* · Pending", page)
    (address,) = set(re.findall(r'href="([^"]*type=[^"]*)"', page))
    assert root.get(address.replace("&amp;", "&")).context["cl"].result_count == 7


@pytest.mark.parametrize("bound", ["batch_graph_links", "batch_graph_jobs"])
def test_what_is_too_much_to_draw_leads_to_the_list(
    root: Client, mine: Organization, kind: JobType, tuning: Tuning, bound: str
) -> None:
    tuning.set(**{bound: 3})
    batch = fan(mine, 5, kind)
    page = text(root, url("batch", "change", batch.pk))
    assert "graph_too_large" in codes_on(page)
    assert "djobs-dag" not in page
    loose = make_batch(mine, *["Completed"] * 5)
    assert graph_of(root, loose) is None


def test_as_much_as_is_ever_read_becomes_a_small_drawing() -> None:
    count = verbs.GRAPH_LINKS
    nodes = {pk: GraphNode(pk, f"<type {pk % 3}>", "Pending", verbs.now()) for pk in range(1, count + 2)}
    graph = verbs.make_batch_graph(nodes, [(1, pk) for pk in range(2, count + 2)])
    drawing = str(verbs.draw_batch_graph(graph, lambda box: f"/{box.node.pk}?a=1&b=2"))
    assert len(graph.boxes) == 4
    assert graph.is_folded
    assert len(drawing) < 10_000
    ET.fromstring(drawing)


def test_a_chain_that_cannot_be_folded_is_too_large() -> None:
    nodes = {pk: GraphNode(pk, "step", "Pending", verbs.now()) for pk in range(1, 300)}
    assert verbs.make_batch_graph(nodes, [(pk, pk + 1) for pk in range(1, 299)]).is_too_large
