"""Live progress over websockets. This is the only package that imports Channels.

A process that changes a job sends a notification through the channel layer after its commit. The notification holds
ids only: which Execution Log rows, and which jobs' progress, are new. Each web process reads the rows itself, once for
all its sockets. So the database stays the truth about who may hear what, a worker does little, and a lost notification
is made good by the next poll of the log.

A map of the package:

- the route and the connection: ``routing``, ``consumer`` (the websocket), ``connections`` (what a client asks for and
  how much of it), ``sockets`` (what it is sent), ``frames`` (size limits, JSON, close codes), ``rooms`` (the names that
  clients join);
- who connects: ``auth`` (the middleware), ``origins``, ``identity`` (session, token or ticket), ``handshakes`` (new
  sockets, many at once), ``presence`` (open sockets: rights, and how many a user has);
- what they may hear: ``authorization``;
- the events: ``events`` declares each kind and reads it, ``event_log`` reads ids from the Execution Log, ``joins``
  makes the answer to a join;
- the way of an event: ``broadcast`` and ``outbox`` send notifications; ``layer_subscription`` receives them; ``hub``
  runs the tasks of a web process; ``pending_events`` collects what is to be read; ``topics`` holds the subscriptions;
  ``fan_out`` delivers to them;
- ``database_threads`` reads the database for an event loop.
"""
