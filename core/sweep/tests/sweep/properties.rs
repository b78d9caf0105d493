//! Properties of all experiments.

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::sample::{select, subsequence};

use crate::{plan, planned, read_under};

/// A method of any modality, and one of both.
const OTHERS: [&str; 4] = ["[[method]]", "name = \"prism\"", "[[method]]", "name = \"bridge\""];

/// A method, as lines that may stand in any order.
fn method() -> impl Strategy<Value = (usize, Vec<String>)> {
    let tau = subsequence(vec!["0.1", "0.2", "0.30", "4", "5.0"], 1..=5);
    let rate = subsequence(vec!["1e-3", "0.01", "1"], 1..=3);
    let steps = subsequence(vec!["1", "2", "3"], 1..=3);
    (tau, rate, steps, any::<bool>()).prop_map(|(tau, rate, steps, dotted)| {
        let points = tau.len() * rate.len() * steps.len();
        let (tau, rate, steps) = (tau.join(", "), rate.join(", "), steps.join(","));
        let rate = if dotted { format!("\"train.rate\" = [{rate}]") } else { format!("train = {{ rate = [{rate}] }}") };
        let grid = format!("grid = {{ tau = [{tau}], {rate}, steps = [{steps}] }}");
        (points, vec!["name = \"waves\"".to_owned(), "params = { loss = \"hinge\" }".to_owned(), grid])
    })
}

/// A file with three methods in its parts, and how many runs it has.
#[derive(Clone, Debug)]
struct Parts {
    runs: usize,
    shared: Vec<String>,
    method: Vec<String>,
}

fn parts() -> impl Strategy<Value = Parts> {
    let bits = subsequence(vec!["8", "16", "0x20", "1_024"], 1..=4);
    let seeds = subsequence(vec!["0", "1", "18446744073709551615"], 1..=3);
    (bits, seeds, method()).prop_map(|(bits, seeds, (points, method))| Parts {
        runs: (points + 2) * bits.len() * seeds.len(),
        shared: vec![
            "dataset = \"pairs\"".to_owned(),
            format!("bits = [{}]", bits.join(", ")),
            format!("seeds = [{}]", seeds.join(", ")),
        ],
        method,
    })
}

impl Parts {
    /// Writes the file, each line behind `gap`.
    fn text(&self, gap: &str) -> String {
        let lines = self.shared.iter().map(String::as_str).chain(["[[method]]"]);
        let lines = lines.chain(self.method.iter().map(String::as_str)).chain(OTHERS);
        lines.map(|line| format!("{gap}{line}\n")).collect()
    }
}

/// The same parts in two orders.
fn reordered() -> impl Strategy<Value = (Parts, Parts)> {
    parts().prop_flat_map(|parts| {
        let shuffled = (Just(parts.shared.clone()).prop_shuffle(), Just(parts.method.clone()).prop_shuffle());
        let original = parts.clone();
        shuffled.prop_map(move |(shared, method)| (original.clone(), Parts { shared, method, ..original.clone() }))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_plan_is_the_product_of_its_axes(parts in parts()) {
        let plan = planned(&parts.text(""));
        let ids: BTreeSet<_> = plan.runs.iter().map(|run| &run.id).collect();
        prop_assert_eq!((plan.runs.len(), ids.len()), (parts.runs, parts.runs));
        prop_assert!(plan.runs.iter().all(|run| run.id == run.config().id() && *run.setting == *run.config().setting()));
    }

    #[test]
    fn runs_do_not_depend_on_how_a_file_is_laid_out(
        (one, other) in reordered(),
        gap in select(vec!["", "\t", "\n", "# why\n"]),
    ) {
        prop_assert_eq!(planned(&one.text("")), planned(&other.text(gap)));
    }

    #[test]
    fn no_text_makes_the_loader_panic(file in ".{0,80}", name in "[A-Z_]{0,9}", value in ".{0,20}", flag in ".{0,30}") {
        let env = [(format!("HASHLAB_SET_{name}"), value)];
        let env = env.each_ref().map(|(name, value)| (name.as_str(), value.as_str()));
        if let Err(wrong) = read_under(&file, &env, &[&flag]) {
            prop_assert!(wrong.to_string().starts_with("error: "));
        }
    }

    #[test]
    fn no_slip_of_the_pen_makes_the_loader_panic(
        parts in parts(),
        at in any::<prop::sample::Index>(),
        slip in "[\\[\\]{}=\"'.,0-9a-z\n-é]{0,3}",
    ) {
        let mut text = parts.text("");
        let at = at.index(text.len());
        text.replace_range(at..=at, &slip);
        match read_under(&text, &[], &[]) {
            Ok(experiment) => prop_assert!(plan(&experiment).is_ok()),
            Err(wrong) => prop_assert!(wrong.to_string().starts_with("error: ")),
        }
    }
}
