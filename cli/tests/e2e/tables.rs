//! The table of a finished sweep in all its forms. Numbers depend on the processor: their places are checked.

use serde_json::Value;

use crate::lab::{FILE, Lab, NAME, TINY};

/// A finished sweep with a grid.
fn finished() -> Lab {
    let lab = Lab::with(&(TINY.to_owned() + "grid = { tau = [0.3, 0.2] }\n"));
    lab.ok(&["sweep", FILE]);
    lab
}

fn table(lab: &Lab, options: &[&str]) -> String {
    lab.ok(&[&["table", NAME], options].concat())
}

/// Puts `#` for every number with a decimal point, and drops the marks of cells.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    for part in text.split_inclusive(|c: char| !c.is_ascii_digit() && c != '.') {
        let number = part.trim_end_matches(|c: char| !c.is_ascii_digit());
        let rest = &part[number.len()..];
        masked += if number.contains('.') { "#" } else { number };
        masked += rest;
    }
    masked.replace(['*', '+'], " ").replace(" †", "")
}

#[test]
fn text_has_a_cell_per_method_and_length() {
    let lab = finished();
    let text = table(&lab, &[]);
    for line in [" LSH        # ± #", " ITQ        # ± #", " CIBHash    # ± #"] {
        assert_eq!(masked(&text).matches(&format!("\n{line}\n")).count(), 2, "{line} in both tables of {text}");
    }
    assert_eq!(masked(&text).matches("# / #").count(), 3, "{text}");
    let timeless = table(&lab, &["--no-times"]);
    assert!(text.starts_with(&timeless) && !timeless.contains("Time per run"), "{timeless}");
}

#[test]
fn all_settings_are_listed_with_their_settings() {
    let lab = finished();
    let text = table(&lab, &["--all", "--no-times"]);
    assert_eq!(text.matches(" CIBHash ").count(), 2, "{text}");
    assert!(text.contains("tau=0.3") && text.contains("tau=0.2"), "{text}");
}

#[test]
fn further_metrics_get_tables_of_their_own() {
    let lab = finished();
    let text = table(&lab, &["--no-times", "--metric", "ndcg_at_k", "--metric", "precision_radius2"]);
    assert!(text.contains("\nNDCG@all\n") && text.contains("\nPrecision within Hamming radius 2\n"), "{text}");
    let said = lab.refused(&["table", NAME, "--metric", "ndcg"]);
    assert!(said.starts_with("error: unknown metric `ndcg`\nhelp: did you mean `ndcg_at_k`? known: "), "{said}");
}

#[test]
fn markdown_has_rows_of_equal_length() {
    let text = table(&finished(), &["--format", "markdown"]);
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
    assert_eq!(rows.iter().filter(|row| row.starts_with("| CIBHash |")).count(), 3, "{text}");
    assert!(rows.iter().all(|row| row.matches('|').count() == 3), "{text}");
}

#[test]
fn latex_is_balanced() {
    let text = table(&finished(), &["--format", "latex"]);
    assert_eq!(text.matches("\\begin{tabular}").count(), 3, "{text}");
    for environment in ["table", "tabular", "minipage"] {
        let ends = ["begin", "end"].map(|end| text.matches(&format!("\\{end}{{{environment}}}")).count());
        assert_eq!(ends[0], ends[1], "{environment} in {text}");
    }
    assert_eq!(text.matches('{').count(), text.matches('}').count(), "{text}");
    assert!(text.lines().filter(|line| line.starts_with("CIBHash & ")).all(|line| line.ends_with(" \\\\")), "{text}");
}

#[test]
fn csv_has_a_column_per_fact_and_a_line_per_setting() {
    let text = table(&finished(), &["--format", "csv", "--all"]);
    let mut lines = text.lines().map(fields);
    let columns = lines.next().unwrap();
    let rows: Vec<Vec<String>> = lines.collect();
    assert_eq!(rows.len(), 4, "{text}");
    assert!(rows.iter().all(|row| row.len() == columns.len()), "{text}");
    let values = |column: &str| {
        let at = columns.iter().position(|name| name == column).unwrap_or_else(|| panic!("{column} in {columns:?}"));
        rows.iter().map(|row| row[at].as_str()).collect::<Vec<_>>()
    };
    assert_eq!(values("label"), ["LSH", "ITQ", "CIBHash", "CIBHash"]);
    assert_eq!(values("selected").iter().filter(|selected| **selected == "true").count(), 3, "{text}");
    assert!(values("map_at_k_mean").iter().all(|map| (0.0..1.0).contains(&map.parse::<f64>().unwrap())), "{text}");
}

/// Splits a line of CSV.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().expect("there is one from the start").push(c),
        }
    }
    fields
}

#[test]
fn json_holds_cells_and_runs() {
    let lab = finished();
    let document: Value = serde_json::from_str(&table(&lab, &["--format", "json"])).unwrap();
    assert_eq!(document["header"]["dataset"], "shapes");
    let rows = document["rows"].as_array().unwrap();
    let selected = rows.iter().filter(|row| row["selected"] == true).count();
    assert_eq!(selected, 3, "{document:#}");
    for row in rows {
        assert_eq!(row["runs"].as_array().unwrap().len(), 2, "{row:#}");
        assert_eq!(row["tasks"]["i2i"]["map_at_k"]["n"], 2, "{row:#}");
    }
}

#[test]
fn a_file_of_results_renders_as_its_sweep() {
    let lab = finished();
    lab.write("results.jsonl", table(&lab, &["--format", "jsonl"]));
    for options in [&[][..], &["--all"], &["--format", "latex"], &["--format", "csv"], &["--format", "jsonl"]] {
        let from_file = Lab::with("");
        from_file.write("results.jsonl", lab.read("results.jsonl"));
        assert_eq!(from_file.ok(&[&["table", "results.jsonl"], options].concat()), table(&lab, options), "{options:?}");
    }
}

/// A file that was cut at the end of a line looks whole.
#[test]
fn a_file_of_results_that_lost_or_doubled_lines_is_refused() {
    let lab = finished();
    let whole = table(&lab, &["--format", "jsonl"]);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    let refused = |text: String| {
        lab.write("cut.jsonl", text);
        lab.refused(&["table", "cut.jsonl"])
    };
    let said = refused(lines[..3].concat());
    assert!(
        said.starts_with("error: cut.jsonl: the first line announces 8 runs, and 2 follow: the file was cut"),
        "{said}"
    );
    assert!(said.contains("\nhelp: write it again"), "{said}");
    let said = refused(whole.clone() + lines[2]);
    assert!(
        said.starts_with("error: cut.jsonl: line 10 holds run ") && said.contains("as a line before does"),
        "{said}"
    );
    assert!(refused(lines[0].to_owned()).contains("announces 8 runs, and 0 follow"));
    assert!(refused(String::new()).contains("is empty, expected a header line"));
    assert!(refused(whole[..whole.len() - 9].to_owned()).contains("cut.jsonl: line 9 of the results file: "));
}

#[test]
fn lines_of_results_leave_out_what_they_are_asked_to() {
    let lab = finished();
    let timed = table(&lab, &["--format", "jsonl"]);
    let timeless = table(&lab, &["--format", "jsonl", "--no-times"]);
    for (text, times) in [(&timed, true), (&timeless, false)] {
        for name in ["\"train\":", "\"peak_rss_mib\""] {
            assert_eq!(text.contains(name), times, "{name} in {text}");
        }
    }
    lab.write("timeless.jsonl", timeless);
    assert_eq!(lab.ok(&["table", "timeless.jsonl", "--no-times"]), table(&lab, &["--no-times"]));
    let said = lab.refused(&["table", NAME, "--format", "jsonl", "--metric", "ndcg_at_k"]);
    assert!(said.starts_with("error: format jsonl holds every metric of every run\nhelp: "), "{said}");
}

#[test]
fn a_sweep_prints_the_form_that_it_is_asked_for() {
    let lab = finished();
    assert_eq!(lab.ok(&["sweep", FILE, "--format", "csv", "--all"]), table(&lab, &["--format", "csv", "--all"]));
}

/// What `just results` would write is what is committed, and the index page names it.
#[test]
fn committed_tables_are_those_of_their_results() {
    let lab = Lab::with(TINY);
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/results");
    let index = std::fs::read_to_string(format!("{folder}/README.md")).unwrap();
    let mut tables = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let table = lab.ok(&["table", path.to_str().unwrap(), "--format", "markdown"]);
            let committed = std::fs::read_to_string(path.with_extension("md")).unwrap();
            assert!(table == committed, "{name}.md is not what `just results` writes");
            for link in [format!("[{name}](#{name})"), format!("[{name}.md]({name}.md)")] {
                assert!(index.contains(&link), "docs/results/README.md lacks {link}");
            }
            tables += 1;
        }
    }
    assert!(tables > 0, "there are no results in {folder}");
}

/// Columns of sweeps on other numbers of items say how many, so that nobody compares what is not alike.
#[test]
fn joined_sweeps_state_their_numbers_of_items() {
    let lab = Lab::with(TINY);
    lab.write("small.toml", TINY.replace("items = 300", "items = 100"));
    for file in [FILE, "small.toml"] {
        lab.ok(&["sweep", file, "--set", "seeds=[0]", "--set", "train.epochs=1"]);
    }
    for format in ["text", "markdown", "latex"] {
        let table = lab.ok(&["table", NAME, "small", "--format", format, "--no-times"]);
        let table = table.split_whitespace().collect::<Vec<_>>().join(" ");
        for of in ["30 queries, 270 database items", "10 queries, 90 database items"] {
            assert!(table.contains(of), "{format}: {of}: {table}");
        }
    }
    // A table of one sweep says it in the words of its protocol.
    assert!(!lab.ok(&["table", NAME]).contains("database items,"));
}

#[test]
fn latencies_are_those_of_single_items_and_queries() {
    let lab = finished();
    let text = table(&lab, &["--latency"]);
    let (times, latency) = text.split_once("Time of an item in the encoding / of a query in the search, µs").unwrap();
    assert!(times.contains("Time per run"), "{text}");
    let positive = |time: &str| time.trim().parse::<f64>().is_ok_and(|time| time > 0.0);
    let timed = latency.lines().filter_map(|line| line.rsplit_once("  ")?.1.split_once(" / "));
    assert_eq!(timed.filter(|(item, query)| positive(item) && positive(query)).count(), 3, "{text}");
    assert!(lab.refused(&["table", NAME, "--latency", "--no-times"]).contains("cannot be used with"));
}
