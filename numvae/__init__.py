__version__ = "0.5.0"
import os, sys

# Threads of OpenMP that wait should spin a moment and then sleep: sleeping at once makes a training
# slower, and so does spinning on, far more, where other work shares the cores. It counts
# only if set before torch is loaded; where it is too late, the fused step of a training lets these threads rest.
# A value of your own is kept.
openmp_spins = 'torch' in sys.modules and not {'OMP_WAIT_POLICY', 'GOMP_SPINCOUNT'} & os.environ.keys()
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('GOMP_SPINCOUNT', '1000')

# MKL's matrix products may differ in the last bit with the place of a row among others. Strictly
# reproducible, they don't, and cost the same here: the same row gets the same score in any order.
os.environ.setdefault('MKL_CBWR', 'AUTO,STRICT')
