"""One command that shows everything: an embedded Valkey, the data, a worker, the web server, and a job."""
