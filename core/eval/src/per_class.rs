//! Means per class.

use crate::LabelSets;
use crate::report::mean;

/// A metric's mean over the queries of a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ClassMean {
    /// The class, counted from 0.
    pub class: usize,
    /// Queries of the class.
    pub queries: usize,
    /// The mean over those of them that enter the metric's mean; 0 if none does.
    pub mean: f64,
}

/// Averages a metric's values, as [`Report::queries`](crate::Report::queries) has them, over the queries of each class. A
/// query of several classes counts in each; classes without queries are left out.
///
/// ```
/// use hashlab_eval::{LabelSets, per_class};
///
/// let classes = per_class(&[0.5, 1.0, 0.0], LabelSets::new(&[0b001, 0b101, 0b001], 1)?);
/// assert_eq!((classes[0].class, classes[0].queries, classes[0].mean), (0, 3, 0.5));
/// assert_eq!((classes[1].class, classes[1].queries, classes[1].mean), (2, 1, 1.0));
/// # Ok::<(), hashlab_eval::EvalError>(())
/// ```
///
/// # Panics
/// If there are fewer label sets than values.
pub fn per_class(values: &[f64], labels: LabelSets<'_>) -> Vec<ClassMean> {
    let mut of_class: Vec<Vec<f64>> = vec![Vec::new(); 64 * labels.words()];
    for (index, &value) in values.iter().enumerate() {
        labels.labels(index).for_each(|class| of_class[class].push(value));
    }
    let classes = of_class.iter().enumerate().filter(|(_, values)| !values.is_empty());
    classes
        .map(|(class, values)| ClassMean { class, queries: values.len(), mean: mean(values.iter().copied()) })
        .collect()
}
