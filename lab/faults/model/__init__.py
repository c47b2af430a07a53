"""A model of the state machine, and a machine of hypothesis that drives the real engine beside it.

``table`` is the model: a dict of jobs and what each verb does to them. ``engine`` is the real one. ``commands``,
``submissions`` and ``duties`` pair the two, verb by verb; ``driver`` does them and compares; ``machine`` draws them.
"""
