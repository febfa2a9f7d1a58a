"""The command line: ``estep fit``, ``predict``, ``compare``, ``report``, ``demo``. A command loads what it needs as it runs."""
