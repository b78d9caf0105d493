//! What codes look like: balance and correlation of bits, distances.

use hashlab_data::Task;

use super::Figures;
use super::curves::of_details;
use crate::aggregate::Row;
use crate::details::RunDetails;
use crate::figure::{BitMatrix, Figure, LineChart, Range, Scale, Series};

impl Figures<'_> {
    pub(super) fn balance(&self, bits: usize) -> Option<Figure> {
        let sorted = |d: &RunDetails| {
            let (_, profile) = d.codes.as_ref()?.bits.iter().next()?;
            let mut ones = profile.ones.clone();
            ones.sort_by(f64::total_cmp);
            Some((1..).map(f64::from).zip(ones).collect())
        };
        LineChart {
            title: format!("Balance: share of ones by bit, bits in ascending order, {bits} bits"),
            x: "bit, by its share".to_owned(),
            y: "share of ones".to_owned(),
            x_scale: Scale::Linear,
            y_range: Range::Fraction,
            series: self.lines(bits, |s| of_details(s, self.details, sorted)),
        }
        .figure()
    }

    pub(super) fn correlation(&self, bits: usize) -> Option<Figure> {
        let shares = |d: &RunDetails| {
            let (_, profile) = d.codes.as_ref()?.bits.iter().next()?;
            let pairs = profile.correlations.iter().sum::<u64>();
            let width = 1.0 / profile.correlations.len() as f64;
            let bin = |(i, &n): (usize, &u64)| ((i as f64 + 0.5) * width, n as f64 / pairs as f64);
            (pairs > 0).then(|| profile.correlations.iter().enumerate().map(bin).collect())
        };
        LineChart {
            title: format!("Correlation between bits: share of pairs by magnitude, {bits} bits"),
            x: "magnitude of the correlation".to_owned(),
            y: "share of pairs".to_owned(),
            x_scale: Scale::Linear,
            y_range: Range::FromZero,
            series: self.lines(bits, |s| of_details(s, self.details, shares)),
        }
        .figure()
    }

    /// Correlations of all pairs of bits in the first run of a row that kept them: bits of different seeds have nothing to do
    /// with each other.
    pub(super) fn bit_matrix(&self, row: &Row<'_>, bits: usize) -> Option<Figure> {
        let setting = row.shown().find(|s| s.bits == bits)?;
        let mut kept = setting.runs.iter().filter_map(|run| {
            let (modality, profile) = self.details.get(&run.run)?.codes.as_ref()?.bits.iter().next()?;
            (!profile.pairs.is_empty()).then_some((run.seed, modality, profile))
        });
        let (seed, modality, profile) = kept.next()?;
        let title = format!("Correlation of each pair of bits: {}, {bits} bits, {modality}s, seed {seed}", row.label);
        BitMatrix { title, bits, pairs: &profile.pairs }.figure()
    }

    pub(super) fn distances(&self, row: &Row<'_>, bits: usize, task: Task) -> Option<Figure> {
        let setting = row.shown().find(|s| s.bits == bits)?;
        let shares = |relevant: bool| {
            move |d: &RunDetails| {
                let profile = d.codes.as_ref()?.distances.get(&task)?;
                let counts = if relevant { &profile.relevant } else { &profile.others };
                let pairs = counts.iter().sum::<u64>();
                let share = |(distance, &n): (usize, &u64)| (distance as f64, n as f64 / pairs as f64);
                (pairs > 0).then(|| counts.iter().enumerate().map(share).collect())
            }
        };
        let line = |name: &str, relevant: bool| Series {
            name: name.to_owned(),
            points: of_details(setting, self.details, shares(relevant)),
        };
        LineChart {
            title: format!("Hamming distances to queries: {}, {bits} bits{}", row.label, self.of_task(task)),
            x: "Hamming distance".to_owned(),
            y: "share of pairs".to_owned(),
            x_scale: Scale::Linear,
            y_range: Range::FromZero,
            series: vec![line("relevant", true), line("not relevant", false)],
        }
        .figure()
    }
}
