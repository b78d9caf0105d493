//! Code compiled for several sets of vector instructions.

/// Compiles a block for every set of vector instructions, and runs it with the best that the processor has and may be used.
///
/// The variables that the block uses are listed with their types, in which references live for `'a`.
///
/// ```
/// let (mut sums, terms) = ([1.0f32, 2.0], [0.5f32, 0.25]);
/// let (to, from) = (&mut sums[..], &terms[..]);
/// hashlab_simd::vectorized!(|to: &'a mut [f32], from: &'a [f32]| {
///     for (sum, term) in to.iter_mut().zip(from) {
///         *sum += term;
///     }
/// });
/// assert_eq!(sums, [1.5, 2.25]);
/// ```
///
/// A closure for [`pulp::Arch::dispatch`] would be shorter. But the compiler need not inline a closure, and one that it
/// does not inline is compiled for the oldest of processors. The same is true of closures inside of the block, such as
/// that of `for_each`: loops are inlined.
#[macro_export]
macro_rules! vectorized {
    (|$($name:ident: $type:ty),+| $block:block) => {{
        struct Work<'a>($($type),+);
        impl $crate::pulp::NullaryFnOnce for Work<'_> {
            type Output = ();
            #[inline(always)]
            fn call(self) {
                let Self($($name),+) = self;
                $block
            }
        }
        $crate::arch().dispatch(Work($($name),+))
    }};
}
