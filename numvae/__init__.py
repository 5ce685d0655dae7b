__version__ = "0.3.0"
import os

# Threads of OpenMP that wait should sleep, not spin: where other work shares the cores, spinning makes
# training many times slower. It counts only if set before torch is loaded; a value of your own is kept.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
