"""HTTP as every service has it: the server and its connections, who may come in, problems, figures of requests."""
