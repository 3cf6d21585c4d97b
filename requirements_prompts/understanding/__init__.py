"""Reading a request with plain rules: task, things, limits, devices, and what is left open (`request.read_request`)."""
