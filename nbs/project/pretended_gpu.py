"""A pretended CUDA device for tests on machines without a GPU ("device hygiene")

A `CudaTensor` holds a CPU tensor and computes on the CPU, so that results can be compared, but to Python it
is on 'cuda:0', and it raises where a GPU would:

- a CPU tensor of one or more dimensions (or of none, outside of elementwise operations) meets one on the GPU
- `.numpy()`, `np.asarray`, a CPU generator for numbers on the GPU, a step of fused Adam whose gradients have
  other strides than the parameters (torch's `check_fast_path_restrictions`)
- while a CUDA graph is captured: anything that waits for the GPU (`.item()`, `.cpu()`, `nonzero`, `equal`,
  a copy from memory that is not pinned, `synchronize`), capture within capture
- a captured graph that reads or writes memory freed since

A captured graph is a list of operations on memory that stays; `replay` does them again: Python does not run,
random numbers go on, 0-dimensional CPU tensors are constants. So static inputs, running statistics, weights
that were replaced and attributes that Python sets can be tested.

Use:

    import pretended_gpu
    with pretended_gpu.gpu() as g:              # or g = pretended_gpu.install() ... g.close()
        learn = vae_learner(table.dls(device='cuda'))
        learn.fit(1)
        with g.watch() as w: learn.fit(1)  # what the GPU was asked for in between
    print(w.syncs, w.kernels, w.replays)   # Counters: place in the code, operation; number of replays
    print(w.report())

`gpu(same_random=True)` draws "on the GPU" from the CPU's default generator, so that a fit gives the numbers of
the same fit on the CPU wherever both draw in the same order.

What it can't see: kernels that a GPU lacks, races between streams, rounding of its own kernels, memory,
DDP, C++ code that asks a tensor for its device (it hears 'cpu').

The page 03_device beside this file is the test that uses it.

Limits: a file pickled with these tensors opens only while `gpu()` is on. Needs torch >= 2.4 or so.
"""

import contextlib, sys, threading, types
from collections import Counter
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map, tree_flatten
from torch.multiprocessing.reductions import StorageWeakRef

__all__ = ['CudaTensor', 'gpu', 'install', 'Watch']

CUDA = torch.device('cuda', 0)
_now = None  # the `Gpu` that is on
_raw = torch._C.DisableTorchFunction  # our own work is not looked at by the mode

# ---------------------------------------------------------------- places in the code
_skip = ('/torch/', 'pretended_gpu.py', '/contextlib.py', '/unittest/', '/fastcore/', '/concurrent/', '/threading.py')


def _where(depth=3):
    "Innermost lines of the code under test"
    out, f = [], sys._getframe(1)
    while f and len(out) < depth:
        if not any(s in f.f_code.co_filename for s in _skip):
            out.append(f"{'/'.join(f.f_code.co_filename.split('/')[-2:])}:{f.f_lineno} {f.f_code.co_name}")
        f = f.f_back
    return ' < '.join(out)


class Watch:
    "What the GPU was asked for"

    def __init__(self):
        self.syncs, self.kernels, self.replays, self.replayed, self.h2d, self.d2h, self.recorded = (
            Counter(),
            Counter(),
            0,
            0,
            0,
            0,
            0,
        )

    def report(self, n=30):
        rows = [
            f'{self.replays} replays of {self.replayed} kernels, {sum(self.kernels.values())} other kernels, {sum(self.syncs.values())} syncs, {self.recorded} graphs captured'
        ]
        rows += [f'  sync x{k}: {what}' for what, k in self.syncs.most_common(n)]
        rows += [f'  kernel x{k}: {what}' for what, k in self.kernels.most_common(n)]
        return '\n'.join(rows)


# ---------------------------------------------------------------- tensors
def _wrap(t):
    return CudaTensor(t) if isinstance(t, torch.Tensor) and not isinstance(t, CudaTensor) else t


def _inner(t):
    return t._t if isinstance(t, CudaTensor) else t


class CudaTensor(torch.Tensor):
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, t, requires_grad=False):
        r = torch.Tensor._make_wrapper_subclass(
            cls,
            t.shape,
            strides=t.stride(),
            storage_offset=t.storage_offset(),
            dtype=t.dtype,
            layout=t.layout,
            device='cpu',
            requires_grad=requires_grad,
        )
        r._t = t
        return r

    def __init__(self, *args, **kwargs):
        pass

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _dispatch(func, args, kwargs or {})

    def __tensor_flatten__(self):
        return ['_t'], None

    @staticmethod
    def __tensor_unflatten__(inner, meta, outer_size, outer_stride):
        return CudaTensor(inner['_t'])

    @property
    def data(self):
        return CudaTensor(self._t.detach())

    @data.setter
    def data(self, v):  # of the same shape
        if not isinstance(v, CudaTensor):
            raise RuntimeError("pretended_gpu: `.data = ` from the CPU to the GPU")
        if v.shape != self.shape or v.dtype != self.dtype:
            raise RuntimeError('pretended_gpu: `.data = ` of another shape or dtype')
        self._t = v._t

    device = property(lambda self: CUDA)
    is_cuda, is_cpu = property(lambda self: True), property(lambda self: False)

    def get_device(self):
        return 0

    def data_ptr(self):
        return self._t.data_ptr()

    def untyped_storage(self):
        return self._t.untyped_storage()

    def storage(self):
        return self._t.storage()

    def is_pinned(self, device=None):
        return False

    def pin_memory(self, device=None):
        raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def numpy(self, *args, **kwargs):
        raise TypeError(
            "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first."
        )

    def __dlpack__(self, *args, **kwargs):
        raise TypeError('no DLPack of a pretended GPU')

    def tolist(self):
        _sync('tolist')
        return self._t.tolist()

    def to(self, *args, **kwargs):
        return _to(self, *args, **kwargs)

    def cpu(self, memory_format=None):
        return _move(self, torch.device('cpu'))

    def cuda(self, device=None, non_blocking=False, memory_format=None):
        return self

    def __repr__(self, **kwargs):
        return f"CudaTensor({self._t!r}, device='cuda:0'{', requires_grad=True' if self.requires_grad else ''})"

    def __deepcopy__(self, memo):
        if id(self) in memo:
            return memo[id(self)]
        with torch.no_grad():
            t = CudaTensor(self._t.detach().clone())
        t.requires_grad_(self.requires_grad)
        t.__dict__.update({k: v for k, v in self.__dict__.items() if k != '_t'})
        if self.grad is not None:
            t.grad = self.grad.__deepcopy__(memo)
        memo[id(self)] = t
        return t

    def __reduce_ex__(self, proto):
        return _rebuild, (self._t.detach(), self.requires_grad, getattr(self, '_is_param', False))


_to_cpu = False  # what is loaded is wanted on the CPU


def _rebuild(t, requires_grad, is_param):
    r = t.detach().clone() if _to_cpu else CudaTensor(t.detach().clone())
    return torch.nn.Parameter(r, requires_grad) if is_param else r.requires_grad_(requires_grad)


# ---------------------------------------------------------------- from one device to the other
class _Move(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, to_cuda):
        ctx.back = not to_cuda
        return CudaTensor(x.detach().clone()) if to_cuda else x._t.detach().clone()

    @staticmethod
    def backward(ctx, g):
        return _Move.apply(g, ctx.back), None


def _move(x, device, non_blocking=False, copy=False):
    there, here = device.type == 'cuda', isinstance(x, CudaTensor)
    if there == here:
        return x.clone() if copy else x
    if there:
        pinned = getattr(x, '_pinned', False)
        if not (non_blocking and pinned):
            _sync(
                f'copy to the GPU{"" if pinned else " from memory that is not pinned"}{"" if non_blocking else ", blocking"}'
            )
        if _now:
            _now.count('h2d', x.nbytes)
    else:
        _sync('copy to the CPU')
        if _now:
            _now.count('d2h', x.nbytes)
    with _raw():
        if x.requires_grad and torch.is_grad_enabled():
            return _Move.apply(x, there)
        with torch.no_grad():
            return CudaTensor(x.detach().clone()) if there else x._t.detach().clone()


def _device(d):
    return None if d is None else torch.device('cuda', d) if isinstance(d, int) else torch.device(d)


def _to(x, *args, device=None, dtype=None, non_blocking=False, copy=False, memory_format=None, other=None):
    args = list(args)
    if args and isinstance(args[0], torch.Tensor):
        other = args.pop(0)
    if other is not None:
        device, dtype = other.device, other.dtype
    else:
        if args and (
            args[0] is None or isinstance(args[0], (str, torch.device, int)) and not isinstance(args[0], bool)
        ):
            device = args.pop(0)
        if args and (args[0] is None or isinstance(args[0], torch.dtype)):
            dtype = args.pop(0)
    if args:
        non_blocking = args.pop(0)
    if args:
        copy = args.pop(0)
    device = _device(device) or x.device
    if dtype is not None and dtype != x.dtype and device.type != x.device.type and device.type == 'cpu':
        x = x.to(dtype=dtype)
    y = _move(x, device, non_blocking) if device.type in ('cuda', 'cpu') else torch.Tensor.to(_inner(x), device)
    if dtype is not None and dtype != y.dtype:
        with _raw():
            return torch.Tensor.to(y, dtype=dtype)
    if y is x and copy:
        return x.clone()
    return y


# ---------------------------------------------------------------- what waits, what may mix
_waits = {
    '_local_scalar_dense',
    'nonzero',
    'equal',
    'is_nonzero',
    'masked_select',
    '_unique2',
    'unique_dim',
    'unique_consecutive',
    'bincount',
    'item',
    'allclose',
    'histc',
    'repeat_interleave',
    '_linalg_eigh',
    '_linalg_svd',
    'linalg_cholesky_ex',
    '_linalg_solve_ex',
    'linalg_inv_ex',
    'linalg_lstsq',
    'linalg_qr',
    'argwhere',
}
_may_mix = {
    'copy_',
    '_to_copy',
    'index',
    '_unsafe_index',
    'index_put',
    'index_put_',
    '_index_put_impl_',
    '_unsafe_index_put',
    '_foreach_copy_',
    'set_',
    'lift_fresh',
    'alias',
    'detach',
}
_random = ('rand', 'normal', 'bernoulli', 'multinomial', 'poisson', 'exponential')


def _sync(what):
    if _now:
        _now.sync(what)


def _opname(func):
    return func._schema.name.split('::')[1]


def _check_devices(func, name, args, kwargs):
    flat = tree_flatten((args, kwargs))[0]
    cpu = [t for t in flat if isinstance(t, torch.Tensor) and not isinstance(t, CudaTensor)]
    g = kwargs.get('generator')
    if isinstance(g, torch.Generator) and g.device.type == 'cpu' and not getattr(g, '_fake_cuda', False):
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({name})")
    if not cpu:
        return
    if name in ('index', '_unsafe_index', 'index_put', 'index_put_', '_index_put_impl_', '_unsafe_index_put'):
        if not isinstance(args[0], CudaTensor):
            raise RuntimeError(f'indices should be on the CPU, as the indexed tensor is ({name})')
        if name not in ('index', '_unsafe_index') and not isinstance(args[2], CudaTensor) and args[2].dim():
            raise RuntimeError(f'Expected all tensors to be on the same device: values of {name} are on the CPU')
        return _sync('index on the CPU, of a tensor on the GPU')
    if name in _may_mix:
        return
    if torch._C._current_graph_task_id() != -1 and name in ('stack', 'cat', 'add', 'add_'):
        return  # zeros that torch's own derivatives made, of a device that C++ takes to be the CPU
    small = all(t.dim() == 0 for t in cpu)
    elementwise = (
        torch.Tag.pointwise in func.tags
        or name.startswith('_foreach')
        or name in ('where', 'masked_fill', 'masked_fill_', 'lerp', 'lerp_', 'fill_', 'clamp', 'addcmul', 'addcdiv')
    )
    if (
        name.startswith('_fused_')
        and small
        and not any(isinstance(o, (list, tuple)) and any(t is c for t in o for c in cpu) for o in args)
    ):
        return
    into = args[0] if args and name.endswith('_') else kwargs.get('out')
    if small and elementwise and not (isinstance(into, torch.Tensor) and not isinstance(into, CudaTensor)):
        return
    raise RuntimeError(
        f'Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu! (in {name}, CPU tensor of shape {tuple(cpu[0].shape)})'
    )


def _check_fused(name, args):
    "As torch's `check_fast_path_restrictions`"
    first, *others = [o for o in args[:4] if o]
    if len({len(o) for o in (first, *others)}) > 1:
        raise RuntimeError(f'{name}: lists of different lengths')
    bad = lambda a, b: (
        a.shape != b.shape
        or a.dtype != b.dtype
        or any(n > 1 and s != r for n, s, r in zip(a.shape, a.stride(), b.stride()))
    )
    for o in others:
        for a, b in zip(first, o):
            if bad(a, b):
                raise RuntimeError(
                    f'params, grads, exp_avgs, and exp_avg_sqs must have same dtype, device, and layout ({name}: {tuple(a.shape)} with strides {a.stride()} and {b.stride()})'
                )


# ---------------------------------------------------------------- operations
def _dispatch(func, args, kwargs):
    name, g = _opname(func), _now
    _check_devices(func, name, args, kwargs)
    if name in ('_fused_adam_', '_fused_adamw_'):
        _check_fused(name, args)
    if name in _waits:
        _sync(name)
    if (
        name in ('copy_', '_to_copy')
        and len(args) > 1
        and isinstance(args[1], torch.Tensor)
        and isinstance(args[0], CudaTensor) != isinstance(args[1], CudaTensor)
    ):
        pinned, nb = getattr(args[1], '_pinned', False), kwargs.get('non_blocking', len(args) > 2 and args[2])
        if not (nb and pinned and isinstance(args[0], CudaTensor)):
            _sync(f"copy_ {'to the GPU' if isinstance(args[0], CudaTensor) else 'to the CPU'}")
    if name in ('index', 'index_put_', 'index_put') and any(
        isinstance(i, torch.Tensor) and i.dtype in (torch.bool, torch.uint8) for i in args[1] if i is not None
    ):
        _sync(f'{name} by a mask')
    dev = kwargs.get('device')
    if dev is not None and 'device' in kwargs:
        kwargs = {**kwargs, 'device': torch.device('cpu')}
    a, k = tree_map(_inner, (args, kwargs))
    known = {id(_inner(t)): t for t in tree_flatten((args, kwargs))[0] if isinstance(t, torch.Tensor)}
    run = lambda a=a, k=k: func(*a, **k)
    with _draws(func, name, kwargs):
        out = run()
    if g:
        g.kernel(name, func, a, k, out, tree_flatten((args, kwargs))[0])
    if torch.Tag.inplace_view in func.tags and name != 'set_':  # such as squeeze_: the wrapper's shape changes too
        with torch._C._DisableTorchDispatch():
            func(*args, **kwargs)
    return tree_map(lambda t: known[id(t)] if id(t) in known else _wrap(t), out)


@contextlib.contextmanager
def _own_numbers():
    cpu = torch.get_rng_state()
    _now.rng_lock.acquire()
    try:
        torch.set_rng_state(_now.rng)
        yield
        _now.rng = torch.get_rng_state()
    finally:
        torch.set_rng_state(cpu)
        _now.rng_lock.release()


def _draws(func, name, kwargs):
    seeded = torch.Tag.nondeterministic_seeded in func.tags if hasattr(func, 'tags') else name.startswith(_random)
    return (
        _own_numbers()
        if _now and seeded and not _now.same_random and kwargs.get('generator') is None
        else contextlib.nullcontext()
    )


# ---------------------------------------------------------------- graphs
class _Ref:
    "A tensor in memory that the graph does not own: it must still be there when it is used"

    def __init__(self, t, name):
        self.ref, self.meta, self.name = (
            StorageWeakRef(t.untyped_storage()),
            (t.dtype, t.storage_offset(), t.shape, t.stride()),
            name,
        )

    def get(self):
        s = torch.UntypedStorage._new_with_weak_ptr(self.ref.cdata)
        if s is None:
            raise RuntimeError(
                f'the CUDA graph uses memory that was freed since ({self.name}, {tuple(self.meta[2])} {self.meta[0]})'
            )
        return torch.empty(0, dtype=self.meta[0]).set_(s, *self.meta[1:])


class FakeGraph:
    "Stands for `torch.cuda.CUDAGraph`"

    def __init__(self, *args, **kwargs):
        self.ops, self.own, self.done = [], {}, False

    def owns(self, t):
        return t.untyped_storage()._cdata in self.own

    def keep(self, out):
        for t in tree_flatten(out)[0]:
            if isinstance(t, torch.Tensor):
                self.own.setdefault(t.untyped_storage()._cdata, t.untyped_storage())

    def record(self, name, call, a, k, out, constants):
        before = lambda t: (
            (t.detach() if self.owns(t) else t.clone() if id(t) in constants else _Ref(t, name))
            if isinstance(t, torch.Tensor)
            else t
        )
        a, k = tree_map(before, (a, k))
        ins = {t.untyped_storage()._cdata for t in tree_flatten((a, k))[0] if isinstance(t, torch.Tensor)} | {
            r.ref.cdata for r in tree_flatten((a, k))[0] if isinstance(r, _Ref)
        }
        fresh = tree_map(
            lambda t: (
                t.detach()
                if isinstance(t, torch.Tensor) and t.untyped_storage()._cdata not in ins and t.numel()
                else None
            ),
            out,
        )
        self.keep(fresh)
        self.ops.append((name, call, a, k, fresh))

    def replay(self):
        if _now.capturing:
            raise RuntimeError('replay during capture')
        if not self.done:
            raise RuntimeError('Called CUDAGraph::replay without a preceding successful capture.')
        with _raw(), torch.no_grad():
            for name, call, a, k, fresh in self.ops:
                a, k = tree_map(lambda o: o.get() if isinstance(o, _Ref) else o, (a, k))
                with _draws(call, name, k):
                    out = call(*a, **k)
                for old, new in zip(tree_flatten(fresh)[0], tree_flatten(out)[0]):
                    if isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
                        if old.shape != new.shape:
                            raise RuntimeError(
                                f'pretended_gpu: {name} was recorded with {tuple(old.shape)}, and now gives {tuple(new.shape)}'
                            )
                        old.copy_(new)
        _now.count('replays', 1)
        _now.count('replayed', len(self.ops))

    def capture_begin(self, pool=None, capture_error_mode='global'):
        if _now.capturing:
            raise RuntimeError('capture within capture')
        _now.capturing, _now.capture_mode, _now.capture_thread = self, capture_error_mode, threading.get_ident()

    def capture_end(self):
        _now.capturing = None
        self.done = True
        _now.count('recorded', 1)

    def reset(self):
        self.ops, self.own, self.done = [], {}, False

    def pool(self):
        return (0, 0)


class fake_graph:
    "Stands for `torch.cuda.graph`"

    def __init__(self, g, pool=None, stream=None, capture_error_mode='global', **kwargs):
        self.g, self.mode = g, capture_error_mode

    def __enter__(self):
        torch.cuda.synchronize()
        self.g.capture_begin(capture_error_mode=self.mode)

    def __exit__(self, exc, *args):
        if exc:
            _now.capturing = None
        else:
            self.g.capture_end()


class _Stream:
    def __init__(self, *args, **kwargs):
        self.cuda_stream = 0

    def wait_stream(self, o):
        pass

    def wait_event(self, o):
        pass

    def record_event(self, e=None):
        return e or _Event()

    def synchronize(self):
        _sync('synchronize')

    def query(self):
        return True

    def is_capturing(self):
        return bool(_now and _now.capturing)

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass


class _DeviceContext:
    def __init__(self, device):
        self.idx, self.prev_idx = 0, 0

    def __enter__(self):
        return self

    def __exit__(self, *args):
        pass


class _Event:
    def __init__(self, *args, **kwargs):
        pass

    def record(self, s=None):
        pass

    def wait(self, s=None):
        pass

    def query(self):
        return True

    def synchronize(self):
        _sync('synchronize')

    def elapsed_time(self, o):
        return 0.0


# ---------------------------------------------------------------- functions
class _Mode(TorchFunctionMode):
    "Takes what is asked of 'cuda' out of the hands of torch"

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        name = getattr(func, '__name__', '')
        if name == '_parse_to':
            return func(*args, **kwargs)
        if func is torch.Tensor.to:
            return _to(*args, **kwargs)
        if func is torch.Tensor.cuda:
            return _move(args[0], CUDA, kwargs.get('non_blocking', False))
        if func is torch.Tensor.pin_memory:
            return self.pin(args[0])
        if func is torch.Tensor.is_pinned:
            return getattr(args[0], '_pinned', False)
        dev = _device(kwargs.get('device'))
        if dev is None and 'device' not in kwargs:
            return func(*args, **kwargs)
        flat = [t for t in tree_flatten((args, kwargs))[0] if isinstance(t, CudaTensor)]
        if dev is None or dev.type != 'cuda':
            if not flat or dev is None:
                return func(*args, **kwargs)
            return _move(
                func(*args, **{k: v for k, v in kwargs.items() if k != 'device'}), dev
            )  # like(x, device='cpu')
        kwargs['device'] = 'cpu'
        if flat:
            if name in ('as_tensor', 'asarray'):
                return _to(flat[0], dtype=kwargs.get('dtype'))
            return func(*args, **{k: v for k, v in kwargs.items() if k != 'device'})
        g = kwargs.get('generator')
        if isinstance(g, torch.Generator) and g.device.type == 'cpu':
            raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' ({name})")
        if name in ('tensor', 'as_tensor', 'asarray', 'from_numpy') or any(isinstance(t, torch.Tensor) for t in args):
            _sync(f'{name}(..., device=cuda): copy to the GPU')
        grad = kwargs.pop('requires_grad', False)
        with _raw():
            with _own_numbers() if name.startswith(_random) and not _now.same_random else contextlib.nullcontext():
                out = func(*args, **kwargs)
            out = out.clone() if name in ('as_tensor', 'asarray', 'from_numpy') else out
        if not isinstance(out, torch.Tensor):
            return out
        if _now:
            _now.kernel(name, func, args, kwargs, out, [])
        r = CudaTensor(out)
        return r.requires_grad_(True) if grad else r

    def pin(self, x):
        if _now.capturing and _now.capture_mode == 'global' and threading.get_ident() != _now.capture_thread:
            raise RuntimeError(
                'pin_memory in another thread while a graph is captured in mode global: CUDA error: operation not permitted when stream is capturing'
            )
        y = x.clone()
        y._pinned = True
        return y


class Gpu:
    def __init__(self, same_random=False, memory=80 * 2**30):
        self.same_random, self.memory, self.rng, self.rng_lock = (
            same_random,
            memory,
            torch.Generator().manual_seed(0).get_state(),
            threading.RLock(),
        )
        self.capturing, self.capture_mode, self.capture_thread, self.watches, self.stack = (
            None,
            'global',
            None,
            [],
            contextlib.ExitStack(),
        )

    # what happens
    def count(self, what, n):
        for w in self.watches:
            setattr(w, what, getattr(w, what) + n)

    def sync(self, what):
        if self.capturing and threading.get_ident() == self.capture_thread:
            raise RuntimeError(f'CUDA error: operation not permitted when stream is capturing ({what})')
        for w in self.watches:
            w.syncs[f'{what}: {_where()}'] += 1

    def kernel(self, name, func, a, k, out, flat):
        if getattr(func, 'is_view', False) or name in (
            'detach',
            'alias',
            '_unsafe_view',
            'view',
            'empty',
            'empty_like',
            'new_empty',
            'empty_strided',
            'new_empty_strided',
            'lift_fresh',
            '_local_scalar_dense',
        ):
            if self.capturing:
                self.capturing.keep(
                    tree_map(
                        lambda t: (
                            t if isinstance(t, torch.Tensor) and name.startswith(('empty', 'new_empty')) else None
                        ),
                        out,
                    )
                )
            return
        if self.capturing:
            if threading.get_ident() != self.capture_thread:
                return
            constants = {id(t) for t in flat if isinstance(t, torch.Tensor) and not isinstance(t, CudaTensor)}
            return self.capturing.record(name, func, a, k, out, constants)
        for w in self.watches:
            w.kernels[f'{name}: {_where(1)}'] += 1

    @contextlib.contextmanager
    def watch(self):
        w = Watch()
        self.watches.append(w)
        try:
            yield w
        finally:
            self.watches.remove(w)

    # torch.cuda
    def seed(self, s=None):
        self.rng = torch.Generator().manual_seed(0 if s is None else int(s)).get_state()

    def get_rng(self, device=0):
        return torch.get_rng_state() if self.same_random else self.rng.clone()

    def set_rng(self, state, device=0):
        torch.set_rng_state(state) if self.same_random else setattr(self, 'rng', state.clone())

    def open(self):
        global _now
        if _now:
            raise RuntimeError('pretended_gpu is on already')
        _now, put = self, lambda o, k, v: self.stack.enter_context(mock.patch.object(o, k, v, create=True))
        c = torch.cuda
        props = types.SimpleNamespace(
            name='Pretended GPU', major=9, minor=0, total_memory=self.memory, multi_processor_count=132, warp_size=32
        )
        for k, v in dict(
            is_available=lambda: True,
            device_count=lambda: 1,
            current_device=lambda: 0,
            is_initialized=lambda: True,
            init=lambda: None,
            _lazy_init=lambda: None,
            _is_in_bad_fork=lambda: False,
            set_device=lambda d: None,
            get_device_name=lambda d=None: props.name,
            get_device_capability=lambda d=None: (9, 0),
            get_device_properties=lambda d=None: props,
            mem_get_info=lambda d=None: (int(0.9 * self.memory), self.memory),
            memory_allocated=lambda d=None: 0,
            max_memory_allocated=lambda d=None: 0,
            memory_reserved=lambda d=None: 0,
            max_memory_reserved=lambda d=None: 0,
            reset_peak_memory_stats=lambda d=None: None,
            empty_cache=lambda: None,
            synchronize=lambda d=None: _sync('synchronize'),
            ipc_collect=lambda: None,
            Stream=_Stream,
            Event=_Event,
            stream=lambda s: contextlib.nullcontext(s),
            current_stream=lambda d=None: _Stream(),
            default_stream=lambda d=None: _Stream(),
            device=_DeviceContext,
            CUDAGraph=FakeGraph,
            graph=fake_graph,
            is_current_stream_capturing=lambda: self.capturing is not None,
            get_rng_state=self.get_rng,
            set_rng_state=self.set_rng,
            get_rng_state_all=lambda: [self.get_rng()],
            set_rng_state_all=lambda s: self.set_rng(s[0]),
            manual_seed=self.seed,
            manual_seed_all=self.seed,
            seed=self.seed,
            seed_all=self.seed,
            initial_seed=lambda: 0,
            is_bf16_supported=lambda *a, **k: True,
        ).items():
            put(c, k, v)
        if self.same_random:
            put(c, 'manual_seed_all', lambda s: None)
        if hasattr(torch, 'accelerator'):
            for k, v in dict(
                is_available=lambda: True,
                device_count=lambda: 1,
                current_accelerator=lambda *a, **k: CUDA,
                current_device_index=lambda: 0,
                current_device_idx=lambda: 0,
                current_stream=lambda d=None: _Stream(),
                synchronize=lambda d=None: _sync('synchronize'),
                set_device_index=lambda d: None,
            ).items():
                put(torch.accelerator, k, v)
        load = torch.load

        def new_load(f, map_location=None, *args, **kwargs):
            global _to_cpu
            d = map_location if isinstance(map_location, (str, torch.device, int)) else None
            _to_cpu, old = d is not None and _device(d).type == 'cpu', _to_cpu
            try:
                return load(f, 'cpu' if d is not None else map_location, *args, **kwargs)
            finally:
                _to_cpu = old

        put(torch, 'load', new_load)
        self._autocast(put)
        group = torch._C._group_tensors_by_device_and_dtype

        def grouped(lists, with_indices=False):
            out = {}
            for (d, dt), v in group(lists, with_indices).items():
                first = next((t for l in v[0] for t in l if t is not None), None)
                out[(first.device if isinstance(first, CudaTensor) else d, dt)] = v
            return out

        put(torch._C, '_group_tensors_by_device_and_dtype', grouped)
        torch.serialization.add_safe_globals([_rebuild, CudaTensor])
        swap = torch.__future__.get_swap_module_params_on_conversion()
        torch.__future__.set_swap_module_params_on_conversion(
            True
        )  # a parameter stays the object that the optimizer knows, as on a GPU
        self.stack.callback(torch.__future__.set_swap_module_params_on_conversion, swap)
        run = threading.Thread.run

        def run_in_mode(thread):
            with _Mode() if _now else contextlib.nullcontext():
                return run(thread)

        put(threading.Thread, 'run', run_in_mode)
        self.mode = _Mode()
        self.stack.enter_context(self.mode)
        return self

    def _autocast(self, put):
        "Autocast of the GPU is that of the CPU"
        init, enabled, dtype = torch.autocast.__init__, torch.is_autocast_enabled, torch.get_autocast_dtype

        def new_init(s, device_type, *args, **kwargs):
            s.of_gpu = str(device_type).startswith('cuda')
            return init(s, 'cpu' if s.of_gpu else device_type, *args, **kwargs)

        def is_enabled(device_type=None):
            if 'autocast_mode' in sys._getframe(1).f_globals.get('__name__', ''):
                return enabled(device_type) if device_type else enabled('cpu')
            return (
                enabled('cpu')
                if device_type in (None, 'cuda')
                else False
                if device_type == 'cpu'
                else enabled(device_type)
            )

        put(torch.autocast, '__init__', new_init)
        put(torch, 'is_autocast_enabled', is_enabled)
        put(torch, 'get_autocast_dtype', lambda d: dtype('cpu' if d == 'cuda' else d))

    def close(self):
        global _now
        self.stack.close()
        _now = None


def install(**kwargs):
    return Gpu(**kwargs).open()  # until `close`


@contextlib.contextmanager
def gpu(**kwargs):  # same_random, memory
    "The pretended GPU, for as long as it is used"
    g = Gpu(**kwargs).open()
    try:
        yield g
    finally:
        g.close()
