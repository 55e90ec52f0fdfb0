"""Settings for all tests."""

import os

# One thread for each test process: several of them share the cores, and threads that wait for a core
# make small tensors many times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")
