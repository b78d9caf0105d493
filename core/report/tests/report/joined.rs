//! Several sweeps in one table.

use hashlab_report::{
    Definition, Details, Format, Options, Outcome, Published, ReportError, SweepReport, render_joined,
};
use hashlab_store::SPLIT;

use crate::options;
use crate::sweep::{Ends, published, published_cross_modal, setting, sweep, two_tasks};

/// A sweep of one more method on the data set of [`sweep`], in codes of 16 and 48 bits.
fn more() -> SweepReport {
    let mut runs = Vec::new();
    for bits in [16, 48] {
        setting(&mut runs, "NSH", serde_json::json!({}), bits, &[Ends(0.8, 0.8), Ends(0.81, 0.8), Ends(0.82, 0.8)]);
    }
    SweepReport { name: "more".to_owned(), runs, ..sweep() }
}

fn all_published() -> Vec<Published> {
    [published(), published_cross_modal()].concat()
}

fn joined(reports: &[SweepReport], options: &Options) -> Result<String, ReportError> {
    render_joined(reports, &all_published(), &Details::new(), options)
}

#[test]
fn text_of_two_data_sets() {
    insta::assert_snapshot!(joined(&[sweep(), two_tasks()], &options(Format::Text)).unwrap());
}

#[test]
fn latex_of_one_data_set_in_two_sweeps() {
    insta::assert_snapshot!(joined(&[sweep(), more()], &options(Format::Latex)).unwrap());
}

#[test]
fn markdown_has_a_row_per_task_and_method() {
    let text = joined(&[two_tasks(), sweep()], &options(Format::Markdown)).unwrap();
    let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| UCMFH |")).collect();
    assert_eq!(rows.len(), 2, "{text}");
    for block in ["*I→I*", "*I→T*", "*T→I*"] {
        assert!(text.contains(block), "{block}: {text}");
    }
}

/// Other items or another split of a data set have other numbers.
#[test]
fn sweeps_of_other_samples_have_columns_of_their_own() {
    let of = |name: &str, sample: &str| {
        let mut report = more();
        report.name = name.to_owned();
        report.header.sample = Some(sample.to_owned());
        report.header.notes = vec![format!("drawn as {sample}")];
        for run in &mut report.runs {
            let Outcome::Finished(result) = &mut run.outcome else { panic!("all have finished") };
            result.provenance.insert(SPLIT, format!("{} queries, 90 database items", sample.len()));
        }
        report
    };
    let csv = |other: &str| joined(&[of("one", "a"), of("two", other)], &options(Format::Json)).unwrap();
    let groups =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap()["sweeps"].as_array().unwrap().len();
    assert_eq!((groups(&csv("a")), groups(&csv("b"))), (1, 2));
    let text = joined(&[of("one", "a"), of("two", "b")], &options(Format::Text)).unwrap();
    assert!(text.contains("(one)") && text.contains("(two)"), "{text}");
    assert!(text.contains("drawn as a") && text.contains("drawn as b"), "{text}");
    // The numbers of items are stated where they differ, with the columns that they belong to.
    assert!(text.contains("1 queries, 90 database items"), "{text}");
    let text = joined(&[of("one", "a"), of("two", "bb")], &options(Format::Text)).unwrap();
    let items: Vec<&str> = text.lines().filter(|line| line.contains(" queries, 90 database items")).collect();
    assert!(
        items.len() == 2 && items[0].contains("(one): 1 queries") && items[1].contains("(two): 2 queries"),
        "{text}"
    );
}

#[test]
fn rows_of_equal_names_and_other_runs_stay_apart() {
    let mut other = sweep();
    other.name = "again".to_owned();
    other.runs.iter_mut().for_each(|run| run.run.0 += "0");
    let text = joined(&[sweep(), other], &options(Format::Text)).unwrap();
    let twice = joined(&[sweep(), sweep()], &options(Format::Text)).unwrap();
    assert!(text.contains("CIBHash (again)") && !twice.contains("CIBHash ("), "{text}\n{twice}");
}

#[test]
fn programs_get_every_sweep() {
    let csv = joined(&[sweep(), two_tasks()], &options(Format::Csv)).unwrap();
    assert_eq!(csv.lines().filter(|line| line.starts_with("sweep,")).count(), 1, "{csv}");
    assert!(csv.lines().any(|line| line.starts_with("cross_modal,")), "{csv}");
    let json = joined(&[sweep(), two_tasks()], &options(Format::Json)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["sweeps"].as_array().unwrap().len(), 2);
}

#[test]
fn what_has_no_joined_form_is_refused() {
    let both = [sweep(), two_tasks()];
    assert!(matches!(joined(&both, &options(Format::Jsonl)), Err(ReportError::JsonlOfSeveral)));
    let all = Options { all: true, ..options(Format::Text) };
    assert!(matches!(joined(&both, &all), Err(ReportError::AllOfSeveral)));
    let timed = Options { latency: true, ..options(Format::Text) };
    assert!(matches!(joined(&both, &timed), Err(ReportError::TimesOfSeveral)));
    let mut other = two_tasks();
    other.header.definition = Definition::MinDivisor;
    let error = joined(&[sweep(), other], &options(Format::Text)).unwrap_err().to_string();
    assert!(error.contains("top_k") && error.contains("min_divisor") && error.contains("--metric"), "{error}");
}
