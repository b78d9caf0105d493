//! The sizes of a dense layer, of one run or of stacked runs.

use candle_core::Shape;

use crate::matmul::{Matrix, matmul, matmul_add};

/// The sizes of a layer's product, or of one for each run.
pub(super) struct Sizes {
    pub(super) runs: usize,
    /// Rows of each run's input.
    pub(super) rows: usize,
    pub(super) features: usize,
    pub(super) out: usize,
    /// Whether all runs have the same input.
    pub(super) shared: bool,
}

impl Sizes {
    pub(super) fn of(x: &[usize], w: &[usize]) -> Self {
        let [runs @ .., out, features] = w else { unreachable!("`linear` checks the shapes") };
        let (shared, runs) = (runs.len() == 1 && x.len() == 2, runs.first().copied().unwrap_or(1));
        let rows = x.iter().product::<usize>() / features / if shared { 1 } else { runs };
        Self { runs, rows, features: *features, out: *out, shared }
    }

    /// The shape of the result on an input of shape `x`.
    pub(super) fn result(&self, x: &[usize]) -> Shape {
        match self.shared {
            true => (self.runs, self.rows, self.out).into(),
            false => x[..x.len() - 1].iter().copied().chain([self.out]).collect::<Vec<_>>().into(),
        }
    }

    /// The input of a run.
    pub(super) fn input<'a>(&self, x: &'a [f32], run: usize) -> Matrix<'a> {
        let start = if self.shared { 0 } else { run * self.rows * self.features };
        Matrix::row_major(&x[start..][..self.rows * self.features], self.rows, self.features)
    }

    /// The weight of a run.
    pub(super) fn weight<'a>(&self, w: &'a [f32], run: usize) -> Matrix<'a> {
        let len = self.out * self.features;
        Matrix::row_major(&w[run * len..][..len], self.out, self.features)
    }

    /// The gradient of a run's result.
    pub(super) fn gradient<'a>(&self, dy: &'a [f32], run: usize) -> Matrix<'a> {
        let len = self.rows * self.out;
        Matrix::row_major(&dy[run * len..][..len], self.rows, self.out)
    }

    /// The matrices that `of_run` computes, below each other.
    pub(super) fn stack(&self, mut of_run: impl FnMut(usize) -> Vec<f32>) -> Vec<f32> {
        let mut all = of_run(0);
        for run in 1..self.runs {
            all.extend(of_run(run));
        }
        all
    }

    /// Adds a product for each run to the `sum` of earlier ones, which lie below each other.
    pub(super) fn accumulate<'a>(
        &self,
        sum: Option<Vec<f32>>,
        factors: impl Fn(usize) -> (Matrix<'a>, Matrix<'a>),
    ) -> Vec<f32> {
        let Some(mut sum) = sum else {
            return self.stack(|run| {
                let (a, b) = factors(run);
                matmul(a, b)
            });
        };
        let len = sum.len() / self.runs;
        for (run, sum) in sum.chunks_exact_mut(len).enumerate() {
            let (a, b) = factors(run);
            matmul_add(sum, a, b);
        }
        sum
    }
}
