//! Search for numbers that are no longer finite.

use anyhow::Result;
use candle_core::DType;
use hashlab_method::ParamGroup;

/// For each of the stacked runs, a message that names a variable with an infinite element or a NaN, if there is one.
pub(super) fn not_finite(groups: &[ParamGroup], runs: usize, epoch: usize) -> Result<Vec<Option<String>>> {
    let mut messages = vec![None; runs];
    for (name, var) in groups.iter().flat_map(|group| &group.vars) {
        let sums = var.reshape((runs, ()))?.sum(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        for (message, sum) in messages.iter_mut().zip(sums) {
            if !sum.is_finite() {
                message.get_or_insert_with(|| format!("`{name}` is not finite after epoch {epoch}"));
            }
        }
    }
    Ok(messages)
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;

    #[test]
    fn the_first_variable_of_each_run_is_named() {
        let var = |values: [[f32; 2]; 2]| Var::new(&values, &Device::Cpu).unwrap();
        let good = ("a".to_owned(), var([[0.5, -1.0], [2.0, 3.0]]));
        let bad = ("b".to_owned(), var([[0.5, -1.0], [f32::NEG_INFINITY, 3.0]]));
        let worse = ("c".to_owned(), var([[0.5, f32::NAN], [f32::NAN, 3.0]]));
        let found = |vars: &[&(String, Var)], runs| {
            let vars = vars.iter().map(|var| (*var).clone()).collect();
            not_finite(&[ParamGroup::new(vars)], runs, 7).unwrap()
        };
        let message = |name: &str| Some(format!("`{name}` is not finite after epoch 7"));
        assert_eq!(found(&[&good], 2), [None, None]);
        assert_eq!(found(&[&good, &bad], 1), [message("b")]);
        assert_eq!(found(&[&good, &bad, &worse], 2), [message("c"), message("b")]);
    }
}
