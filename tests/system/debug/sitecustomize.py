"""Put on PYTHONPATH, this makes every logger of a Python process, and of those it starts, log at DEBUG."""

import logging

logging.getLogger().setLevel(logging.DEBUG)
logging.Logger.setLevel = lambda *_: None  # type: ignore[method-assign]
