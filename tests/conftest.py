"""Settings for all tests, made before any library reads them."""

import os

# More threads than one make small tests slower, and results depend on their number.
for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Help and error messages are compared as text: no colours, no line breaks that depend on the terminal.
os.environ.update(NO_COLOR="1", COLUMNS="200", TERMINAL_WIDTH="200")
os.environ.pop("FORCE_COLOR", None)
