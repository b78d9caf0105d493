//! Messages on a training whose numbers are no longer finite.

use anyhow::Result;
use candle_core::DType;
use hashlab_method::ParamGroup;

/// Adds the number of the run, counted from 0, to a message if there are several.
pub(super) fn of_run(run: usize, runs: usize, message: &str) -> String {
    if runs == 1 { message.to_owned() } else { format!("run {} of {runs}: {message}", run + 1) }
}

/// Names a variable with an infinite element or a NaN, and of several stacked runs the run.
pub(super) fn not_finite(groups: &[ParamGroup], runs: usize, epoch: usize) -> Result<Option<String>> {
    for (name, var) in groups.iter().flat_map(|group| &group.vars) {
        let sums = var.reshape((runs, ()))?.sum(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        if let Some(run) = sums.iter().position(|sum| !sum.is_finite()) {
            return Ok(Some(of_run(run, runs, &format!("`{name}` is not finite after epoch {epoch}"))));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn the_variable_and_of_several_runs_the_run_are_named() {
        let var = |values: [[f32; 2]; 2]| Var::new(&values, &Device::Cpu).unwrap();
        let good = ("a".to_owned(), var([[0.5, -1.0], [2.0, 3.0]]));
        let bad = ("b".to_owned(), var([[0.5, -1.0], [f32::NEG_INFINITY, 3.0]]));
        let found = |vars: &[&(String, Var)], runs| {
            let vars = vars.iter().map(|var| (*var).clone()).collect();
            not_finite(&[ParamGroup::new(vars)], runs, 7).unwrap()
        };
        assert_eq!(found(&[&good], 2), None);
        assert_eq!(found(&[&good, &bad], 1).unwrap(), "`b` is not finite after epoch 7");
        assert_eq!(found(&[&good, &bad], 2).unwrap(), "run 2 of 2: `b` is not finite after epoch 7");
    }
}
