//! The primary metric over hyperparameters.

use super::{FigureRequest, Figures};
use crate::figure::{Figure, HeatMap, Parallel, ParallelLine};
use crate::hyperparameters::{Ablated, Ablation};

impl Figures<'_> {
    pub(super) fn heat_map(&self, request: &FigureRequest) -> Option<Figure> {
        let ablation = self.ablation(request)?;
        let (x, y) = match &request.keys {
            Some((x, y)) => (ablation.key(x)?, ablation.key(y)?),
            None => (0, 1),
        };
        let (in_x, in_y) = (ablation.keys.get(x)?, ablation.keys.get(y)?);
        let row = |at_y: usize| (0..in_x.1.len()).map(|at_x| ablation.cell((x, at_x), (y, at_y))).collect();
        Some(
            HeatMap {
                title: format!(
                    "{} of {} over {} and {}, {}",
                    self.report.header.primary_title(),
                    ablation.method,
                    in_x.0,
                    in_y.0,
                    ablation.averaged(x, y)
                ),
                x: in_x.0.clone(),
                y: in_y.0.clone(),
                columns: in_x.1.clone(),
                rows: in_y.1.clone(),
                cells: (0..in_y.1.len()).map(row).collect(),
            }
            .figure(),
        )
    }

    pub(super) fn parallel(&self, ablation: &Ablation) -> Option<Figure> {
        let metric = self.report.header.primary_title();
        let line = |s: &Ablated| ParallelLine {
            values: s.values.clone(),
            metric: s.metrics.iter().sum::<f64>() / s.metrics.len() as f64,
        };
        Parallel {
            title: format!("{metric} of {} by setting, mean over seeds; the best quarter is dark", ablation.method),
            keys: ablation.keys.clone(),
            metric,
            lines: ablation.settings.iter().map(line).collect(),
        }
        .figure()
    }
}
