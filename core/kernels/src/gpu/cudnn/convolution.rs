//! A convolution of one size: its descriptors, its algorithm and its calls.

use std::ffi::{c_int, c_void};

use candle_core::{Error, Result};

use super::api::{Algorithm, Api, Opaque, Status};
use super::{Pass, Problem};
use crate::gpu::launch::{Address, Element};

/// Bytes that an algorithm may use beside its operands. Processes that share a GPU keep as much each.
const WORKSPACE: usize = 256 << 20;
/// Algorithms to choose from; a pass has fewer.
const ALGORITHMS: usize = 10;

/// Whether the library says that it does not support a call (CUDNN_STATUS_NOT_SUPPORTED and what is specified of it).
fn refuses(status: Status) -> bool {
    (3000..4000).contains(&status)
}

/// Constants of cudnn_graph.h, cudnn_ops.h and cudnn_cnn.h.
mod constants {
    use std::ffi::c_int;

    pub(super) const DATA_FLOAT: c_int = 0;
    pub(super) const DATA_BFLOAT16: c_int = 9;
    pub(super) const TENSOR_NHWC: c_int = 1;
    pub(super) const CROSS_CORRELATION: c_int = 1;
    pub(super) const DEFAULT_MATH: c_int = 0;
    pub(super) const TENSOR_OP_MATH: c_int = 1;
    pub(super) const FMA_MATH: c_int = 3;
    pub(super) const ACTIVATION_RELU: c_int = 1;
    pub(super) const PROPAGATE_NAN: c_int = 1;
    pub(super) const DETERMINISTIC: c_int = 1;
    pub(super) const BAD_PARAM: c_int = 2000;
}
use constants::*;

/// A descriptor, destroyed with the value.
struct Descriptor {
    opaque: Opaque,
    destroy: unsafe extern "C" fn(Opaque) -> Status,
}

impl Descriptor {
    fn new(
        api: &Api,
        create: unsafe extern "C" fn(*mut Opaque) -> Status,
        destroy: unsafe extern "C" fn(Opaque) -> Status,
    ) -> Result<Self> {
        let mut opaque = std::ptr::null_mut();
        // SAFETY: the library writes a descriptor to the pointer.
        api.check("create a descriptor", unsafe { create(&raw mut opaque) })?;
        Ok(Self { opaque, destroy })
    }

    /// Images `(n, h, w, c)`, described in the library's order n, c, h, w.
    fn images(api: &Api, element: Element, [n, h, w, c]: [c_int; 4]) -> Result<Self> {
        let this = Self::new(api, api.create_tensor, api.destroy_tensor)?;
        // SAFETY: the descriptor is one of a tensor.
        let status = unsafe { (api.set_tensor)(this.opaque, data_type(element), n, c, h, w, h * w * c, 1, w * c, c) };
        api.check("describe images", status).map(|()| this)
    }

    /// A weight `(out, kh, kw, in)`, in the order out, in, kh, kw.
    fn weight(api: &Api, element: Element, [out, kh, kw, channels]: [c_int; 4]) -> Result<Self> {
        let this = Self::new(api, api.create_filter, api.destroy_filter)?;
        // SAFETY: the descriptor is one of a filter.
        let status = unsafe { (api.set_filter)(this.opaque, data_type(element), TENSOR_NHWC, out, channels, kh, kw) };
        api.check("describe a weight", status).map(|()| this)
    }

    fn convolution(api: &Api, [top, left]: [c_int; 2], stride: c_int) -> Result<Self> {
        let this = Self::new(api, api.create_convolution, api.destroy_convolution)?;
        // SAFETY: the descriptor is one of a convolution.
        let status = unsafe {
            (api.set_convolution)(this.opaque, top, left, stride, stride, 1, 1, CROSS_CORRELATION, DATA_FLOAT)
        };
        api.check("describe a convolution", status).map(|()| this)
    }

    fn relu(api: &Api) -> Result<Self> {
        let this = Self::new(api, api.create_activation, api.destroy_activation)?;
        // SAFETY: the descriptor is one of an activation.
        let status = unsafe { (api.set_activation)(this.opaque, ACTIVATION_RELU, PROPAGATE_NAN, 0.0) };
        api.check("describe an activation", status).map(|()| this)
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: the descriptor is destroyed once, by the function of its kind.
        unsafe { (self.destroy)(self.opaque) };
    }
}

/// Sizes as the library takes them.
fn numbers<const N: usize>(sizes: [usize; N]) -> Result<[c_int; N]> {
    let mut numbers = [0; N];
    for (number, size) in numbers.iter_mut().zip(sizes) {
        *number = c_int::try_from(size).map_err(|_| Error::Msg(format!("{size} is too large for cuDNN")))?;
    }
    Ok(numbers)
}

fn data_type(element: Element) -> c_int {
    match element {
        Element::F32 => DATA_FLOAT,
        Element::Bf16 => DATA_BFLOAT16,
    }
}

/// A convolution of one size.
pub(super) struct Convolution {
    pass: Pass,
    /// The two factors and the result.
    operands: [Descriptor; 3],
    convolution: Descriptor,
    /// The kind of math that is allowed.
    math: c_int,
    algorithm: c_int,
    workspace: usize,
    /// Bias and activation of a forward pass, as long as the library is not known to refuse them.
    fused: Option<[Descriptor; 2]>,
}

impl Convolution {
    /// Describes the problem and chooses an algorithm: the first in the library's order that has the same result each
    /// time, rounds no factors of f32 unless TF32 is allowed, and needs at most [`WORKSPACE`]. Returns `None` if there is
    /// no such algorithm.
    ///
    /// # Errors
    /// If a call fails, or the library takes the output for one of another size.
    pub(super) fn new(api: &Api, context: Opaque, problem: &Problem) -> Result<Option<Self>> {
        let mut this = Self::describe(api, problem)?;
        let Some(chosen) = this.choose(api, context)? else { return Ok(None) };
        // SAFETY: the descriptor is one of a convolution. An algorithm may use less than the kind of math allowed.
        api.check("set a kind of math", unsafe { (api.set_math)(this.convolution.opaque, chosen.math) })?;
        (this.algorithm, this.workspace) = (chosen.number, chosen.memory);
        Ok(Some(this))
    }

    /// Describes the problem.
    ///
    /// # Errors
    /// If a call fails, or the library takes the output for one of another size.
    pub(super) fn describe(api: &Api, problem: &Problem) -> Result<Self> {
        let Problem { pass, element, window, .. } = *problem;
        let [h, w, channels] = numbers(window.input)?;
        let ([oh, ow], [kh, kw], padding) =
            (numbers(window.output)?, numbers(window.kernel)?, numbers(window.padding)?);
        let [n, out, stride] = numbers([problem.images, problem.out, window.stride])?;
        let x = || Descriptor::images(api, element, [n, h, w, channels]);
        let y = || Descriptor::images(api, element, [n, oh, ow, out]);
        let weight = || Descriptor::weight(api, element, [out, kh, kw, channels]);
        let convolution = Descriptor::convolution(api, padding, stride)?;
        let (found, expected) = (output_size(api, &convolution, &x()?, &weight()?)?, [n, out, oh, ow]);
        if found != expected {
            return Err(Error::Msg(format!("cuDNN's output has the size {found:?} instead of {expected:?}")));
        }
        let math = match (element, problem.tf32) {
            (Element::Bf16, _) => TENSOR_OP_MATH,
            (Element::F32, true) => DEFAULT_MATH,
            (Element::F32, false) => FMA_MATH,
        };
        // SAFETY: the descriptor is one of a convolution.
        api.check("set a kind of math", unsafe { (api.set_math)(convolution.opaque, math) })?;
        let (operands, fused) = match pass {
            Pass::Forward => {
                let bias = Descriptor::images(api, element, [1, 1, 1, out])?;
                ([x()?, weight()?, y()?], Some([bias, Descriptor::relu(api)?]))
            }
            Pass::InputGradient => ([weight()?, y()?, x()?], None),
            Pass::WeightGradient => ([x()?, y()?, weight()?], None),
        };
        Ok(Self { pass, operands, convolution, math, algorithm: 0, workspace: 0, fused })
    }

    fn choose(&self, api: &Api, context: Opaque) -> Result<Option<Algorithm>> {
        let list = match self.pass {
            Pass::Forward => api.list_forward,
            Pass::InputGradient => api.list_input_gradient,
            Pass::WeightGradient => api.list_weight_gradient,
        };
        let (mut found, mut count) = ([Algorithm::default(); ALGORITHMS], 0);
        let [a, b, result] = self.operands.each_ref().map(|descriptor| descriptor.opaque);
        let (convolution, most) = (self.convolution.opaque, ALGORITHMS as c_int);
        // SAFETY: the descriptors are those of the pass, and there is room for as many algorithms as are asked for.
        let status = unsafe { list(context, a, b, convolution, result, most, &raw mut count, found.as_mut_ptr()) };
        if refuses(status) {
            return Ok(None);
        }
        api.check("list algorithms", status)?;
        let listed = found.into_iter().take(usize::try_from(count).unwrap_or(0));
        let usable = |of: &Algorithm| {
            let repeatable = of.deterministic == DETERMINISTIC;
            // f32 without TF32 is no hint: other kinds of math would round factors.
            let exact = self.math != FMA_MATH || of.math == FMA_MATH;
            of.status == 0 && repeatable && exact && of.memory <= WORKSPACE
        };
        Ok(listed.into_iter().find(usable))
    }

    /// Bytes of workspace.
    pub(super) fn workspace(&self) -> usize {
        self.workspace
    }

    /// Queues the pass from the factors to the result, without bias and activation. Returns whether the library can.
    ///
    /// # Safety
    /// The addresses must be those of the operands' elements and of the workspace, valid on the context's stream.
    pub(super) unsafe fn run(
        &self,
        api: &Api,
        context: Opaque,
        addresses: [Address; 3],
        workspace: Address,
    ) -> Result<bool> {
        let (one, zero) = (1f32, 0f32);
        let compute = match self.pass {
            Pass::Forward => api.forward,
            Pass::InputGradient => api.input_gradient,
            Pass::WeightGradient => api.weight_gradient,
        };
        let [a, b, result] = addresses.map(|address| address as *mut c_void);
        let [of_a, of_b, of_result] = self.operands.each_ref().map(|descriptor| descriptor.opaque);
        // SAFETY: by this function's contract; factors are read, the result is written.
        let status = unsafe {
            compute(
                context,
                (&raw const one).cast(),
                of_a,
                a,
                of_b,
                b,
                self.convolution.opaque,
                self.algorithm,
                workspace as *mut c_void,
                self.workspace,
                (&raw const zero).cast(),
                of_result,
                result,
            )
        };
        if refuses(status) {
            return Ok(false);
        }
        api.check("compute a convolution", status).map(|()| true)
    }

    /// Queues a forward pass with a bias, a residual where its address is not 0, and the rectifier. Returns whether the
    /// library can; what it refused once is not tried again.
    ///
    /// # Safety
    /// As for [`Self::run`], and of bias and residual likewise.
    pub(super) unsafe fn run_fused(
        &mut self,
        api: &Api,
        context: Opaque,
        [x, w, y]: [Address; 3],
        workspace: Address,
        [bias, residual]: [Address; 2],
    ) -> Result<bool> {
        let Some([of_bias, relu]) = &self.fused else { return Ok(false) };
        let (one, share) = (1f32, if residual == 0 { 0f32 } else { 1f32 });
        // Without a residual the library gets the result, of which it takes 0.
        let residual = if residual == 0 { y } else { residual };
        let [of_x, of_w, of_y] = self.operands.each_ref().map(|descriptor| descriptor.opaque);
        // SAFETY: by this function's contract.
        let status = unsafe {
            (api.fused)(
                context,
                (&raw const one).cast(),
                of_x,
                x as *const c_void,
                of_w,
                w as *const c_void,
                self.convolution.opaque,
                self.algorithm,
                workspace as *mut c_void,
                self.workspace,
                (&raw const share).cast(),
                of_y,
                residual as *const c_void,
                of_bias.opaque,
                bias as *const c_void,
                relu.opaque,
                of_y,
                y as *mut c_void,
            )
        };
        // Types that the fused call does not know are bad parameters to it.
        if refuses(status) || status == BAD_PARAM {
            self.fused = None;
            return Ok(false);
        }
        api.check("compute a convolution with bias and rectifier", status).map(|()| true)
    }
}

/// Batch, channels, height and width of the output, as the library computes them.
fn output_size(api: &Api, convolution: &Descriptor, x: &Descriptor, weight: &Descriptor) -> Result<[c_int; 4]> {
    let mut size = [0; 4];
    let [n, c, h, w] = &mut size;
    // SAFETY: the descriptors are of the kinds that the function expects, and it writes four numbers.
    let status = unsafe { (api.output_size)(convolution.opaque, x.opaque, weight.opaque, n, c, h, w) };
    api.check("size the output of a convolution", status).map(|()| size)
}
