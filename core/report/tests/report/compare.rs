//! Comparisons of rows, paired by seed.

use hashlab_report::{Details, Format, ReportError, compare};

use crate::sweep::{sweep, two_tasks};
use crate::{finished, options};

fn compared(rows: &[&str], format: Format) -> Result<String, ReportError> {
    let rows: Vec<String> = rows.iter().map(|&row| row.to_owned()).collect();
    compare(&sweep(), &Details::new(), &rows, &options(format))
}

#[test]
fn every_format_for_people_names_methods_and_test() {
    for format in [Format::Text, Format::Markdown, Format::Latex] {
        let text = compare(&two_tasks(), &Details::new(), &["LSH".to_owned()], &options(format)).unwrap();
        let rows = text.lines().filter(|line| line.contains("LSH") && line.contains("UCMFH")).count();
        assert!(rows > 0 && text.contains("Holm"), "{text}");
    }
    let all = compared(&[], Format::Text).unwrap();
    assert!(all.contains("paired by seed") && all.contains("adjusted p"), "{all}");
}

#[test]
fn a_constant_difference_is_found_and_not_tested() {
    let mut report = two_tasks();
    for (at, result) in finished(&mut report).enumerate() {
        for task in result.test.values_mut() {
            task.metrics.insert("map_at_k".to_owned(), 0.5 + at as f64 / 1000.0);
        }
    }
    let text =
        compare(&report, &Details::new(), &["LSH".to_owned(), "UCMFH".to_owned()], &options(Format::Csv)).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(
            "first,second,task,bits,metric,n,difference,low,high,effect,p,p_adjusted,low_over_queries,high_over_queries"
        )
    );
    let lines: Vec<&str> = lines.collect();
    assert!(!lines.is_empty());
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!((fields[0], fields[1], fields[5]), ("LSH", "UCMFH", "3"), "{line}");
        assert!(fields[6].parse::<f64>().unwrap() > 0.0, "later runs have greater values: {line}");
        assert!(fields[7..].iter().all(|field| field.is_empty()), "{line}");
    }
}

#[test]
fn mistakes_name_what_there_is() {
    let unknown = compared(&["nobody"], Format::Text).unwrap_err().to_string();
    assert!(unknown.starts_with("no row `nobody`\nhelp: the rows are ") && unknown.contains("LSH"), "{unknown}");
    assert!(matches!(compared(&["LSH", "lsh"], Format::Text), Err(ReportError::SameRow(_))));
    assert!(matches!(compared(&[], Format::Jsonl), Err(ReportError::JsonlOfComparison)));
}
