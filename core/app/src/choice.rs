//! The runs of a plan that a command is about.

use std::collections::BTreeSet;

use anyhow::Result;
use hashlab_settings::nearest;
use hashlab_sweep::{Plan, PlannedRun, Selector};

use crate::error::bad_input;
use crate::workspace::Workspace;

/// A part of a plan's runs, and those of them that are repeated although they have a result.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// The runs that any of these selects; without one, all.
    pub only: Vec<Selector>,
    /// The runs whose results are discarded.
    pub rerun: Vec<Selector>,
}

impl Choice {
    /// Whether a run in this state is meant.
    pub(crate) fn takes(&self, run: &PlannedRun, state: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|selector| selector.selects(run, state))
    }

    /// Whether a run in this state is repeated.
    pub(crate) fn repeats(&self, run: &PlannedRun, state: &str) -> bool {
        self.rerun.iter().any(|selector| selector.selects(run, state))
    }

    /// Reports a selector that selects none of a plan's runs.
    ///
    /// # Errors
    /// [`BadInput`](crate::BadInput) if there is one, or if a run's id is invalid.
    pub(crate) fn check(&self, workspace: &Workspace, plan: &Plan) -> Result<()> {
        let store = workspace.dirs.store();
        for (flag, selectors) in [("--only", &self.only), ("--rerun", &self.rerun)] {
            for selector in selectors {
                let mut found = false;
                for run in &plan.runs {
                    found =
                        found || selector.selects(run, "") || selector.selects(run, store.run(&run.id)?.state().name());
                    if found {
                        break;
                    }
                }
                if !found {
                    return Err(nothing(workspace, plan, flag, selector.text()));
                }
            }
        }
        Ok(())
    }
}

fn nothing(workspace: &Workspace, plan: &Plan, flag: &str, text: &str) -> anyhow::Error {
    if workspace.registry.method(text).is_ok() {
        let purpose = if flag == "--rerun" { "repeats" } else { "selects" };
        return bad_input(format!("the sweep has no run of `{text}`, so that `{flag} {text}` {purpose} nothing"));
    }
    let message = format!("`{flag} {text}` selects no run of the sweep");
    let help = "name a method, a label, a state such as `failed`, the beginning of a run ID, or `key=value`; terms with \
                commas between them must all apply";
    let methods: BTreeSet<&str> = plan.runs.iter().map(|run| run.template().method.as_str()).collect();
    match nearest(text, methods) {
        Some(near) => bad_input(format!("{message}\nhelp: did you mean `{near}`?\nhelp: {help}")),
        None => bad_input(format!("{message}\nhelp: {help}")),
    }
}
