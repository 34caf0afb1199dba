//! Element-wise kernels: one function of one or two values per output element.

use super::broadcast::Walk;
use super::isa::Isa;
use super::lanes::{Map1, Map2, Operand, map1, map2};
use super::math;
use super::parallel::{Parallel, SharedOut, split};
use super::simd::{Kernel, Simd};
use crate::scalar::canonical;

/// Elements below which a part is not worth handing to another thread.
const GRAIN: usize = 1 << 14;

/// A function of one value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unary {
    /// `max(x, +0)`
    Relu,
    /// `min(max(x, lo), hi)`
    Clip(f32, f32),
    /// Logistic function.
    Sigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `e^x`
    Exp,
}

/// A function of two values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `x + y`
    Add,
    /// `x - y`
    Sub,
    /// `x * y`
    Mul,
    /// `x / y`
    Div,
}

/// `out[i] = f(x[i])`.
///
/// # Panics
/// If the lengths differ.
pub fn unary(isa: Isa, par: &dyn Parallel, f: Unary, x: &[f32], out: &mut [f32]) {
    assert_eq!(x.len(), out.len(), "operand length");
    let shared = SharedOut::new(out);
    split(par, x.len(), GRAIN, &|start, end| {
        // SAFETY: the parts of `split` are disjoint.
        let out = unsafe { shared.slice(start, end - start) };
        isa.run(UnaryPart {
            f,
            x: &x[start..end],
            out,
        });
    });
}

struct UnaryPart<'a> {
    f: Unary,
    x: &'a [f32],
    out: &'a mut [f32],
}

macro_rules! map {
    ($(#[$doc:meta])* $name:ident, $trait:ident, |$self:ident, $s:ident, $($x:ident),+| $body:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub(super) struct $name;
        impl $trait for $name {
            #[inline(always)]
            fn apply<S: Simd>($self, $s: S, $($x: S::F),+) -> S::F {
                $body
            }
        }
    };
}

map!(
    /// `max(x, +0)`: the larger of both, NaN and -0 being `x`; the sum makes -0 into +0.
    Relu, Map1, |self, s, x| {
        let zero = s.splat(0.0);
        s.add(s.greater(zero, x), zero)
    }
);
map!(Sigmoid, Map1, |self, s, x| math::sigmoid(s, x));
map!(Tanh, Map1, |self, s, x| math::tanh(s, x));
map!(Exp, Map1, |self, s, x| math::exp(s, x));
map!(Add, Map2, |self, s, x, y| s.add(x, y));
map!(Sub, Map2, |self, s, x, y| s.sub(x, y));
map!(Mul, Map2, |self, s, x, y| s.mul(x, y));
map!(Div, Map2, |self, s, x, y| s.div(x, y));

/// `min(max(x, low), high)`
#[derive(Clone, Copy)]
pub(super) struct Clip {
    bounds: Bounds,
    /// Whether [`Bounds`] are enough.
    plain: bool,
}

/// Bounds that are no NaN, the upper one not -0.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    low: f32,
    high: f32,
    /// What makes -0 into +0 where `low` is +0, and changes nothing elsewhere.
    zero: f32,
}

impl Clip {
    pub(super) fn new(low: f32, high: f32) -> Clip {
        let zero = match low.to_bits() {
            0 => 0.0,
            _ => -0.0,
        };
        Clip {
            bounds: Bounds { low, high, zero },
            plain: !low.is_nan() && !high.is_nan() && high.to_bits() != (-0.0f32).to_bits(),
        }
    }

    /// The bounds, where they are all there is to it.
    pub(super) fn plain(self) -> Option<Bounds> {
        self.plain.then_some(self.bounds)
    }
}

impl Map1 for Bounds {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        // a comparison with NaN is false and leaves it; of equal numbers only zeros differ
        let low = s.add(s.greater(s.splat(self.low), x), s.splat(self.zero));
        s.lesser(s.splat(self.high), low)
    }
}

impl Map1 for Clip {
    #[inline(always)]
    fn apply<S: Simd>(self, s: S, x: S::F) -> S::F {
        match self.plain {
            true => self.bounds.apply(s, x),
            false => {
                let Bounds { low, high, .. } = self.bounds;
                math::min(s, math::max(s, x, s.splat(low)), s.splat(high))
            }
        }
    }
}

impl Kernel for UnaryPart<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.f {
            Unary::Relu => map1(s, self.x, self.out, Relu),
            Unary::Clip(lo, hi) => map1(s, self.x, self.out, Clip::new(lo, hi)),
            Unary::Sigmoid => map1(s, self.x, self.out, Sigmoid),
            Unary::Tanh => map1(s, self.x, self.out, Tanh),
            Unary::Exp => map1(s, self.x, self.out, Exp),
        }
    }
}

/// `x[i] = x[i] + y[i]`: a residual, or a bias.
///
/// # Panics
/// If the lengths differ.
pub fn add_to(isa: Isa, x: &mut [f32], y: &[f32]) {
    assert_eq!(x.len(), y.len(), "operand length");
    isa.run(AddTo { x, y });
}

struct AddTo<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
}

impl Kernel for AddTo<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let whole = self.x.len() - self.x.len() % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            // SAFETY: `i + LANES <= len` in both slices.
            unsafe {
                let at = self.x.as_mut_ptr().add(i);
                let sum = s.add(s.load(at), s.load(self.y.as_ptr().add(i)));
                s.store(at, s.canonical(sum));
            }
        }
        for (x, y) in self.x[whole..].iter_mut().zip(&self.y[whole..]) {
            *x = canonical(*x + y);
        }
    }
}

/// `out[i] = f(x[..], y[..])` with NumPy broadcasting of row-major operands `(values, shape)`.
///
/// # Panics
/// If a slice does not have its shape's length or a shape does not broadcast to `shape`.
pub fn binary(
    isa: Isa,
    par: &dyn Parallel,
    f: Binary,
    x: (&[f32], &[usize]),
    y: (&[f32], &[usize]),
    shape: &[usize],
    out: &mut [f32],
) {
    let len = |shape: &[usize]| shape.iter().product::<usize>();
    assert!(
        x.0.len() == len(x.1) && y.0.len() == len(y.1) && out.len() == len(shape),
        "length"
    );
    if out.is_empty() {
        return;
    }
    let walk = Walk::new(x.1, y.1, shape);
    let shared = SharedOut::new(out);
    let run = walk.run();
    let (x, y, total) = (x.0, y.0, shape.iter().product::<usize>());
    if run == total {
        let (same_x, same_y) = walk.constant();
        split(par, total, GRAIN, &|start, end| {
            // SAFETY: the parts of `split` are disjoint.
            let out = unsafe { shared.slice(start, end - start) };
            let x = if same_x { x } else { &x[start..end] };
            let y = if same_y { y } else { &y[start..end] };
            isa.run(BinaryPart {
                f,
                walk: &walk,
                x,
                y,
                first: 0,
                run: end - start,
                out,
            });
        });
        return;
    }
    split(par, total / run, GRAIN / run + 1, &|start, end| {
        // SAFETY: the parts of `split` are disjoint.
        let out = unsafe { shared.slice(start * run, (end - start) * run) };
        isa.run(BinaryPart {
            f,
            walk: &walk,
            x,
            y,
            first: start,
            run,
            out,
        });
    });
}

struct BinaryPart<'a> {
    f: Binary,
    walk: &'a Walk,
    x: &'a [f32],
    y: &'a [f32],
    /// First run of the part.
    first: usize,
    /// Elements per run.
    run: usize,
    out: &'a mut [f32],
}

impl Kernel for BinaryPart<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match self.f {
            Binary::Add => self.runs(s, Add),
            Binary::Sub => self.runs(s, Sub),
            Binary::Mul => self.runs(s, Mul),
            Binary::Div => self.runs(s, Div),
        }
    }
}

impl BinaryPart<'_> {
    #[inline(always)]
    fn runs<S: Simd>(self, s: S, f: impl Map2) {
        let (same_x, same_y) = self.walk.constant();
        for (i, out) in self.out.chunks_exact_mut(self.run).enumerate() {
            let (x0, y0) = self.walk.start(self.first + i);
            let x = if same_x {
                Operand::Same(self.x[x0])
            } else {
                Operand::Each(&self.x[x0..x0 + self.run])
            };
            let y = if same_y {
                Operand::Same(self.y[y0])
            } else {
                Operand::Each(&self.y[y0..y0 + self.run])
            };
            map2(s, x, y, out, f);
        }
    }
}
