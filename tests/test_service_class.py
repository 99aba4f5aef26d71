"""Kinds of work and their weights."""

from twinhead.server.service_class import ServiceClass


def test_bulk_keeps_a_quarter_beside_calls():
    waiting = (ServiceClass.INTERACTIVE, ServiceClass.BULK)
    assert ServiceClass.BULK.weight / sum(each.weight for each in waiting) == 0.25


def test_probes_go_ahead_of_all_others():
    assert next(iter(ServiceClass)) is ServiceClass.PROBE
    assert ServiceClass.PROBE.weight > 100 * ServiceClass.INTERACTIVE.weight
