//! Gathers what a plan's runs left on disk into the data of a report.

use std::io::ErrorKind;

use anyhow::{Context as _, Result, bail, ensure};
use hashlab_engine::report::{Entry, Header, Outcome, SweepReport};
use hashlab_engine::store::{RunState, Store};
use hashlab_engine::sweep::{Plan, PlannedRun};
use hashlab_engine::{RunConfig, Settings, Status};

/// Name of the file that says which plan of a sweep is the present one.
pub(crate) const PRESENT: &str = "plan";

/// Name of the file that holds the command that made the present plan.
pub(crate) const COMMAND: &str = "command";

/// Reads the present plan of the sweep `name`.
pub(crate) fn present_plan(store: &Store, name: &str) -> Result<Plan> {
    let sweep = store.sweep(name)?;
    let path = sweep.path().join(PRESENT);
    let digest = match std::fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("there is no sweep `{name}` under {}", store.root().display())
        }
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let lines = String::from_utf8(sweep.read_plan(digest.trim())?)?;
    Ok(Plan::from_jsonl(&lines)?)
}

/// Collects the outcomes of a plan.
pub(crate) fn report_of(store: &Store, plan: &Plan) -> Result<SweepReport> {
    ensure!(!plan.runs.is_empty(), "the plan holds no runs");
    let entries: Result<Vec<Entry>> = plan.runs.iter().enumerate().map(|(at, run)| entry(store, at, run)).collect();
    let command = std::fs::read_to_string(store.sweep(&plan.name)?.path().join(COMMAND))
        .unwrap_or_else(|_| format!("hashlab sweep {}.toml", plan.name));
    Ok(SweepReport { name: plan.name.clone(), header: header(plan, command), entries: entries? })
}

fn entry(store: &Store, position: usize, run: &PlannedRun) -> Result<Entry> {
    let outcome = match store.run(&run.id)?.state() {
        RunState::Finished(result) => match result.status {
            Status::Finished => Outcome::Finished(*result),
            Status::Diverged => Outcome::Diverged(*result),
        },
        RunState::Failed(failure) => {
            Outcome::Failed { first_line: failure.message.lines().next().unwrap_or_default().to_owned() }
        }
        RunState::Running | RunState::Interrupted { .. } | RunState::Missing => Outcome::Missing,
    };
    Ok(Entry {
        position,
        label: run.label.clone(),
        trial: run.trial.clone(),
        point: run.point.clone(),
        bits: run.config.bits,
        seed: run.config.seed,
        run: run.id.clone(),
        outcome,
    })
}

/// Describes the backbones of a plan: the one of `fullest`, then those that differ, with the rows that stand on them.
fn backbones(plan: &Plan, fullest: &RunConfig) -> String {
    let main = backbone(&fullest.backbone);
    let digest = |section: &Settings| section.get("digest").and_then(|d| d.as_str()).unwrap_or_default().to_owned();
    // A run without views of its own stands on the same frozen network.
    let frozen = |text: &str| text.split(", ").take(2).collect::<Vec<_>>().join(", ");
    let mut others: Vec<(String, Vec<&str>)> = Vec::new();
    for run in &plan.runs {
        let (mut text, weights) = (backbone(&run.config.backbone), digest(&run.config.backbone));
        if weights != digest(&fullest.backbone) {
            text += &format!(", weights {}", &weights[..weights.len().min(12)]);
        } else if text == main || text == frozen(&main) {
            continue;
        }
        match others.iter_mut().find(|(known, _)| *known == text) {
            Some((_, rows)) if rows.contains(&run.label.as_str()) => {}
            Some((_, rows)) => rows.push(&run.label),
            None => others.push((text, vec![&run.label])),
        }
    }
    let other = |(text, rows): (String, Vec<&str>)| format!("; {}: {text}", rows.join(", "));
    main + &others.into_iter().map(other).collect::<String>()
}

/// Describes one `[backbone]`, as far as it can change a result.
fn backbone(section: &Settings) -> String {
    let value = |key: &str| section.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
    let text = |key: &str| value(key).unwrap_or_default();
    let (name, size) = (text("name"), text("size"));
    if section.get("finetune").is_some_and(|on| on == true) {
        let start = if text("digest") == "random" { "from random weights" } else { "from pretrained weights" };
        let norm = value("norm").map(|norm| format!(", batch norm: {norm}")).unwrap_or_default();
        return format!(
            "{name} at {size} px trained with the method {start} (learning rate × {}{norm})",
            text("learning_rate_scale"),
        );
    }
    let views = value("views").map(|views| format!(", {views} stored views per training item")).unwrap_or_default();
    let cut = value("cut").map(|cut| format!(", layers behind {cut} with dropout in every step")).unwrap_or_default();
    // Absent where it is f32.
    let compute = value("compute").map(|compute| format!(" in {compute}")).unwrap_or_default();
    format!("frozen {name}{compute}, {size} px{views}{cut}")
}

fn header(plan: &Plan, command: String) -> Header {
    // Views belong to the runs that draw them.
    let fullest = plan.runs.iter().find(|run| run.config.backbone.contains_key("views")).unwrap_or(&plan.runs[0]);
    let config = &fullest.config;
    let text = |settings: &Settings, key: &str| {
        settings.get(key).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let select = plan.runs.iter().find_map(|run| text(&run.config.train, "select"));
    let selection = match select.as_deref() {
        Some("last") => "last",
        Some(_) => "best(validation)",
        None => "none (closed form)",
    };
    Header {
        dataset: plan.dataset.clone(),
        dataset_title: plan.dataset_title.clone(),
        dataset_digest: Some(config.dataset_identity.clone()),
        protocol: plan.protocol.clone(),
        protocol_description: plan.protocol_description.clone(),
        map_at: config.eval.get("map_at").and_then(serde_json::Value::as_u64).unwrap_or(0) as usize,
        selection: selection.to_owned(),
        backbone: backbones(plan, config),
        weights_digest: text(&config.backbone, "digest").filter(|digest| digest != "random"),
        command,
        notes: vec![format!(
            "database order drawn by split_seed {}; ties in distance rank by position",
            config.split_seed
        )],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frozen_backbone_tells_what_it_computes_in_unless_that_is_f32() {
        let mut section = Settings::new();
        section.insert("name".into(), "vgg16".into());
        section.insert("size".into(), 224.into());
        assert_eq!(backbone(&section), "frozen vgg16, 224 px");
        section.insert("compute".into(), "bf16".into());
        assert_eq!(backbone(&section), "frozen vgg16 in bf16, 224 px");
    }

    #[test]
    fn a_trained_backbone_tells_of_batch_norms_where_it_has_some() {
        let mut section = Settings::new();
        for (key, value) in [("name", "resnet18".into()), ("size", 224.into()), ("finetune", true.into())] {
            section.insert(key.into(), value);
        }
        section.insert("digest".into(), "random".into());
        section.insert("learning_rate_scale".into(), 0.1.into());
        let start = "resnet18 at 224 px trained with the method from random weights (learning rate × 0.1";
        assert_eq!(backbone(&section), format!("{start})"));
        section.insert("norm".into(), "frozen".into());
        assert_eq!(backbone(&section), format!("{start}, batch norm: frozen)"));
    }
}
