//! Intervals over seeds and over queries.

use hashlab_data::Task;
use hashlab_report::{Details, Format, IntervalOver, Options, RunDetails, SweepReport, compare, render};
use hashlab_store::{QueryResults, TaskQueries};

use crate::options;
use crate::sweep::{I2T, T2I, two_tasks};

/// A hundred queries of every run around its mAP, of two tasks.
fn queries(report: &SweepReport) -> Details {
    let of_run = |run: &hashlab_report::ReportedRun| {
        let result = run.finished()?;
        let task = |task: Task| {
            let map = result.test[&task].metrics["map_at_k"];
            let average_precision = (0..100).map(|query| (map + f64::from(query - 50) / 500.0) as f32).collect();
            (task, TaskQueries { average_precision, ..TaskQueries::default() })
        };
        let queries = QueryResults { tasks: [task(I2T), task(T2I)].into() };
        Some((run.run.clone(), RunDetails { queries: Some(queries), ..RunDetails::default() }))
    };
    report.runs.iter().filter_map(of_run).collect()
}

fn table(interval: IntervalOver, details: &Details) -> String {
    let options = Options { interval: Some(interval), times: false, ..options(Format::Text) };
    render(&two_tasks(), &[], details, &options).unwrap()
}

#[test]
fn intervals_over_seeds_are_those_of_student() {
    let text = table(IntervalOver::Seeds, &Details::new());
    // Mean 0.71, deviation 0.01, three seeds: 0.71 ± 4.303 · 0.01 / √3.
    assert!(text.contains("0.710 [0.685, 0.735]") && !text.contains(" ± "), "{text}");
    assert!(text.contains("[95 % interval by Student's t]"), "{text}");
}

#[test]
fn intervals_over_queries_come_from_what_runs_kept() {
    let text = table(IntervalOver::Queries, &queries(&two_tasks()));
    let [low, high] = {
        let cell = text.split("0.710 [").nth(1).and_then(|rest| rest.split_once(']')).expect("an interval").0;
        let (low, high) = cell.split_once(", ").expect("two ends");
        [low, high].map(|end| end.parse::<f64>().unwrap())
    };
    // The standard error of the mean of the hundred queries is 0.0058.
    assert!((low - 0.698).abs() < 0.003 && (high - 0.720).abs() < 0.003, "{low} {high}");
    assert!(!table(IntervalOver::Queries, &Details::new()).contains("0.710 ["), "the queries are not known");
}

#[test]
fn a_difference_in_every_query_is_certain() {
    let report = two_tasks();
    let rows = ["UCMFH".to_owned(), "CCA".to_owned()];
    let csv = compare(&report, &queries(&report), &rows, &options(Format::Csv)).unwrap();
    let line = csv.lines().find(|line| line.starts_with("UCMFH,CCA,i2t,16,")).unwrap();
    let fields: Vec<f64> = line.split(',').skip(5).map(|field| field.parse().unwrap()).collect();
    let (n, difference, effect, p) = (fields[0], fields[1], fields[4], fields[5]);
    assert_eq!(n, 3.0, "{line}");
    assert!((difference - 0.21).abs() < 1e-9 && (effect - 21.0).abs() < 1e-6 && p < 0.001, "{line}");
    // All queries differ alike, so that no resample changes the mean.
    assert!((fields[7] - 0.21).abs() < 1e-6 && (fields[8] - 0.21).abs() < 1e-6, "{line}");
}
