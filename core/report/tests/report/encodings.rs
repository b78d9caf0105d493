//! Rows of methods that encode in several ways with the same trained state.

use hashlab_data::Task;
use hashlab_report::{Details, Format, Options, Outcome, Published, SweepReport, render};
use hashlab_store::{EncodingResult, TaskResult};
use serde_json::json;

use crate::sweep::{I2T, T2I, published_cross_modal, two_tasks};
use crate::{csv_column, finished};

/// UCMFH encodes items from one modality, and from both, `paired`, which is better by 0.2.
fn two_encodings() -> SweepReport {
    let mut report = two_tasks();
    report.runs.retain(|run| run.label == "UCMFH" || run.label == "LSH");
    for run in report.runs.iter_mut().filter(|run| run.label == "UCMFH") {
        let Outcome::Finished(result) = &mut run.outcome else { panic!("all runs finished") };
        let better = |(task, found): (&Task, &TaskResult)| {
            let mut found = found.clone();
            found.metrics.values_mut().for_each(|value| *value += 0.2);
            (*task, found)
        };
        let paired = EncodingResult {
            test: result.test.iter().map(better).collect(),
            validation: result.validation.iter().map(better).collect(),
            codes: result.codes.clone(),
        };
        result.encoding = Some("mean".to_owned());
        result.other_encodings.insert("paired".to_owned(), paired);
    }
    report
}

fn paired(mut published: Vec<Published>) -> Vec<Published> {
    published.iter_mut().for_each(|value| value.encoding = Some("paired".to_owned()));
    published
}

#[test]
fn each_encoding_has_a_row_and_published_numbers_stand_below_theirs() {
    let options = Options { times: false, ..Options::new(Format::Text) };
    insta::assert_snapshot!(
        render(&two_encodings(), &paired(published_cross_modal()), &Details::new(), &options).unwrap()
    );
}

#[test]
fn an_encoding_selects_its_setting_by_its_own_validation() {
    let mut report = two_encodings();
    // The second setting is the worse one for codes of one modality, and the better one for paired codes.
    for run in &mut report.runs {
        let second = run.point.get("image.encoder") == Some(&json!("resnet18"));
        if let (true, Outcome::Finished(result)) = (second, &mut run.outcome) {
            for task in [I2T, T2I] {
                let found = result.other_encodings.get_mut("paired").unwrap();
                found.validation.get_mut(&task).unwrap().metrics.values_mut().for_each(|value| *value += 0.5);
            }
        }
    }
    let labels = csv_column(&report, &[], "label", false);
    let points = csv_column(&report, &[], "point", false);
    for (label, point) in labels.iter().zip(&points).filter(|(label, _)| label.starts_with("UCMFH")) {
        let expected = if label == "UCMFH (mean)" { "clip_b32" } else { "resnet18" };
        assert!(point.contains(expected), "{label}: {point}");
    }
}

#[test]
fn runs_that_are_not_finished_are_missing_in_every_row_of_their_label() {
    let mut report = two_encodings();
    report.runs.iter_mut().filter(|run| run.bits == 64).for_each(|run| run.outcome = Outcome::Missing);
    let states = csv_column(&report, &[], "state", false);
    let labels = csv_column(&report, &[], "label", false);
    for label in ["UCMFH (mean)", "UCMFH (paired)", "LSH"] {
        let of_label: Vec<&str> =
            labels.iter().zip(&states).filter(|(l, _)| *l == label).map(|(_, state)| state.as_str()).collect();
        assert_eq!(of_label, ["complete", "complete", "complete", "complete", "missing", "missing"], "{label}");
    }
    let before = csv_column(&report, &[], "label", false).len();
    finished(&mut report).for_each(|result| {
        result.encoding = None;
        result.other_encodings.clear();
    });
    assert_eq!(csv_column(&report, &[], "label", false).len(), before / 3 * 2, "one row without encodings");
}
