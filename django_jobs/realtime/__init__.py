"""Live progress over websockets. This is the only package that imports Channels.

A process that changes a job sends a notification through the channel layer after its commit. The notification holds
ids only: which Execution Log rows, and which jobs' progress, are new. Each web process reads the rows itself, once for
all its sockets. So the database stays the truth about who may hear what, a worker does little, and a lost notification
is made good by the next poll of the log.

A map of the package:

- ``routing``: the route, and what serves a websocket; ``connections``: what a client asks for, and how much of it;
- ``protocol``: names of rooms, frames, their limits, close codes;
- ``auth``: the middleware, and how a client says who it is; ``identity``: the user behind a session, token or ticket,
  and the origins of pages;
- ``rooms``: who may join a room and go on listening, and what somebody who joins is told;
- ``events``: each kind of event, and reading the Execution Log;
- ``broadcast``: sends notifications; ``hub``: receives them in a web process, reads what they tell of, and checks
  rights; ``topics``: the sockets and their subscriptions;
- ``database_threads``: reads the database for an event loop.
"""
