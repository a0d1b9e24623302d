"""Whether the in-process pipeline of this process should end. Pickled DoFns cannot carry an event, a module can."""

import threading

STOP = threading.Event()
