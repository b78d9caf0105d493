//! The points of a method: combinations of its axes, without those that `exclude` names and without the keys that
//! `when` ties to values of others.

use std::collections::BTreeSet;

use hashlab_settings::canonical;

use crate::diagnostic::{Diagnostic, Span};
use crate::grid::{Axis, Domain, GRID, ZIP, axes, grid_keys};
use crate::layers::{Assignment, Layer, Layers, Origin};
use crate::partial_point::{PartialPoint, find_varied, not_varied, partial_point};
use crate::parzen::{STARTUP, TpeAxis};
use crate::reader::Reader;
use crate::row_point::Key;
use crate::search::{Search, SearchKind};
use crate::toml_tree::{Field, NodeKind};

/// The keys of a `[[method]]` that this module reads.
pub(crate) const WHEN: &str = "when";
pub(crate) const EXCLUDE: &str = "exclude";

/// Largest number of combinations; more are a mistake, and would take long to check.
const MAX_POINTS: usize = 10_000;

/// What a method varies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grid {
    pub(crate) axes: Vec<Axis>,
    conditions: Vec<(Key, PartialPoint)>,
    excludes: Vec<PartialPoint>,
    /// Span of `exclude`.
    exclude: Option<Span>,
    /// Span of `grid` or `zip`.
    span: Option<Span>,
    /// The points that are taken.
    pub(crate) search: Search,
}

impl Grid {
    /// Reads `grid`, `zip`, `when` and `exclude` of a method's table.
    pub(crate) fn read(reader: &mut Reader<'_>, fields: &[Field], fixed: &mut Layer) -> Self {
        let known = reader.diagnostics.len();
        let axes = axes(reader, fields, fixed);
        let span =
            fields.iter().find(|field| [GRID, ZIP].contains(&field.key.as_str())).map(|field| field.span.clone());
        let mut grid = Self { axes, span, ..Self::default() };
        if reader.diagnostics.len() > known {
            return grid; // a key whose values are wrong would be reported as one that is not varied
        }
        for field in fields.iter().filter(|field| field.key == WHEN) {
            for key in reader.table(field).iter().flat_map(grid_keys) {
                if find_varied(&grid.axes, &key).is_none() {
                    reader.push(not_varied(WHEN, &key, &grid.axes));
                } else if let Some(point) = partial_point(reader, WHEN, key.node, &grid.axes, false) {
                    grid.conditions.push(((key.section, key.key.to_owned()), point));
                }
            }
        }
        for field in fields.iter().filter(|field| field.key == EXCLUDE) {
            grid.exclude = Some(field.span.clone());
            for node in field.node.items() {
                grid.excludes.extend(partial_point(reader, EXCLUDE, node, &grid.axes, true));
            }
            if matches!(&field.node.kind, NodeKind::List(items) if items.is_empty()) {
                let diagnostic = Diagnostic::new(&field.span, "`exclude` is empty, so it leaves out nothing");
                reader.push(diagnostic.help("list partial points, e.g. `exclude = [{ tau = 0.2, bits = 64 }]`"));
            }
        }
        grid
    }

    /// The keys that vary.
    pub(crate) fn keys(&self) -> Vec<Key> {
        self.axes.iter().flat_map(|axis| &axis.keys).map(|varied| (varied.section, varied.key.clone())).collect()
    }

    /// The keys that apply at some points only, with these points.
    pub(crate) fn conditions(&self) -> &[(Key, PartialPoint)] {
        &self.conditions
    }

    /// The points that are left out.
    pub(crate) fn excludes(&self) -> &[PartialPoint] {
        &self.excludes
    }

    /// The first value of each key.
    pub(crate) fn firsts(&self) -> impl Iterator<Item = &Assignment> {
        self.axes.iter().flat_map(|axis| &axis.keys).filter_map(|varied| varied.list().first())
    }

    /// The lower ends of the ranges.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = &Assignment> {
        let keys = self.axes.iter().flat_map(|axis| &axis.keys);
        keys.filter(|varied| matches!(varied.domain, Domain::Range(_))).flat_map(|varied| varied.list())
    }

    /// Lists the points: those of a grid, the last axis fastest, or those of a search, in its order; one empty point if
    /// nothing varies.
    pub(crate) fn points(&self) -> Vec<Layer> {
        let mut points = match self.search.kind {
            SearchKind::Grid => self.combinations(),
            SearchKind::Random | SearchKind::Sobol => self.trials(self.search.trials),
            // The others follow from results.
            SearchKind::Tpe => self.trials(self.search.trials.min(STARTUP)),
        };
        points.retain(|point| !self.leaves_out(point));
        points
    }

    /// Whether a point is left out for all code lengths.
    pub(crate) fn leaves_out(&self, point: &Layer) -> bool {
        self.excludes.iter().any(|exclude| exclude.bits.is_none() && exclude.holds(point))
    }

    /// Whether a point is left out for a code length.
    pub(crate) fn excludes_bits(&self, point: &Layer, bits: u64) -> bool {
        let about = |exclude: &PartialPoint| exclude.bits.as_ref().is_some_and(|named| named.contains(&bits));
        self.excludes.iter().any(|exclude| about(exclude) && exclude.holds(point))
    }

    /// The points of a search, before any is left out.
    fn trials(&self, count: usize) -> Vec<Layer> {
        let number = |trial: usize, axis: &Axis| self.search.fraction(trial, axis.number);
        let trial = |trial: usize| self.at(self.axes.iter().map(|axis| number(trial, axis)));
        let count = if self.axes.is_empty() { 1 } else { count };
        self.applying((0..count).map(trial).collect())
    }

    /// The point at a number in `[0, 1)` per axis, with keys that may not apply at it.
    fn at(&self, numbers: impl Iterator<Item = f64>) -> Layer {
        let mut point = Layer::new(Origin::GridPoint);
        let values = |(axis, number): (&Axis, f64)| axis.at_fraction(number);
        point.assignments = self.axes.iter().zip(numbers).flat_map(values).collect();
        point
    }

    /// The point at a number in `[0, 1)` per axis.
    pub(crate) fn point_at(&self, numbers: &[f64]) -> Layer {
        let mut point = self.at(numbers.iter().copied());
        self.drop_inapplicable(&mut point);
        point
    }

    /// For each axis, whether one of its keys has a value at a point.
    pub(crate) fn applying_axes(&self, point: &Layer) -> Vec<bool> {
        let applies = |axis: &Axis| axis.keys.iter().any(|varied| point.find(varied.section, &varied.key).is_some());
        self.axes.iter().map(applies).collect()
    }

    /// The axes as a search by TPE sees them.
    pub(crate) fn tpe_axes(&self) -> Vec<TpeAxis> {
        self.axes.iter().map(Axis::for_tpe).collect()
    }

    /// All combinations of the axes' values, before any is left out. A range counts as its lower end.
    fn combinations(&self) -> Vec<Layer> {
        let start = vec![Layer::new(Origin::GridPoint)];
        let points = self.axes.iter().fold(start, |points, axis| {
            let extended =
                |point: &Layer| -> Vec<Layer> { (0..axis.len()).map(|at| at_step(point, axis, at)).collect() };
            points.iter().flat_map(extended).collect()
        });
        self.applying(points)
    }

    /// The number of combinations of the axes' values.
    fn size(&self) -> usize {
        self.axes.iter().fold(1, |size: usize, axis| size.saturating_mul(axis.len()))
    }

    /// Reports a grid that is too large, and empties it.
    pub(crate) fn limit(&mut self) -> Option<Diagnostic> {
        let size = Some(self.size()).filter(|size| *size > MAX_POINTS && self.search.kind == SearchKind::Grid)?;
        self.axes = Vec::new();
        let message = format!("the grid has {size} points, and at most {MAX_POINTS} are allowed");
        let diagnostic = Diagnostic::new(self.span.as_ref()?, message);
        Some(diagnostic.help("vary fewer keys, split the method into several, or `search` at random"))
    }

    /// Points without the keys that do not apply at them.
    fn applying(&self, mut points: Vec<Layer>) -> Vec<Layer> {
        if !self.conditions.is_empty() {
            points.iter_mut().for_each(|point| self.drop_inapplicable(point));
            // Points that differed in a dropped key alone are one.
            let mut seen = BTreeSet::new();
            points.retain(|point| seen.insert(text(point)));
        }
        points
    }

    /// Drops the keys that do not apply, until those that are left do: a condition may name a conditional key.
    fn drop_inapplicable(&self, point: &mut Layer) {
        loop {
            let fails = |((section, key), when): &&(Key, PartialPoint)| {
                point.find(*section, key).is_some() && !when.holds(point)
            };
            let Some((key, _)) = self.conditions.iter().find(fails) else { return };
            point.assignments.retain(|one| (one.section, &one.key) != (key.0, &key.1));
        }
    }

    /// Lets overrides take the place of axes: all values of a key that a variable or a flag sets are replaced.
    pub(crate) fn under(&mut self, layers: &Layers) {
        self.excludes = self.excludes.drain(..).filter_map(|exclude| exclude.under(layers)).collect();
        let mut dropped: Vec<Key> = Vec::new();
        self.conditions = std::mem::take(&mut self.conditions)
            .into_iter()
            .filter_map(|(key, when)| match when.under(layers) {
                Some(when) => Some((key, when)),
                None => {
                    dropped.push(key); // it applies at no point
                    None
                }
            })
            .collect();
        for axis in &mut self.axes {
            axis.keys.retain(|varied| {
                !layers.overridden(varied.section, &varied.key)
                    && !dropped.iter().any(|(section, key)| (*section, key) == (varied.section, &varied.key))
            });
        }
        self.axes.retain(|axis| !axis.keys.is_empty());
    }

    /// Reports what leaves out nothing, or everything. `bits` are the method's code lengths. Call it before
    /// [`Grid::under`]: what only an override makes meaningless is no mistake of the file.
    pub(crate) fn check(&self, layers: &Layers, bits: &[u64]) -> Vec<Diagnostic> {
        if self.excludes.is_empty() || self.size() > MAX_POINTS {
            return Vec::new();
        }
        let points = self.combinations();
        let length =
            |exclude: &PartialPoint| exclude.bits.as_ref().is_none_or(|named| named.iter().any(|n| bits.contains(n)));
        let leaves_out = |exclude: &PartialPoint| length(exclude) && points.iter().any(|point| exclude.holds(point));
        let idle = |exclude: &&PartialPoint| !exclude.overridden(layers) && !leaves_out(exclude);
        let report = |exclude: &PartialPoint| {
            let diagnostic =
                Diagnostic::new(&exclude.span, "this `exclude` leaves out nothing: no point has these values");
            diagnostic.help("correct its values, or drop it")
        };
        self.excludes.iter().filter(idle).map(report).collect()
    }

    /// Reports that no run is left.
    pub(crate) fn check_left(&self, bits: &[u64]) -> Option<Diagnostic> {
        let left = |point: &Layer| bits.iter().any(|bits| !self.excludes_bits(point, *bits));
        let span = self.exclude.as_ref().filter(|_| !self.points().iter().any(left))?;
        Some(Diagnostic::new(span, "`exclude` leaves nothing to run").help("drop the method, or exclude fewer points"))
    }
}

/// A point with the values of one more axis at a step.
fn at_step(point: &Layer, axis: &Axis, step: usize) -> Layer {
    let mut point = point.clone();
    point.assignments.extend(axis.at_step(step));
    point
}

/// The settings of a point as text, equal for equal points.
fn text(point: &Layer) -> String {
    let pairs = point.assignments.iter().map(|one| format!("{}={}", one.path(), canonical(&one.value)));
    pairs.collect::<Vec<_>>().join(" ")
}
