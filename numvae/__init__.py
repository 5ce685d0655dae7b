__version__ = "0.4.0"
import os

# Threads of OpenMP that wait should spin a moment and then sleep: sleeping at once costs a quarter of a
# training's speed, and spinning on makes it many times slower where other work shares the cores. It counts
# only if set before torch is loaded; a value of your own is kept.
os.environ.setdefault('OMP_WAIT_POLICY', 'PASSIVE')
os.environ.setdefault('GOMP_SPINCOUNT', '1000')


# MKL's matrix products may differ in the last bit with the place of a row among others. Strictly
# reproducible, they don't, and cost the same here: the same row gets the same score in any order.
os.environ.setdefault('MKL_CBWR', 'AUTO,STRICT')
