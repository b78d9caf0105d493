//! Made-up things that runs left beside their results.

use std::collections::BTreeMap;

use hashlab_data::{ByModality, Modality, SmallMap};
use hashlab_report::{Details, Outcome, ReportedRun, RunDetails, SweepReport};
use hashlab_settings::Settings;
use hashlab_store::{
    BitProfile, CodeProfile, DistanceProfile, Name, Neighbors, Point, QueryResults, RunConfig, SCHEMA, ShownItem,
    ShownItems, TaskQueries,
};
use serde_json::json;

use crate::sweep::{Ends, I2I, setting, sweep};

/// Text that would end a script, an attribute and a line of a table, if anything forgot to escape it.
pub(crate) const HOSTILE: &str =
    "</script><script>alert(1)</script> \"quoted\" & '<img src=x onerror=alert(1)>' $x_1$ | ]]>";

/// A JPEG of a colored shape.
const JPEG: &str = concat!(
    "/9j/4AAQSkZJRgABAgAAAQABAAD/wAARCAAgACADAREAAhEBAxEB/9sAQwAGBAUGBQQGBgUGBwcGCAoQCgoJCQoUDg8MEBcUGBgX",
    "FBYWGh0lHxobIxwWFiAsICMmJykqKRkfLTAtKDAlKCko/9sAQwEHBwcKCAoTCgoTKBoWGigoKCgoKCgoKCgoKCgoKCgoKCgoKCgo",
    "KCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUF",
    "BAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVW",
    "V1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi",
    "4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAEC",
    "AxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVm",
    "Z2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq",
    "8vP09fb3+Pn6/9oADAMBAAIRAxEAPwDwvzCOKZI3GeTTsx8rFxiizDlYpPT1pCHFOeKAG1sdAUAOK/KD61k9zCW49WHekIirY3Cg",
    "CQY2isnuYy3IwvHFIQ0pQADigBwftQB//9k=",
);

/// The example sweep with curves, and everything that its runs left; HashNet's error is hostile.
pub(crate) fn everything() -> (SweepReport, Details) {
    let mut report = sweep();
    for run in &mut report.runs {
        if let Outcome::Failed { first_line } = &mut run.outcome {
            HOSTILE.clone_into(first_line);
        }
    }
    let details = leave(&mut report);
    (report, details)
}

/// A thousand runs: ten rows, five code lengths, four settings, five seeds.
pub(crate) fn thousand() -> (SweepReport, Details) {
    let mut runs = Vec::new();
    for row in 0..10 {
        for (i, bits) in [8, 16, 32, 64, 128].into_iter().enumerate() {
            for point in 0..4 {
                let (beta, tau) = ([0.001, 0.01][point % 2], [0.2, 0.3][point / 2]);
                let map = |seed: f64| 0.2 + 0.04 * row as f64 + 0.05 * i as f64 + 0.01 * point as f64 + 0.004 * seed;
                let fates = [0.0, 1.0, 2.0, 3.0, 4.0].map(|seed| Ends(map(seed), map(seed) - 0.01));
                setting(&mut runs, &format!("Method {row}"), json!({ "beta": beta, "tau": tau }), bits, &fates);
            }
        }
    }
    let mut report = SweepReport { name: "thousand".to_owned(), runs, ..sweep() };
    let details = leave(&mut report);
    (report, details)
}

/// Gives results their curves, and makes up what their runs left.
fn leave(report: &mut SweepReport) -> Details {
    let mut details = Details::new();
    for run in &mut report.runs {
        let bits = run.bits;
        let quality = run.finished().map(|r| r.test[&I2I].metrics["map_at_k"]);
        if let Outcome::Finished(result) = &mut run.outcome {
            for found in result.test.values_mut() {
                found.curves = curves(bits, quality.unwrap_or_default());
            }
        }
        details.insert(run.run.clone(), left(run, quality));
    }
    details
}

fn curves(bits: usize, quality: f64) -> SmallMap<Name, Vec<f64>> {
    let ranks = [1.0, 10.0, 100.0, 1000.0];
    let share = |radius: usize| (radius as f64 / bits as f64).powi(2);
    let curves: [(&str, Vec<f64>); 6] = [
        ("ranks", ranks.to_vec()),
        ("precision_at", ranks.iter().map(|n| quality + 0.1 - 0.03 * n.log10()).collect()),
        ("recall_at", ranks.iter().map(|n| quality * n / 5000.0).collect()),
        ("radius_precision", (0..=bits).map(|r| (quality + 0.2) * (1.0 - share(r)) + 0.1 * share(r)).collect()),
        ("radius_recall", (0..=bits).map(share).collect()),
        ("radius_nonempty", (0..=bits).map(|r| (r * 10) as f64).collect()),
    ];
    curves.map(|(name, values)| (name.to_owned(), values)).into()
}

fn left(run: &ReportedRun, quality: Option<f64>) -> RunDetails {
    let deep = run.label != "LSH" && run.label != "ITQ";
    let mut details = RunDetails {
        config: Some(config(run).into()),
        directory: format!("runs/store/ab/{}", run.run),
        log: format!("WARN {HOSTILE}\n"),
        ..RunDetails::default()
    };
    if let Outcome::Failed { first_line } = &run.outcome {
        details.error = Some(format!("{first_line}\ncaused by: {HOSTILE}"));
    }
    if let (Some(quality), true) = (quality, deep) {
        details.journal = journal(quality, run.seed);
    }
    if let Some(quality) = quality {
        details.codes = Some(codes(run.bits, quality));
        (details.queries, details.items) = queries();
    }
    details
}

fn config(run: &ReportedRun) -> RunConfig {
    RunConfig {
        schema: SCHEMA,
        method: run.method.to_string(),
        revision: 1,
        params: run.point.as_ref().clone(),
        bits: run.bits,
        seed: run.seed,
        dataset: "cifar10".to_owned(),
        dataset_identity: "1".to_owned(),
        data: Settings::new(),
        protocol: "cibhash".to_owned(),
        split_seed: 0,
        encoders: ByModality::one(Modality::Image, settings(json!({ "encoder": "mobilenet_v2" }))),
        train: settings(json!({ "epochs": 60 })),
        eval: settings(json!({ "map_at": 1000 })),
    }
}

fn settings(value: serde_json::Value) -> Settings {
    value.as_object().expect("a table").clone()
}

fn journal(quality: f64, seed: u64) -> Vec<Point> {
    let values = |name: &str, value: f64| BTreeMap::from([(name.to_owned(), Some(value))]);
    let mut points = Vec::new();
    for epoch in 1..=60u64 {
        let decay = (-(epoch as f64) / 15.0).exp();
        points.push(Point { step: epoch, values: values("loss", 1.0 + decay + 0.05 * (seed as f64) * decay) });
        if epoch % 10 == 0 {
            points.push(Point { step: epoch, values: values("validation_map", quality * (1.0 - 0.4 * decay)) });
        }
    }
    points
}

fn codes(bits: usize, quality: f64) -> CodeProfile {
    let ones = (0..bits).map(|bit| 0.5 + 0.2 * ((bit * 7) as f64).sin()).collect();
    let pairs = (bits * (bits - 1) / 2) as u64;
    let correlations = (0..20).map(|bin| pairs / (bin + 2)).collect();
    let profile = BitProfile {
        ones,
        correlations,
        mean_correlation: 0.12,
        largest_correlation: 0.7,
        pairs: correlated(bits),
        ..BitProfile::default()
    };
    let hill = |center: f64| {
        (0..=bits).map(move |d| (1e4 * (-((d as f64 / bits as f64 - center) * 6.0).powi(2)).exp()) as u64)
    };
    let distances =
        DistanceProfile { queries: 200, relevant: hill(0.5 - 0.4 * quality).collect(), others: hill(0.5).collect() };
    CodeProfile { bits: ByModality::one(Modality::Image, profile), distances: [(I2I, distances)].into() }
}

/// Correlations of all pairs in hundredths; the third bit is constant.
fn correlated(bits: usize) -> Vec<Option<i8>> {
    let pairs = (0..bits).flat_map(|i| (0..i).map(move |j| (i, j)));
    pairs.map(|(i, j)| (i != 2 && j != 2).then(|| (((i * 37 + j * 11) % 201) as i32 - 100) as i8)).collect()
}

fn queries() -> (Option<QueryResults>, Option<ShownItems>) {
    let found = |query: u32, average_precision: f32| Neighbors {
        query,
        average_precision,
        items: (100..110).collect(),
        relevant: (0..10).map(|i| i as f32 / 10.0 < average_precision).collect(),
    };
    let queries = TaskQueries {
        average_precision: vec![0.9, 0.1],
        best: vec![found(1, 0.9), found(2, 0.8)],
        worst: vec![found(3, 0.1)],
    };
    let item = |index: u32| ShownItem {
        jpeg: Some(JPEG.to_owned()),
        text: None,
        labels: vec![if index == 105 { HOSTILE.to_owned() } else { "truck".to_owned() }],
    };
    let items = ShownItems { items: ByModality::one(Modality::Image, (0..110).map(|i| (i, item(i))).collect()) };
    (Some(QueryResults { tasks: [(I2I, queries)].into() }), Some(items))
}
