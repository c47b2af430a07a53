"""A channel layer in Redis, whose address leads to another server by now."""

from __future__ import annotations

import asyncio
from pathlib import Path

from channels.layers import channel_layers
from channels_redis.core import RedisChannelLayer

from tests.support import verbs
from tests.support.redis_servers import SwitchedRedis, switched_redis
from tests.support.verbs import FailureLog, LayerBroadcaster, LayerSubscription


async def hear(switched: SwitchedRedis) -> list[int]:
    """The changes that are heard before and after the switch."""
    broadcaster, subscription = LayerBroadcaster(), LayerSubscription(lambda: {verbs.group_of(1)}, FailureLog())
    heard: list[int] = []
    await subscription.open()
    async with asyncio.timeout(60):
        for change in (1, 2):
            while change not in heard:
                broadcaster.outbox.add_changes([(1, change, change)])
                await broadcaster.send_waiting()
                try:
                    async with asyncio.timeout(1):
                        await subscription.open()
                        notification = await subscription.receive()
                except Exception:  # noqa: BLE001  (it is tried again, as by the hub)
                    continue
                heard += [found for found, _ in notification["changes"]["1"]]
            if change == 1:
                await asyncio.to_thread(switched.switch)
    return sorted(set(heard))


def test_processes_go_on_hearing_of_changes(tmp_path: Path) -> None:
    with switched_redis(tmp_path) as switched:
        channel_layers.set("default", RedisChannelLayer(hosts=[{"address": switched.url, "socket_timeout": None}]))
        try:
            assert asyncio.run(hear(switched)) == [1, 2]
        finally:
            channel_layers.backends.clear()
