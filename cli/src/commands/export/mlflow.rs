//! Runs for an MLflow server, over its REST interface.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use serde_json::{Value, json};

use super::Exported;
use crate::commands::runs::{plain, settings_of};
use crate::exit::bad_input;

/// Most parameters, metrics and tags of one request, as MLflow documents them.
const PARAMS: usize = 100;
const METRICS: usize = 1000;
/// Longest value of a parameter.
const LONGEST: usize = 6000;

/// Sends every run to the experiment `name`, which is made if need be. A run that was sent before is skipped: its tag
/// `hashlab.run` holds its id.
pub(super) fn send(url: &str, name: &str, runs: &[Exported]) -> Result<()> {
    let server = Server { url: url.trim_end_matches('/').to_owned(), agent: agent() };
    let experiment = server.experiment(name)?;
    for run in runs {
        if !server.has(&experiment, run)? {
            server.run(&experiment, run).with_context(|| format!("run `{}` was not sent", run.id))?;
        }
    }
    Ok(())
}

fn agent() -> ureq::Agent {
    ureq::AgentBuilder::new().timeout(Duration::from_secs(60)).build()
}

struct Server {
    url: String,
    agent: ureq::Agent,
}

impl Server {
    /// Calls a method of the interface; `None` where the server knows no such thing.
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Option<Value>> {
        let address = format!("{}/api/2.0/mlflow/{path}", self.url);
        let request = self.agent.request(method, &address);
        let answer = match method {
            "GET" => {
                let fields = body.as_object().into_iter().flatten();
                fields.fold(request, |request, (name, value)| request.query(name, &plain(value))).call()
            }
            _ => request.set("Content-Type", "application/json").send_string(&body.to_string()),
        };
        match answer {
            Ok(answer) => Ok(Some(serde_json::from_str(&answer.into_string()?).context("the server sent no JSON")?)),
            Err(ureq::Error::Status(404, answer)) if answer.content_type() == "application/json" => Ok(None),
            Err(ureq::Error::Status(status, answer)) => {
                let text = answer.into_string().unwrap_or_default();
                let told = serde_json::from_str::<Value>(&text).ok().map(|told| plain(&told["message"]));
                let told = told.unwrap_or_else(|| text.chars().take(200).collect());
                Err(bad_input(format!("{address} answers {status}: {told}")))
            }
            Err(ureq::Error::Transport(error)) => {
                Err(bad_input(format!("{error}\nhelp: `mlflow server` starts one at http://127.0.0.1:5000")))
            }
        }
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.call("POST", path, body)?.ok_or_else(|| bad_input(format!("{} has no `{path}`", self.url)))
    }

    /// The id of the experiment `name`.
    fn experiment(&self, name: &str) -> Result<String> {
        let found = self.call("GET", "experiments/get-by-name", &json!({ "experiment_name": name }))?;
        let id = match found {
            Some(found) => found["experiment"]["experiment_id"].clone(),
            None => self.post("experiments/create", &json!({ "name": name }))?["experiment_id"].clone(),
        };
        id.as_str().map(str::to_owned).ok_or_else(|| anyhow!("the server told no id of the experiment"))
    }

    /// Whether the experiment has the run, whole.
    fn has(&self, experiment: &str, run: &Exported) -> Result<bool> {
        let filter = format!("tags.`hashlab.run` = '{}' and tags.`hashlab.state` = '{}'", run.id, run.state);
        let body = json!({ "experiment_ids": [experiment], "filter": filter, "max_results": 1 });
        let found = self.post("runs/search", &body)?;
        Ok(found["runs"].as_array().is_some_and(|runs| !runs.is_empty()))
    }

    /// Sends a run. The tag with its state comes last, so that a run that was sent in part is sent again.
    fn run(&self, experiment: &str, run: &Exported) -> Result<()> {
        let started = run.started * 1000;
        let body = json!({
            "experiment_id": experiment,
            "run_name": run.id,
            "start_time": started,
            "tags": [{ "key": "hashlab.run", "value": run.id }, { "key": "hashlab.label", "value": run.label }],
        });
        let created = self.post("runs/create", &body)?;
        let id = created["run"]["info"]["run_id"].clone();
        let params: Vec<Value> = settings_of(&run.config)?
            .into_iter()
            .map(|(key, value)| json!({ "key": key, "value": plain(&value).chars().take(LONGEST).collect::<String>() }))
            .collect();
        for params in params.chunks(PARAMS) {
            self.post("runs/log-batch", &json!({ "run_id": id, "params": params }))?;
        }
        for metrics in metrics(run, started).chunks(METRICS) {
            self.post("runs/log-batch", &json!({ "run_id": id, "metrics": metrics }))?;
        }
        let seconds: f64 = run.result.as_ref().map_or(0.0, |result| result.total_seconds());
        let status = match run.state {
            "finished" => "FINISHED",
            "failed" => "FAILED",
            "running" => "RUNNING",
            _ => "KILLED",
        };
        let ended = started + (seconds * 1000.0) as u64;
        self.post("runs/update", &json!({ "run_id": id, "status": status, "end_time": ended }))?;
        self.post("runs/set-tag", &json!({ "run_id": id, "key": "hashlab.state", "value": run.state }))?;
        Ok(())
    }
}

/// The curves of training by epoch, and the metrics at the last one.
fn metrics(run: &Exported, time: u64) -> Vec<Value> {
    let metric =
        |key: &str, value: f64, step: u64| json!({ "key": key, "value": value, "timestamp": time, "step": step });
    let mut metrics = Vec::new();
    for point in &run.journal {
        let finite = point.values.iter().filter_map(|(key, value)| Some((key, (*value)?)));
        metrics.extend(finite.map(|(key, value)| metric(key, value, point.step)));
    }
    let last = run.journal.last().map_or(0, |point| point.step);
    metrics.extend(run.metrics().iter().map(|(key, value)| metric(key, *value, last)));
    metrics
}
