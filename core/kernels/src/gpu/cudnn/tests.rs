//! The calls of cuDNN, on a library of the same interface that computes on the processor, by the definition.
//!
//! That the interface is cuDNN's is tested on cuDNN itself, whose descriptors need no GPU.

use std::cell::{Cell, RefCell};
use std::ffi::{c_char, c_int, c_void};
use std::path::Path;

use candle_core::{Tensor, Var};
use half::bf16;

use super::api::{Algorithm, Api, Opaque, Status};
use super::convolution::Convolution;
use super::{Pass, Problem, asked, library};
use crate::activation::Activation;
use crate::conv::{add, conv2d};
use crate::gpu::launch::{Element, Window};
use crate::gpu::tests::{Buffer, Draw, buffer, close, draw_window, rounds, tolerance};

/// A descriptor of the emulated library.
#[derive(Clone, Debug)]
enum Described {
    Unset,
    /// Type, sizes n, c, h, w and strides.
    Tensor(c_int, [c_int; 4], [c_int; 4]),
    /// Padding, stride and kind of math.
    Convolution([c_int; 2], c_int, Cell<c_int>),
    Relu,
}

const BAD_PARAM: Status = 2000;
const NOT_SUPPORTED: Status = 3000;
const EXECUTION_FAILED: Status = 5000;

thread_local! {
    /// The algorithms that the emulated library lists, and its answer to fused calls.
    static ALGORITHMS: RefCell<Vec<Algorithm>> = const { RefCell::new(Vec::new()) };
    static FUSED: Cell<Status> = const { Cell::new(0) };
    /// Fused calls so far.
    static CALLS: Cell<usize> = const { Cell::new(0) };
    /// Descriptors that exist.
    static ALIVE: Cell<isize> = const { Cell::new(0) };
}

fn usable() -> Algorithm {
    Algorithm { number: 1, deterministic: 1, memory: 64, math: 3, ..Algorithm::default() }
}

unsafe extern "C" fn version() -> usize {
    90_000
}

unsafe extern "C" fn error(_: Status) -> *const c_char {
    c"EMULATED".as_ptr()
}

unsafe extern "C" fn create(to: *mut Opaque) -> Status {
    ALIVE.set(ALIVE.get() + 1);
    // SAFETY: callers pass a place for a pointer.
    unsafe { to.write(Box::into_raw(Box::new(Described::Unset)).cast()) };
    0
}

unsafe extern "C" fn destroy(of: Opaque) -> Status {
    ALIVE.set(ALIVE.get() - 1);
    // SAFETY: callers pass what `create` made, once.
    drop(unsafe { Box::from_raw(of.cast::<Described>()) });
    0
}

unsafe extern "C" fn set_stream(_: Opaque, _: Opaque) -> Status {
    0
}

unsafe extern "C" fn set_tensor(
    of: Opaque,
    kind: c_int,
    n: c_int,
    c: c_int,
    h: c_int,
    w: c_int,
    ns: c_int,
    cs: c_int,
    hs: c_int,
    ws: c_int,
) -> Status {
    // SAFETY: callers pass what `create` made.
    unsafe { *of.cast() = Described::Tensor(kind, [n, c, h, w], [ns, cs, hs, ws]) };
    0
}

/// A filter is a tensor whose layout NHWC gives the strides.
unsafe extern "C" fn set_filter(
    of: Opaque,
    kind: c_int,
    format: c_int,
    k: c_int,
    c: c_int,
    h: c_int,
    w: c_int,
) -> Status {
    if format != 1 {
        return BAD_PARAM;
    }
    // SAFETY: callers pass what `create` made.
    unsafe { *of.cast() = Described::Tensor(kind, [k, c, h, w], [h * w * c, 1, w * c, c]) };
    0
}

unsafe extern "C" fn set_convolution(
    of: Opaque,
    top: c_int,
    left: c_int,
    down: c_int,
    right: c_int,
    dilated_down: c_int,
    dilated_right: c_int,
    mode: c_int,
    kind: c_int,
) -> Status {
    if down != right || [dilated_down, dilated_right, mode, kind] != [1, 1, 1, 0] {
        return BAD_PARAM;
    }
    // SAFETY: callers pass what `create` made.
    unsafe { *of.cast() = Described::Convolution([top, left], down, Cell::new(-1)) };
    0
}

unsafe extern "C" fn set_math(of: Opaque, kind: c_int) -> Status {
    // SAFETY: callers pass a descriptor.
    match unsafe { described(of) } {
        Described::Convolution(_, _, math) => math.set(kind),
        _ => return BAD_PARAM,
    }
    0
}

unsafe extern "C" fn set_activation(of: Opaque, mode: c_int, nan: c_int, _: f64) -> Status {
    if [mode, nan] != [1, 1] {
        return BAD_PARAM;
    }
    // SAFETY: callers pass what `create` made.
    unsafe { *of.cast() = Described::Relu };
    0
}

unsafe fn described<'a>(of: Opaque) -> &'a Described {
    // SAFETY: callers pass what `create` made, and it lives as long as they need it.
    unsafe { &*of.cast() }
}

/// Elements that a descriptor describes.
struct View {
    kind: c_int,
    sizes: [usize; 4],
    strides: [usize; 4],
    elements: *mut c_void,
}

impl View {
    unsafe fn of(descriptor: Opaque, elements: *const c_void) -> Self {
        // SAFETY: by the caller.
        let Described::Tensor(kind, sizes, strides) = (unsafe { described(descriptor) }) else { panic!("no tensor") };
        let [sizes, strides] = [sizes, strides].map(|numbers| numbers.map(|number| usize::try_from(number).unwrap()));
        Self { kind: *kind, sizes, strides, elements: elements.cast_mut() }
    }

    fn at(&self, index: [usize; 4]) -> usize {
        assert!(index.iter().zip(self.sizes).all(|(i, size)| *i < size), "{index:?} of {:?}", self.sizes);
        index.iter().zip(self.strides).map(|(i, stride)| i * stride).sum()
    }

    fn get(&self, index: [usize; 4]) -> f64 {
        let at = self.at(index);
        // SAFETY: tests pass as many elements as they describe.
        unsafe {
            match self.kind {
                0 => f64::from(self.elements.cast::<f32>().add(at).read()),
                9 => self.elements.cast::<bf16>().add(at).read().to_f64(),
                kind => panic!("type {kind}"),
            }
        }
    }

    fn set(&self, index: [usize; 4], value: f64) {
        let at = self.at(index);
        // SAFETY: likewise.
        unsafe {
            match self.kind {
                0 => self.elements.cast::<f32>().add(at).write(value as f32),
                _ => self.elements.cast::<bf16>().add(at).write(bf16::from_f64(value)),
            }
        }
    }

    fn indices(&self) -> impl Iterator<Item = [usize; 4]> + use<> {
        let [a, b, c, d] = self.sizes;
        (0..a * b * c * d).map(move |i| [i / (b * c * d), i / (c * d) % b, i / d % c, i % d])
    }
}

unsafe extern "C" fn output_size(
    convolution: Opaque,
    x: Opaque,
    w: Opaque,
    n: *mut c_int,
    c: *mut c_int,
    h: *mut c_int,
    width: *mut c_int,
) -> Status {
    // SAFETY: by the caller.
    unsafe {
        let (x, w) = (View::of(x, std::ptr::null()), View::of(w, std::ptr::null()));
        let Described::Convolution(padding, stride, _) = described(convolution) else { return BAD_PARAM };
        let along = |axis: usize| {
            let free = x.sizes[2 + axis] + 2 * padding[axis] as usize - w.sizes[2 + axis];
            (free / *stride as usize + 1) as c_int
        };
        n.write(x.sizes[0] as c_int);
        c.write(w.sizes[0] as c_int);
        h.write(along(0));
        width.write(along(1));
    }
    0
}

unsafe extern "C" fn list(
    _: Opaque,
    _: Opaque,
    _: Opaque,
    _: Opaque,
    _: Opaque,
    most: c_int,
    count: *mut c_int,
    to: *mut Algorithm,
) -> Status {
    ALGORITHMS.with_borrow(|algorithms| {
        let listed = &algorithms[..algorithms.len().min(most as usize)];
        // SAFETY: there is room for `most`.
        unsafe {
            count.write(listed.len() as c_int);
            std::ptr::copy_nonoverlapping(listed.as_ptr(), to, listed.len());
        }
    });
    0
}

/// Calls `term` for the indices of image, weight and output of every product.
fn products(
    convolution: &Described,
    [w, y]: [&View; 2],
    image: &View,
    mut term: impl FnMut([usize; 4], [usize; 4], [usize; 4]),
) {
    let Described::Convolution(padding, stride, _) = convolution else { panic!("no convolution") };
    let source = |at: usize, tap: usize, axis: usize| {
        let at = (at * *stride as usize + tap).checked_sub(padding[axis] as usize)?;
        (at < image.sizes[2 + axis]).then_some(at)
    };
    for [n, out, row, col] in y.indices() {
        for [_, channel, ky, kx] in w.indices().filter(|index| index[0] == out) {
            if let (Some(h), Some(width)) = (source(row, ky, 0), source(col, kx, 1)) {
                term([n, channel, h, width], [out, channel, ky, kx], [n, out, row, col]);
            }
        }
    }
}

/// Whether a call has the algorithm that was chosen, with its kind of math and workspace.
unsafe fn as_chosen(convolution: Opaque, algorithm: c_int, workspace: *mut c_void, bytes: usize) -> bool {
    // SAFETY: by the caller.
    let Described::Convolution(_, _, math) = (unsafe { described(convolution) }) else { return false };
    let chosen = usable();
    algorithm == chosen.number && math.get() == chosen.math && bytes == chosen.memory && !workspace.is_null()
}

macro_rules! pass {
    ($name:ident, $image:ident, $weight:ident, $output:ident, [$a:ident, $b:ident, $result:ident]) => {
        unsafe extern "C" fn $name(
            _: Opaque,
            alpha: *const c_void,
            of_a: Opaque,
            a: *const c_void,
            of_b: Opaque,
            b: *const c_void,
            convolution: Opaque,
            algorithm: c_int,
            workspace: *mut c_void,
            bytes: usize,
            beta: *const c_void,
            of_result: Opaque,
            result: *mut c_void,
        ) -> Status {
            // SAFETY: by the caller.
            unsafe {
                let shares = [alpha.cast::<f32>().read(), beta.cast::<f32>().read()];
                if !as_chosen(convolution, algorithm, workspace, bytes) || shares != [1.0, 0.0] {
                    return EXECUTION_FAILED;
                }
                let ($a, $b, $result) = (View::of(of_a, a), View::of(of_b, b), View::of(of_result, result));
                let mut sums = vec![0f64; $result.sizes.iter().product()];
                let position = |view: &View, [i, j, k, l]: [usize; 4]| {
                    ((i * view.sizes[1] + j) * view.sizes[2] + k) * view.sizes[3] + l
                };
                products(described(convolution), [&$weight, &$output], &$image, |$image, $weight, $output| {
                    sums[position(&View::of(of_result, result), $result)] +=
                        View::of(of_a, a).get($a) * View::of(of_b, b).get($b);
                });
                for index in $result.indices() {
                    $result.set(index, sums[position(&$result, index)]);
                }
            }
            0
        }
    };
}
pass!(forward, x, w, y, [x, w, y]);
pass!(input_gradient, x, w, y, [w, y, x]);
pass!(weight_gradient, x, w, y, [x, y, w]);

unsafe extern "C" fn fused(
    context: Opaque,
    alpha: *const c_void,
    of_x: Opaque,
    x: *const c_void,
    of_w: Opaque,
    w: *const c_void,
    convolution: Opaque,
    algorithm: c_int,
    workspace: *mut c_void,
    bytes: usize,
    share: *const c_void,
    of_z: Opaque,
    z: *const c_void,
    of_bias: Opaque,
    bias: *const c_void,
    activation: Opaque,
    of_y: Opaque,
    y: *mut c_void,
) -> Status {
    CALLS.set(CALLS.get() + 1);
    if FUSED.get() != 0 {
        return FUSED.get();
    }
    // SAFETY: by the caller.
    unsafe {
        let share = f64::from(share.cast::<f32>().read());
        let (zs, biases, ys) = (View::of(of_z, z), View::of(of_bias, bias), View::of(of_y, y));
        // Before it is overwritten, if it is the result.
        let added: Vec<f64> = ys.indices().map(|at| if share == 0.0 { 0.0 } else { share * zs.get(at) }).collect();
        let zero = 0f32;
        let beta = (&raw const zero).cast();
        let status = forward(context, alpha, of_x, x, of_w, w, convolution, algorithm, workspace, bytes, beta, of_y, y);
        if status != 0 || !matches!(described(activation), Described::Relu) {
            return EXECUTION_FAILED;
        }
        for (index, added) in ys.indices().zip(added) {
            ys.set(index, (ys.get(index) + added + biases.get([0, index[1], 0, 0])).max(0.0));
        }
    }
    0
}

fn emulated() -> Api {
    Api {
        version,
        error,
        create,
        set_stream,
        create_tensor: create,
        destroy_tensor: destroy,
        set_tensor,
        create_filter: create,
        destroy_filter: destroy,
        set_filter,
        create_convolution: create,
        destroy_convolution: destroy,
        set_convolution,
        set_math,
        output_size,
        create_activation: create,
        destroy_activation: destroy,
        set_activation,
        list_forward: list,
        list_input_gradient: list,
        list_weight_gradient: list,
        forward,
        fused,
        input_gradient,
        weight_gradient,
    }
}

const NO_CONTEXT: Opaque = std::ptr::null_mut();

/// A drawn convolution: its problem, its operands in PyTorch's order of weights, and its window.
struct Drawn {
    problem: Problem,
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
    residual: Tensor,
    window: crate::conv::Window,
}

fn drawn(draw: &mut Draw) -> Drawn {
    let (channels, out) = (draw.between(1, 9), draw.between(1, 9));
    let (images, window, plain) = draw_window(draw, channels);
    let ([h, w, _], [oh, ow], [kh, kw]) = (window.input, window.output, window.kernel);
    Drawn {
        problem: Problem { pass: Pass::Forward, element: draw.element(), tf32: false, images, window, out },
        x: draw.normal(&[images, h, w, channels]),
        weight: draw.normal(&[out, channels, kh, kw]),
        bias: draw.normal(&[out]),
        residual: draw.normal(&[images, oh, ow, out]),
        window: plain,
    }
}

/// A weight in the order of the library.
fn channels_last(weight: &Tensor) -> Tensor {
    weight.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
}

#[test]
fn passes_are_those_of_the_processor() {
    ALGORITHMS.set(vec![usable()]);
    let api = emulated();
    let mut room = Buffer::unset(Element::F32, 16);
    let workspace = room.at();
    rounds("cudnn", |draw| {
        let Drawn { problem, x, weight, bias, residual: dy, window } = drawn(draw);
        let e = problem.element;
        let run = |pass: Pass, a: &Tensor, b: &Tensor, len: usize| {
            let convolution = Convolution::new(&api, NO_CONTEXT, &Problem { pass, ..problem }).unwrap().unwrap();
            let (mut a, mut b, mut result) = (buffer(e, a), buffer(e, b), Buffer::unset(e, len));
            assert_eq!(convolution.workspace(), 64);
            // SAFETY: the operands have the sizes of the problem.
            let done = unsafe { convolution.run(&api, NO_CONTEXT, [a.at(), b.at(), result.at()], workspace) };
            assert!(done.unwrap());
            result.read()
        };
        let (vx, vw) = (Var::from_tensor(&x).unwrap(), Var::from_tensor(&weight).unwrap());
        let zeros = bias.zeros_like().unwrap();
        let y = conv2d(&vx, &vw, &zeros, window, Activation::None).unwrap();
        let grads = (&y * &dy).unwrap().sum_all().unwrap().backward().unwrap();
        let w = channels_last(&weight);
        close(&run(Pass::Forward, &x, &w, y.elem_count()), &y, tolerance(e));
        let dx = grads.get(&vx).unwrap();
        close(&run(Pass::InputGradient, &w, &dy, x.elem_count()), dx, tolerance(e));
        let dw = channels_last(grads.get(&vw).unwrap());
        close(&run(Pass::WeightGradient, &x, &dy, w.elem_count()), &dw, tolerance(e));
    });
    assert_eq!(ALIVE.get(), 0, "descriptors that were not destroyed");
}

#[test]
fn bias_residual_and_rectifier_are_fused_unless_refused() {
    ALGORITHMS.set(vec![usable()]);
    let api = emulated();
    let mut room = Buffer::unset(Element::F32, 16);
    let workspace = room.at();
    rounds("cudnn-fused", |draw| {
        let Drawn { problem, x, weight, bias, residual, window } = drawn(draw);
        let e = problem.element;
        let y = conv2d(&x, &weight, &bias, window, Activation::None).unwrap();
        let mut convolution = Convolution::new(&api, NO_CONTEXT, &problem).unwrap().unwrap();
        let (mut bx, mut bw, mut bb) = (buffer(e, &x), buffer(e, &channels_last(&weight)), buffer(e, &bias));
        let mut br = buffer(e, &residual);
        for with_residual in [true, false] {
            let mut by = Buffer::unset(e, y.elem_count());
            let addresses = [bx.at(), bw.at(), by.at()];
            let added = [bb.at(), if with_residual { br.at() } else { 0 }];
            FUSED.set(0);
            // SAFETY: the operands have the sizes of the problem.
            let done = unsafe { convolution.run_fused(&api, NO_CONTEXT, addresses, workspace, added) };
            assert!(done.unwrap());
            let expected = match with_residual {
                true => add(&y, &residual, Activation::Relu).unwrap(),
                false => y.relu().unwrap(),
            };
            close(&by.read(), &expected, 2.0 * tolerance(e));
        }
        let mut fused = || {
            let addresses = [bx.at(), bw.at(), br.at()];
            // SAFETY: as above.
            unsafe { convolution.run_fused(&api, NO_CONTEXT, addresses, workspace, [bb.at(), 0]) }
        };
        FUSED.set(EXECUTION_FAILED);
        let error = fused().unwrap_err().to_string();
        assert!(error.contains("bias and rectifier: EMULATED (5000)"), "{error}");
        // What was refused is not tried again.
        FUSED.set(NOT_SUPPORTED);
        CALLS.set(0);
        assert!(!fused().unwrap() && !fused().unwrap());
        assert_eq!(CALLS.get(), 1);
    });
    FUSED.set(0);
}

#[test]
fn the_first_algorithm_that_can_be_repeated_is_taken() {
    let (api, mut draw) = (emulated(), Draw::new("cudnn-algorithms", 0));
    let problem = Problem { element: Element::F32, ..drawn(&mut draw).problem };
    let unusable = [
        Algorithm { number: 5, status: NOT_SUPPORTED, ..usable() },
        Algorithm { number: 6, deterministic: 0, ..usable() },
        Algorithm { number: 7, memory: 2 << 30, ..usable() },
        // The default kind of math, which rounds factors of f32 to TF32.
        Algorithm { number: 9, math: 0, ..usable() },
    ];
    ALGORITHMS.set(unusable.to_vec());
    assert!(Convolution::new(&api, NO_CONTEXT, &problem).unwrap().is_none());
    ALGORITHMS.set(unusable.into_iter().chain([usable(), Algorithm { number: 8, ..usable() }]).collect());
    let chosen = Convolution::new(&api, NO_CONTEXT, &problem).unwrap().unwrap();
    assert_eq!(chosen.workspace(), usable().memory);
    // With TF32 the kind of math is a hint, as it is for bf16.
    ALGORITHMS.set(unusable[3..].to_vec());
    assert!(Convolution::new(&api, NO_CONTEXT, &Problem { tf32: true, ..problem }).unwrap().is_some());
    let other = Window { output: problem.window.output.map(|size| size + 1), ..problem.window };
    let error = Convolution::new(&api, NO_CONTEXT, &Problem { window: other, ..problem }).err().unwrap();
    assert!(error.to_string().contains("instead of"), "{error}");
}

#[test]
fn the_library_is_asked_for_by_name() {
    assert_eq!(
        [None, Some(""), Some("off"), Some("on")].map(|value| asked(value).unwrap()),
        [false, false, false, true]
    );
    assert!(asked(Some("1")).unwrap_err().contains("`on` or `off`"));
}

/// NVIDIA's library: all functions are there, and its descriptors have the meaning that they are used with. It computes
/// on a GPU alone.
#[test]
#[ignore = "needs cuDNN: HASHLAB_TEST_CUDNN=…/libcudnn.so.9"]
fn the_interface_is_that_of_the_library() {
    let path = std::env::var("HASHLAB_TEST_CUDNN").expect("HASHLAB_TEST_CUDNN names the library");
    // SAFETY: the caller says that the file is cuDNN.
    let api = unsafe { library::find(Path::new(&path)).unwrap() };
    // SAFETY: the function has no conditions.
    assert_eq!(unsafe { (api.version)() } / 10_000, 9);
    let error = api.check("do this", NOT_SUPPORTED).unwrap_err().to_string();
    assert_eq!(error, "cuDNN could not do this: CUDNN_STATUS_NOT_SUPPORTED (3000)");
    for round in 0..50 {
        let mut draw = Draw::new("cudnn-library", round);
        let problem = drawn(&mut draw).problem;
        for pass in [Pass::Forward, Pass::InputGradient, Pass::WeightGradient] {
            // Compares the size of the output with the window's.
            Convolution::describe(&api, &Problem { pass, ..problem }).unwrap();
        }
    }
}
