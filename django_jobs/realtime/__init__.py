"""Live progress over websockets; the only package that imports Channels.

What travels through the channel layer is a bell: which log rows and which progress of which organization are new. Each
web process reads the rows itself, once for all its sockets, so that the database stays the truth about what may be
told to whom, a worker pays next to nothing, and a lost bell costs only the time until the next look.
"""
