"""The files of docs/deploying, tried with the programs that read them.

Run it with ``pytest lab/deploying``. It needs the extra ``dev``, Debian's ``docker-compose`` and systemd's programs.
"""
