//! What is allowed in an experiment file and nevertheless is likely to be a mistake.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::active::{active, applicable};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::experiment::Experiment;
use crate::grid::{Domain, Varied};
use crate::layers::{Assignment, Base};
use crate::method_table::MethodTable;
use crate::plan::Plan;
use crate::row_point::Key;
use crate::scope::Scope;
use crate::section::Section;

impl Experiment {
    /// Lists what is likely to be a mistake: shared settings that change nothing for any method, seeds that no method
    /// uses, lists of one value in a grid, methods without a run of their own. `plan` is the experiment's.
    pub fn warnings(&self, plan: &Plan) -> Option<Diagnostics> {
        let mut found = self.unused_settings();
        found.extend(self.unused_seeds());
        found.extend(self.single_values());
        found.extend(self.methods_without_runs(plan));
        (!found.is_empty()).then(|| Diagnostics::warnings(self.sources.clone(), found))
    }

    /// Shared settings of the file that are active at no point of any method.
    fn unused_settings(&self) -> Vec<Diagnostic> {
        let mut used: BTreeSet<Key> = BTreeSet::new();
        for table in &self.methods {
            let scope = Scope {
                catalog: &self.catalog,
                dataset: Some(&self.dataset),
                description: Some(&self.description),
                method: Some(&self.catalog.methods[table.method]),
            };
            let base = Base::new(scope, self.layers.below(&table.fixed));
            for point in table.points() {
                let merged = base.merged(&self.layers.above(&point));
                for (section, settings) in active(&merged, &applicable(&merged, &table.modalities)) {
                    used.extend(settings.keys().map(|key| (section, key.clone())));
                }
            }
        }
        let varied = |one: &&Assignment| matches!(one.section, Section::Train | Section::Encoder(_));
        let set = self.layers.files.iter().flat_map(|file| &file.assignments).filter(varied);
        let unused = set.filter(|one| !used.contains(&(one.section, one.key.clone())));
        unused
            .map(|one| Diagnostic::new(&one.span, format!("`{}` changes nothing for any method", one.path())))
            .collect()
    }

    fn unused_seeds(&self) -> Option<Diagnostic> {
        let reads = |table: &MethodTable| {
            self.catalog.methods[table.method].seeded && table.fixed.find(Section::General, "seeds").is_none()
        };
        let read = self.methods.iter().any(reads);
        let set = self.layers.files.iter().rev().find_map(|file| file.find(Section::General, "seeds"))?;
        let several = matches!(&set.value, Value::Array(seeds) if seeds.len() > 1);
        (several && !read)
            .then(|| Diagnostic::new(&set.span, "no method draws from these seeds").help("leave `seeds` out"))
    }

    fn single_values(&self) -> Vec<Diagnostic> {
        let keys = self.methods.iter().flat_map(|table| &table.grid.axes).flat_map(|axis| &axis.keys);
        let single = keys.filter(|varied| matches!(&varied.domain, Domain::List(values) if values.len() == 1));
        let report = |varied: &Varied| {
            let message = format!("`{}` has one value, so it varies nothing", varied.path());
            Diagnostic::new(&varied.list()[0].span, message).help("set it outside of the grid, or add values")
        };
        single.map(report).collect()
    }

    fn methods_without_runs(&self, plan: &Plan) -> Vec<Diagnostic> {
        let own: BTreeSet<usize> = plan.runs.iter().map(|run| run.method).collect();
        let idle = self.methods.iter().enumerate().filter(|(index, _)| !own.contains(index));
        idle.map(|(_, table)| {
            Diagnostic::new(&table.span, "all runs of this method are those of a method above")
                .help("drop it, or give it settings of its own")
        })
        .collect()
    }
}
