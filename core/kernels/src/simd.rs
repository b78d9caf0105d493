//! Code compiled for several sets of vector instructions.

/// Compiles a block for every set of vector instructions, and runs it with the best that the processor has and may be used.
///
/// The variables that the block uses are listed with their types, in which references live for `'a`.
///
/// A closure for [`pulp::Arch::dispatch`] would be shorter. But the compiler need not inline a closure, and one that it
/// does not inline is compiled for the oldest of processors.
macro_rules! vectorized {
    (|$($name:ident: $type:ty),+| $block:block) => {{
        struct Work<'a>($($type),+);
        impl pulp::NullaryFnOnce for Work<'_> {
            type Output = ();
            #[inline(always)]
            fn call(self) {
                let Self($($name),+) = self;
                $block
            }
        }
        crate::instructions::arch().dispatch(Work($($name),+))
    }};
}

pub(crate) use vectorized;
