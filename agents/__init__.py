"""The imperative shell: Faust agents, the worker, the command line."""
