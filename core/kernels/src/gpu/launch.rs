//! Launch parameters of each kernel.

use crate::transformer::Gelu;

/// The type of elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Element {
    F32,
    Bf16,
}

impl Element {
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }

    /// Number of elements that one instruction loads.
    fn pack(self) -> usize {
        16 / self.bytes()
    }

    fn kernel(self, name: &str) -> String {
        match self {
            Self::F32 => format!("{name}_f32"),
            Self::Bf16 => format!("{name}_bf16"),
        }
    }
}

/// An address in the memory of the GPU; 0 for none.
pub(crate) type Address = u64;

/// A kernel, its sizes and its arguments.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) kernel: String,
    pub(crate) blocks: [u32; 3],
    pub(crate) threads: u32,
    pub(crate) arguments: Vec<Argument>,
}

/// An argument in memory: a number or an address in the low bytes of a word, or a structure.
#[derive(Debug)]
pub(crate) enum Argument {
    Word(u64),
    Words(Box<[u64]>),
}

impl From<u64> for Argument {
    fn from(word: u64) -> Self {
        Self::Word(word)
    }
}

impl From<u32> for Argument {
    fn from(word: u32) -> Self {
        Self::Word(word.into())
    }
}

impl From<f32> for Argument {
    fn from(number: f32) -> Self {
        Self::Word(number.to_bits().into())
    }
}

/// Lists arguments.
macro_rules! arguments {
    ($($argument:expr),* $(,)?) => { vec![$(Argument::from($argument)),*] };
}

/// Threads of a block.
const THREADS: u32 = 256;
/// Threads of a warp.
const WARP: u32 = 32;
/// Blocks of a launch whose threads process several elements each.
const BLOCKS: u32 = 4096;

impl Launch {
    fn new(kernel: impl Into<String>, blocks: [u32; 3], arguments: Vec<Argument>) -> Self {
        Self { kernel: kernel.into(), blocks, threads: THREADS, arguments }
    }

    /// A launch of at least one thread per element, or of so many that each takes several.
    fn elements(kernel: impl Into<String>, count: usize, arguments: Vec<Argument>) -> Self {
        let blocks = number(count).div_ceil(THREADS).clamp(1, BLOCKS);
        Self::new(kernel, [blocks, 1, 1], arguments)
    }

    /// A launch of a warp per item.
    fn warps(kernel: impl Into<String>, items: usize, arguments: Vec<Argument>) -> Self {
        Self::new(kernel, [number(items).div_ceil(THREADS / WARP).max(1), 1, 1], arguments)
    }
}

/// A count for a kernel that counts in 32 bits; [`super::takes`] rejects larger tensors.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a tensor of less than 2^31 elements")
}

/// A parameter, its gradient and its state, all of `len` elements, and the factors of its rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parameter {
    pub(crate) addresses: [Address; 4],
    pub(crate) len: usize,
    pub(crate) factors: Factors,
}

/// The numbers of an optimizer's rule, in the order in which `cuda/optim.h` reads them.
pub(crate) type Factors = [f32; 8];

/// Fills up the numbers of a rule that has fewer.
pub(crate) fn padded<const N: usize>(numbers: [f32; N]) -> Factors {
    let mut factors = Factors::default();
    factors[..N].copy_from_slice(&numbers);
    factors
}

/// Divides a parameter of `len` elements of f32 into as many equal parts as there are rules.
pub(crate) fn parts(whole: [Address; 4], len: usize, rules: &[Factors]) -> impl Iterator<Item = Parameter> + use<'_> {
    let len = len / rules.len();
    let part = move |(index, factors): (usize, &Factors)| {
        let offset = (index * len * Element::F32.bytes()) as Address;
        Parameter { addresses: whole.map(|address| address + offset), len, factors: *factors }
    };
    rules.iter().enumerate().map(part)
}

/// Parameters of a launch, and elements of a block, as `cuda/optim.h` has them.
const TENSORS: usize = 24;
const PART: usize = 4096;

/// A step of the optimizer `kernel` on all parameters, each by its own rule.
pub(crate) fn optimize(kernel: &str, parameters: &[Parameter]) -> Vec<Launch> {
    let step = |parameters: &[Parameter]| {
        let mut words = vec![0u64; TENSORS * 5];
        let mut first = [0u32; TENSORS + 2];
        let mut factors = [Factors::default(); TENSORS];
        for (i, parameter) in parameters.iter().enumerate() {
            for (kind, address) in parameter.addresses.iter().enumerate() {
                words[kind * TENSORS + i] = *address;
            }
            words[4 * TENSORS + i] = parameter.len as u64;
            factors[i] = parameter.factors;
            first[i + 1] = first[i] + number(parameter.len.div_ceil(PART));
        }
        // Missing parameters have no block.
        let blocks = first[parameters.len()];
        first[parameters.len()..].fill(blocks);
        let halves = first.into_iter().chain(factors.into_iter().flatten().map(f32::to_bits)).collect::<Vec<u32>>();
        words.extend(halves.chunks_exact(2).map(|pair| u64::from(pair[0]) | u64::from(pair[1]) << 32));
        Launch::new(kernel, [blocks, 1, 1], vec![Argument::Words(words.into())])
    };
    let parameters: Vec<_> = parameters.iter().copied().filter(|parameter| parameter.len > 0).collect();
    parameters.chunks(TENSORS).map(step).collect()
}

/// Layer norm of rows of `len` elements.
pub(crate) fn layer_norm(e: Element, [x, w, b, y]: [Address; 4], [rows, len]: [usize; 2], eps: f32) -> Launch {
    let arguments = arguments![x, w, b, y, number(rows), number(len), eps];
    Launch::warps(e.kernel("layer_norm"), rows, arguments)
}

/// Softmax of `scale` times each row, in place. Rows begin `stride` elements apart; what is between them becomes 0.
pub(crate) fn softmax(e: Element, x: Address, [rows, len, stride]: [usize; 3], scale: f32) -> Launch {
    Launch::warps(e.kernel("softmax"), rows, arguments![x, number(rows), number(len), number(stride), scale])
}

/// The Gaussian error linear unit of `x` and a bias that is added to every row, where it is not 0; `y` may be `x`.
pub(crate) fn gelu(e: Element, [x, y, bias]: [Address; 3], [rows, cols]: [usize; 2], form: Gelu) -> Launch {
    let count = if cols.is_multiple_of(e.pack()) { rows * cols / e.pack() } else { rows * cols };
    let form = match form {
        Gelu::Exact => 0u32,
        Gelu::Tanh => 1,
        Gelu::Quick => 2,
    };
    Launch::elements(e.kernel("gelu"), count, arguments![x, y, bias, number(rows), number(cols), form])
}

/// Adds a bias to every row of `y` and a residual to all of it, where they are not 0, and clamps the sum, in place.
pub(crate) fn finish(e: Element, [y, bias, residual]: [Address; 3], sizes: [usize; 2], limits: (f32, f32)) -> Launch {
    sums(e, [y, y, bias, residual], sizes, limits)
}

/// Adds matrices and clamps their sum.
pub(crate) fn add(e: Element, [a, b, y]: [Address; 3], sizes: [usize; 2], limits: (f32, f32)) -> Launch {
    sums(e, [a, y, 0, b], sizes, limits)
}

fn sums(e: Element, addresses: [Address; 4], [rows, cols]: [usize; 2], (low, high): (f32, f32)) -> Launch {
    let count = if cols.is_multiple_of(e.pack()) { rows * cols / e.pack() } else { rows * cols };
    let [x, y, bias, residual] = addresses;
    Launch::elements(e.kernel("finish"), count, arguments![x, y, bias, residual, number(rows), number(cols), low, high])
}

/// A norm with constant moments as factors and summands per channel, in f32: of mean, variance, weight and bias.
pub(crate) fn norm_factors(of: [Address; 4], eps: f32, [scale, shift]: [Address; 2], channels: usize) -> Launch {
    let [mean, variance, weight, bias] = of;
    let arguments = arguments![mean, variance, weight, bias, eps, scale, shift, number(channels)];
    Launch::elements("norm_factors_f32", channels, arguments)
}

/// Scales and shifts every row of `y`, by f32, and clamps it, in place.
pub(crate) fn norm(
    e: Element,
    [y, scale, shift]: [Address; 3],
    [rows, cols]: [usize; 2],
    (low, high): (f32, f32),
) -> Launch {
    let count = if cols.is_multiple_of(e.pack()) { rows * cols / e.pack() } else { rows * cols };
    Launch::elements(e.kernel("norm"), count, arguments![y, scale, shift, number(rows), number(cols), low, high])
}

/// The gradient before a clamping activation, and before a norm of this scale, in f32, if its address is not 0.
pub(crate) fn before(
    e: Element,
    [y, dy, dx, scale]: [Address; 4],
    [rows, cols]: [usize; 2],
    (low, high): (f32, f32),
) -> Launch {
    let count = if cols.is_multiple_of(e.pack()) { rows * cols / e.pack() } else { rows * cols };
    let arguments = arguments![y, dy, dx, scale, number(rows), number(cols), low, high];
    Launch::elements(e.kernel("before"), count, arguments)
}

/// Parts of the rows of a matrix whose columns are summed apart: enough to occupy a GPU.
pub(crate) fn column_parts(rows: usize) -> usize {
    (rows / 512).clamp(1, 256)
}

/// Sums of the columns of a matrix, in f32, over each of `parts` parts of its rows.
pub(crate) fn column_sums(e: Element, x: Address, sums: Address, [rows, cols]: [usize; 2], parts: usize) -> Launch {
    let blocks = [number(cols).div_ceil(WARP), number(parts), 1];
    Launch::new(e.kernel("column_sums"), blocks, arguments![x, sums, number(rows), number(cols)])
}

/// Division of tokens into sequences and of columns into heads, as in `cuda/heads.h`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heads {
    pub(crate) sequences: usize,
    /// Tokens of a sequence, and the allocated number.
    pub(crate) len: usize,
    pub(crate) room: usize,
    pub(crate) heads: usize,
    /// Columns of a head.
    pub(crate) width: usize,
}

impl Heads {
    /// Elements of queries taken apart.
    pub(crate) fn elements(self) -> usize {
        self.sequences * self.room * self.heads * self.width
    }

    /// A kernel with a thread for a pack of columns of each of `tokens` tokens, or for one column if packs do not
    /// divide every number in `aligned`.
    fn launch(self, e: Element, name: &str, tokens: usize, aligned: &[usize], arguments: Vec<Argument>) -> Launch {
        let columns = tokens * self.heads * self.width;
        let whole = self.width.is_multiple_of(e.pack()) && aligned.iter().all(|x| x.is_multiple_of(e.pack()));
        let (name, threads) = match whole {
            true => (e.kernel(name), columns / e.pack()),
            false => (e.kernel(&format!("{name}_narrow")), columns),
        };
        Launch::new(name, [number(threads).div_ceil(THREADS).max(1), 1, 1], arguments)
    }
}

impl From<Heads> for Argument {
    fn from(h: Heads) -> Self {
        let [a, b, c, d, e] = [h.sequences, h.len, h.room, h.heads, h.width].map(|x| u64::from(number(x)));
        Self::Words([a | b << 32, c | d << 32, e].into())
    }
}

/// Splits queries, keys and values, whose rows begin `strides` elements apart, into heads.
pub(crate) fn split_heads(e: Element, [q, k, v, out]: [Address; 4], sizes: Heads, strides: [usize; 3]) -> Launch {
    let [sq, sk, sv] = strides.map(number);
    let mut aligned = strides.to_vec();
    aligned.extend([q, k, v].map(|address| address as usize / e.bytes()));
    let arguments = arguments![q, k, v, out, sizes, sq, sk, sv];
    let mut launch = sizes.launch(e, "split_heads", sizes.sequences * sizes.room, &aligned, arguments);
    launch.blocks[1] = 3;
    launch
}

/// Merges heads.
pub(crate) fn merge_heads(e: Element, x: Address, y: Address, sizes: Heads) -> Launch {
    sizes.launch(e, "merge_heads", sizes.sequences * sizes.len, &[], arguments![x, y, sizes])
}

/// The sizes of a window over channels-last images, as `cuda/windows.h` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub(crate) input: [usize; 3],
    pub(crate) output: [usize; 2],
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: usize,
    /// Above and to the left.
    pub(crate) padding: [usize; 2],
}

impl From<Window> for Argument {
    fn from(w: Window) -> Self {
        let ([h, width, c], [oh, ow], [kh, kw], [top, left]) = (w.input, w.output, w.kernel, w.padding);
        let numbers = [h, width, c, oh, ow, kh, kw, w.stride, top, left].map(|x| u64::from(number(x)));
        Self::Words(numbers.chunks_exact(2).map(|pair| pair[0] | pair[1] << 32).collect())
    }
}

/// Copies the windows of `pixels` pixels from `first` on side by side, each of `stride` elements.
pub(crate) fn gather(
    e: Element,
    window: Window,
    [x, columns]: [Address; 2],
    [first, pixels]: [usize; 2],
    stride: usize,
) -> Launch {
    let arguments = arguments![window, x, columns, number(first), number(pixels), number(stride)];
    Launch::warps(e.kernel("gather"), pixels, arguments)
}

/// Copies, for `pixels` input pixels from `first` on, the output pixels whose windows have them under a tap side by
/// side. The window has the output's number of channels.
pub(crate) fn spread(
    e: Element,
    window: Window,
    [out, columns]: [Address; 2],
    [first, pixels]: [usize; 2],
    stride: usize,
) -> Launch {
    let arguments = arguments![window, out, columns, number(first), number(pixels), number(stride)];
    Launch::warps(e.kernel("spread"), pixels, arguments)
}

/// A kernel with a thread for several channels of a pixel, or for one if packs do not divide their number.
fn pixelwise(e: Element, name: &str, window: Window, pixels: usize, arguments: Vec<Argument>) -> Launch {
    let channels = window.input[2];
    let (name, threads) = match channels.is_multiple_of(e.pack()) {
        true => (e.kernel(name), pixels * channels / e.pack()),
        false => (e.kernel(&format!("narrow_{name}")), pixels * channels),
    };
    Launch::new(name, [number(threads).div_ceil(THREADS).max(1), 1, 1], arguments)
}

/// Depthwise convolution of all `pixels` output pixels, with bias and clamp. All addresses are multiples of 16.
pub(crate) fn depthwise(
    e: Element,
    window: Window,
    [x, weight, bias, y]: [Address; 4],
    pixels: usize,
    (low, high): (f32, f32),
) -> Launch {
    let arguments = arguments![window, x, weight, bias, y, number(pixels), low, high];
    pixelwise(e, "depthwise", window, pixels, arguments)
}

/// The maximum over windows of all `pixels` output pixels. Both addresses are multiples of 16.
pub(crate) fn max_pool(e: Element, window: Window, [x, y]: [Address; 2], pixels: usize) -> Launch {
    pixelwise(e, "max_pool", window, pixels, arguments![window, x, y, number(pixels)])
}

/// The means over the pixels of images.
pub(crate) fn mean_pixels(e: Element, [x, y]: [Address; 2], [images, pixels, channels]: [usize; 3]) -> Launch {
    let blocks = [number(channels).div_ceil(WARP), number(images), 1];
    Launch::new(e.kernel("mean_pixels"), blocks, arguments![x, y, number(pixels), number(channels)])
}

/// The loss of every row of similarities.
pub(crate) fn nt_xent(x: Address, losses: Address, [runs, rows]: [usize; 2]) -> Launch {
    Launch::new("nt_xent_f32", [number(rows), number(runs), 1], arguments![x, losses, number(rows)])
}

/// The gradient of the mean of the rows' losses, times the number of the run at `dy`.
pub(crate) fn nt_xent_gradient([x, dy, dx]: [Address; 3], [runs, rows]: [usize; 2]) -> Launch {
    Launch::new("nt_xent_gradient_f32", [number(rows), number(runs), 1], arguments![x, dy, dx, number(rows)])
}

/// `scale` times the sum of the `len` numbers of each run.
pub(crate) fn sum(x: Address, y: Address, [runs, len]: [usize; 2], scale: f32) -> Launch {
    Launch::new("sum_f32", [1, number(runs), 1], arguments![x, y, number(len), scale])
}

/// Blocks that sum the terms of a run's divergence of `len` numbers, each to a number of its own.
pub(crate) fn divergence_blocks(len: usize) -> usize {
    len.div_ceil(4 * THREADS as usize).clamp(1, 256)
}

/// Partial sums of `scale` times the divergence of the `len` probabilities of each run.
pub(crate) fn bernoulli_kl([p, q, sums]: [Address; 3], [runs, len]: [usize; 2], scale: f32) -> Launch {
    let blocks = number(divergence_blocks(len));
    Launch::new("bernoulli_kl_f32", [blocks, number(runs), 1], arguments![p, q, sums, number(len), scale])
}

/// Its gradients by p and, where `dq` is not 0, by q, times the number of the run at `dy`.
pub(crate) fn bernoulli_kl_gradient([p, q, dy, dp, dq]: [Address; 5], [runs, len]: [usize; 2], scale: f32) -> Launch {
    let arguments = arguments![p, q, dy, dp, dq, number(len), scale];
    let mut launch = Launch::elements("bernoulli_kl_gradient_f32", len, arguments);
    launch.blocks[1] = number(runs);
    launch
}
