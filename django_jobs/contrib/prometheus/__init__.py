"""Metrics for Prometheus: the extra ``prometheus``, with the library ``prometheus-client``.

``page`` answers scrapes, and says so where the library is missing; ``exposition`` names every metric.
"""
