"""Frames of ``realtime`` as Socket.IO packets, and a client's packets as frames."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from socketio.packet import ACK, BINARY_ACK, BINARY_EVENT, CONNECT, CONNECT_ERROR, DISCONNECT, EVENT, Packet

from django_jobs.realtime.connections import BadFrame

__all__ = [
    "ACK",
    "ACTIONS",
    "CONNECT",
    "CONNECT_ERROR",
    "DISCONNECT",
    "EVENT",
    "Asked",
    "encode",
    "event_packet",
    "fields_of",
    "frame_of",
    "parse",
]

#: What a client emits, and the action of the websocket that it stands for.
ACTIONS: Final = {"join_room": "join", "leave_room": "leave", "ping": "ping"}
#: Frames that are an event's only argument as they are. All others have ``data``.
_ANSWERS: Final = frozenset({"joined", "left", "error", "pong"})
#: How many frames are kept as packets: a frame goes to all clients in its room at about the same time.
_KEPT: Final = 64


def encode(kind: int, data: object = None, *, number: int | None = None, namespace: str | None = None) -> str:
    """Return a packet. ``number`` is that of the acknowledgement."""
    return str(Packet(kind, data=data, id=number, namespace=namespace).encode())


@lru_cache(_KEPT)
def fields_of(frame: str) -> Mapping[str, Any]:
    """Return the fields of a frame. Do not change them."""
    fields: dict[str, Any] = json.loads(frame)
    return fields


@lru_cache(_KEPT)
def event_packet(frame: str, *, has_about: bool) -> str:
    """Return the packet of a frame: an event with its data, and after it the room and id if ``has_about``."""
    fields = dict(fields_of(frame))
    name = fields.pop("event")
    if name in _ANSWERS:
        return encode(EVENT, [name, fields])
    data = fields.pop("data")
    return encode(EVENT, [name, data, fields] if has_about else [name, data])


def parse(text: object) -> Any:
    """Return the library's packet. Raises BadFrame."""
    if not isinstance(text, str):
        raise BadFrame("Send JSON, not binary data.")
    try:
        packet = Packet(encoded_packet=text)
    except (ValueError, IndexError, RecursionError) as error:
        raise BadFrame("Send a packet of Socket.IO.") from error
    if packet.packet_type in {BINARY_EVENT, BINARY_ACK}:
        raise BadFrame("Send JSON, not binary data.")
    return packet


def frame_of(packet: Any) -> dict[str, Any]:
    """Return the frame that an event stands for. Raises BadFrame."""
    if packet.namespace not in {None, "/"}:
        raise BadFrame("There is only the namespace /.")
    data = packet.data
    if packet.packet_type != EVENT or not isinstance(data, list) or not data or not isinstance(data[0], str):
        raise BadFrame("Send an event.")
    if data[0] not in ACTIONS:
        raise BadFrame(f"The event is {', '.join(ACTIONS)}.")
    argument = data[1] if len(data) > 1 else None
    if isinstance(argument, dict):
        return {"action": ACTIONS[data[0]], "room": argument.get("room"), "since": argument.get("since")}
    return {"action": ACTIONS[data[0]], "room": argument}


class Asked:
    """What a packet of the client asked for, as far as it was understood."""

    packet: Any = None

    @property
    def is_connect(self) -> bool:
        """Return whether the client wants to enter another namespace."""
        return self.packet is not None and self.packet.packet_type == CONNECT

    @property
    def event(self) -> object:
        """Return the name of the event; None where the packet is none."""
        is_event = self.packet is not None and self.packet.packet_type == EVENT
        return self.packet.data[0] if is_event and isinstance(self.packet.data, list) and self.packet.data else None

    @property
    def number(self) -> int | None:
        """Return the number of the acknowledgement that the client waits for."""
        return None if self.event is None else self.packet.id

    @property
    def has_about(self) -> bool:
        """Return whether the room was named in an object."""
        return self.event is not None and len(self.packet.data) > 1 and isinstance(self.packet.data[1], dict)
