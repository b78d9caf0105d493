//! The tables of a made-up sweep.

mod sweep;

use std::collections::BTreeMap;

use hashlab_engine::report::{
    Format, HEADLINE, Options, Outcome, Published, ReportError, SweepReport, render, results_jsonl,
};
use hashlab_engine::{RunResult, Status};
use serde_json::json;
use sweep::{EXPECTED, Ends, Fails, MISSED, Waits, published, result, sweep, trial};

fn rendered(report: &SweepReport, options: &Options) -> String {
    render(report, &published(), options).expect("the metrics were measured")
}

fn options(format: Format) -> Options {
    Options::new(format)
}

// ---- what it looks like -----------------------------------------------------------------------------------------

#[test]
fn text() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Text)));
}

#[test]
fn text_in_colour() {
    let coloured = rendered(&sweep(), &Options { colour: true, times: false, ..options(Format::Text) });
    insta::assert_snapshot!(coloured.replace('\u{1b}', "␛"));
}

#[test]
fn text_of_all_trials() {
    insta::assert_snapshot!(rendered(&sweep(), &Options { all: true, ..options(Format::Text) }));
}

#[test]
fn markdown() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Markdown)));
}

#[test]
fn latex() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Latex)));
}

#[test]
fn csv() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Csv)));
}

#[test]
fn json() {
    insta::assert_snapshot!(rendered(&sweep(), &options(Format::Json)));
}

// ---- what it promises -------------------------------------------------------------------------------------------

/// Every format, with and without `all`, without times.
fn without_times() -> Vec<Options> {
    let formats = Format::ALL.map(|(_, format)| Options { times: false, ..options(format) });
    formats.iter().flat_map(|o| [o.clone(), Options { all: true, ..o.clone() }]).collect()
}

fn finished(report: &mut SweepReport) -> impl Iterator<Item = &mut RunResult> {
    report.entries.iter_mut().filter_map(|e| match &mut e.outcome {
        Outcome::Finished(result) => Some(result),
        _ => None,
    })
}

/// The fields of a CSV line that no test value quotes, by name.
fn csv_column(report: &SweepReport, published: &[Published], name: &str, all: bool) -> Vec<String> {
    let text = render(report, published, &Options { all, ..options(Format::Csv) }).expect("the metrics were measured");
    let mut lines = text.lines().map(|line| {
        let mut quoted = false;
        let fields = line.split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        });
        fields.map(str::to_owned).collect::<Vec<_>>()
    });
    let names = lines.next().expect("a heading");
    let column = names.iter().position(|n| n == name).expect("a known column");
    lines.map(|fields| fields[column].clone()).collect()
}

#[test]
fn order_of_entries_changes_nothing() {
    let sweep = sweep();
    for options in without_times() {
        let expected = rendered(&sweep, &options);
        for turn in [1, 7, 20] {
            let mut shuffled = sweep.clone();
            shuffled.entries.rotate_left(turn);
            shuffled.entries[turn..].reverse();
            assert_eq!(rendered(&shuffled, &options), expected);
            assert_eq!(results_jsonl(&shuffled), results_jsonl(&sweep));
        }
    }
}

#[test]
fn time_and_memory_change_only_the_times() {
    let sweep = sweep();
    let mut slower = sweep.clone();
    for (i, result) in finished(&mut slower).enumerate() {
        result.seconds = BTreeMap::from([("train".to_owned(), 1e4 + i as f64), ("encode".to_owned(), 7.5)]);
        result.provenance.insert("peak_rss_mb".to_owned(), "4096".to_owned());
    }
    for options in without_times() {
        assert_eq!(rendered(&slower, &options), rendered(&sweep, &options));
        let timed = Options { times: true, ..options.clone() };
        assert_ne!(rendered(&slower, &timed), rendered(&sweep, &timed));
    }
}

#[test]
fn memory_is_the_largest_seeds() {
    let mut sweep = sweep();
    for (result, peak) in finished(&mut sweep).zip(["801", "1203", "802"]) {
        result.provenance.insert("peak_rss_mb".to_owned(), peak.to_owned());
    }
    assert_eq!(csv_column(&sweep, &[], "peak_memory_mib", false)[0], "1203");
    finished(&mut sweep).for_each(|result| drop(result.provenance.remove("peak_rss_mb")));
    assert_eq!(csv_column(&sweep, &[], "peak_memory_mib", false)[0], "", "older runs did not note it");
    assert!(rendered(&sweep, &options(Format::Text)).contains(" / –"));
}

#[test]
fn times_come_last() {
    for format in [Format::Text, Format::Markdown, Format::Latex] {
        let plain = rendered(&sweep(), &Options { times: false, ..options(format) });
        let timed = rendered(&sweep(), &options(format));
        let tail = timed.strip_prefix(plain.as_str()).expect("the metric tables come first, unchanged");
        assert!(tail.contains("Time per run"));
    }
}

#[test]
fn selection_follows_validation() {
    // At 16 bits the other trial has the better test mAP, at 32 the better but incomplete validation.
    let means = csv_column(&sweep(), &[], "map_at_k_mean", false);
    assert_eq!(means[..3], ["0.59", "0.62", "0.66"]);
    let mut swapped = sweep();
    for result in finished(&mut swapped) {
        std::mem::swap(&mut result.test, &mut result.validation);
    }
    assert_eq!(csv_column(&swapped, &[], "selected", true)[..2], ["false", "true"]);
}

#[test]
fn selection_without_validation_is_said() {
    let mut sweep = sweep();
    finished(&mut sweep).for_each(|result| result.validation.clear());
    let text = rendered(&sweep, &options(Format::Text));
    assert!(text.contains("no validation mAP for CIBHash, 16 bits: shows the first trial of the plan"), "{text}");
    assert!(!text.contains("for ITQ"), "a single trial needs no selection: {text}");
}

#[test]
fn no_result_is_no_number() {
    let mut sweep = sweep();
    for (i, entry) in sweep.entries.iter_mut().enumerate() {
        entry.point.clear(); // its decimals are no results
        entry.outcome = match i % 3 {
            0 => Outcome::Failed { first_line: "error: disk full".to_owned() },
            1 => Outcome::Missing,
            _ => Outcome::Diverged(result(&entry.run, Status::Diverged, 0.0, 0.0)),
        };
    }
    for (_, format) in Format::ALL {
        let text = render(&sweep, &[], &options(format)).expect("the headline needs no run");
        match format {
            Format::Text | Format::Markdown | Format::Latex => {
                let decimal = |w: &[u8]| w[0].is_ascii_digit() && w[1] == b'.' && w[2].is_ascii_digit();
                assert!(!text.as_bytes().windows(3).any(decimal), "{text}");
            }
            Format::Csv => assert!(!text.contains("NaN"), "{text}"),
            Format::Json => assert!(text.contains("\"mean\": null") && !text.contains("\"mean\": 0"), "{text}"),
        }
    }
    for name in ["map_at_k_mean", "map_at_k_std", "validation_mean", "train_seconds", "peak_memory_mib"] {
        assert!(csv_column(&sweep, &[], name, true).iter().all(String::is_empty), "{name}");
    }
    assert_eq!(csv_column(&sweep, &[], "state", false)[0], "failed");
}

#[test]
fn nan_is_no_number() {
    let mut sweep = sweep();
    let first = finished(&mut sweep).next().expect("some run finished");
    first.test.insert(HEADLINE.to_owned(), f64::NAN);
    assert_eq!(csv_column(&sweep, &[], "map_at_k_n", false)[0], "2");
    assert!(
        !rendered(&sweep, &Options { metrics: vec![HEADLINE.to_owned()], ..options(Format::Text) }).contains("NaN ±")
    );
}

#[test]
fn a_failed_trial_shows_where_no_trial_finished() {
    let mut all = Vec::new();
    trial(&mut all, "CSQ", json!({ "lambda": 1 }), 16, &[Waits]);
    trial(&mut all, "CSQ", json!({ "lambda": 2 }), 16, &[Fails("error: no centres")]);
    let sweep = SweepReport { entries: all, ..sweep() };
    let text = rendered(&sweep, &options(Format::Text));
    assert!(text.contains("CSQ   failed"), "{text}");
    assert!(!text.contains("Selected"), "nothing was selected: {text}");
}

#[test]
fn seeds_stand_in_the_header_or_in_the_cells() {
    let mut all = Vec::new();
    trial(&mut all, "LSH", json!({}), 16, &[Ends(0.5, 0.5)]);
    let one = SweepReport { entries: all.clone(), ..sweep() };
    let plain = |sweep: &SweepReport| render(sweep, &[], &options(Format::Text)).expect("the headline was measured");
    let text = plain(&one);
    assert!(text.contains("one seed (0), no deviation") && text.contains("LSH   0.500\n"), "{text}");
    trial(&mut all, "SH", json!({}), 16, &[Ends(0.4, 0.4), Ends(0.4, 0.4)]);
    let text = plain(&SweepReport { entries: all, ..sweep() });
    assert!(text.contains("*0.500 (n=1)") && text.contains("+0.400 ± 0.000 (n=2)"), "{text}");
}

#[test]
fn a_run_named_twice_counts_once() {
    let mut sweep = sweep();
    let mut twin = sweep.entries[0].clone();
    twin.position = sweep.entries.len();
    sweep.entries.push(twin);
    assert_eq!(csv_column(&sweep, &[], "seeds_planned", false)[0], "3");
}

#[test]
fn mixed_provenance_is_a_warning() {
    let mut sweep = sweep();
    let first = finished(&mut sweep).next().expect("some run finished");
    first.provenance.insert("commit".to_owned(), "77aa-dirty".to_owned());
    first.provenance.insert("dataset_digest".to_owned(), "1".repeat(64));
    for format in [Format::Text, Format::Markdown, Format::Latex, Format::Json] {
        let text = rendered(&sweep, &options(format));
        assert!(text.contains("2 commits among the runs: 4d5e6f708192, 77aa-dirty"), "{text}");
        assert!(text.contains("2 data set digests among the runs: 111111111111, 9f2c1d0e8b7a"), "{text}");
    }
}

#[test]
fn published_values_stay_with_their_data_set() {
    let papers = csv_column(&sweep(), &published(), "paper", false);
    assert_eq!(papers[..3], ["0.59; 0.5801", "0.622", "0.641"]);
    assert!(!rendered(&sweep(), &options(Format::Text)).contains("0.900"), "that was measured on another data set");
}

#[test]
fn other_metrics_keep_the_selection() {
    let asked = Options { metrics: vec![EXPECTED.to_owned()], ..options(Format::Text) };
    let text = rendered(&sweep(), &asked);
    assert!(text.contains("\nmAP@all, expectation over ties\n") && !text.contains("\nmAP@1000\n"), "{text}");
    assert!(text.contains("*0.490 ± 0.010"), "{text}");
    let counted = Options { metrics: vec![MISSED.to_owned()], ..options(Format::Text) };
    assert!(!rendered(&sweep(), &counted).contains("best of the column"), "the most misses are not the best");
    let unknown = Options { metrics: vec!["map_at_500".to_owned()], ..options(Format::Text) };
    let error = render(&sweep(), &[], &unknown).expect_err("no run has it").to_string();
    assert_eq!(
        error,
        "no finished run of sweep `cibhash_cifar10` has metric `map_at_500`\n\
         help: measured: map_all_expected, map_at_k, queries_without_hit"
    );
}

#[test]
fn markup_in_names_is_escaped() {
    let mut all = Vec::new();
    trial(&mut all, "a|b_ & 100%\n", json!({ "loss": "x_y--z" }), 16, &[Fails("error: <b>\u{1b}[1m {x}\nsecond line")]);
    trial(&mut all, "[c]", json!({}), 16, &[Ends(0.5, 0.5)]);
    let sweep = SweepReport { entries: all, ..sweep() };
    let markdown = rendered(&sweep, &options(Format::Markdown));
    assert!(markdown.contains("| a\\|b\\_ & 100% | failed |"), "{markdown}");
    let latex = rendered(&sweep, &Options { all: true, ..options(Format::Latex) });
    assert!(latex.contains("a$|$b\\_ \\& 100\\% & 16 & loss=x\\_y-{}-z & -- & failed"), "{latex}");
    assert!(latex.contains("\\\\\n{[}c] &"), "{latex}");
    let depth =
        latex.replace("\\{", "").replace("\\}", "").chars().fold(0, |d, c| d + (c == '{') as i32 - (c == '}') as i32);
    assert_eq!(depth, 0, "braces are balanced");
    let text = rendered(&sweep, &options(Format::Text));
    assert!(!text.contains('\u{1b}'), "an error message cannot steer the terminal: {text}");
}

#[test]
fn results_read_back() {
    let sweep = sweep();
    let text = results_jsonl(&sweep);
    assert_eq!(text.lines().count(), 1 + sweep.entries.len());
    let read = SweepReport::from_jsonl(&text).expect("own lines read back");
    assert_eq!(read, sweep);
    assert_eq!(rendered(&read, &options(Format::Json)), rendered(&sweep, &options(Format::Json)));
}

#[test]
fn results_that_do_not_read_say_where() {
    let text = results_jsonl(&sweep());
    let error = |text: &str| SweepReport::from_jsonl(text).expect_err("it is damaged");
    assert!(matches!(error("\n"), ReportError::NoHeader));
    let newer = text.replacen("{\"schema\":1", "{\"schema\":2", 1);
    assert!(matches!(error(&newer), ReportError::Schema { found: 2, expected: 1 }));
    let cut = &text[..text.trim_end().len() - 1];
    assert!(matches!(error(cut), ReportError::Line { line, .. } if line == text.lines().count()));
    let first = text.lines().nth(1).expect("a run");
    let (head, _) = first.split_once("\"result\":").expect("it has a result");
    let empty = text.replacen(first, &format!("{head}\"result\":null}}"), 1);
    let message = error(&empty).to_string();
    assert!(
        message.starts_with("line 2 of the results file: run cibhash-b16-s0-000000000000 ended but has no"),
        "{message}"
    );
}

#[test]
fn formats_have_names() {
    for (name, format) in Format::ALL {
        assert_eq!(name.parse::<Format>().expect("its own name"), format);
    }
    let error = "html".parse::<Format>().expect_err("there is none").to_string();
    assert_eq!(error, "unknown table format `html`\nhelp: one of text, markdown, latex, csv, json");
}
