//! `search`: points drawn from lists and ranges.

use std::collections::BTreeSet;

use hashlab_sweep::Plan;
use insta::assert_snapshot;
use proptest::prelude::*;
use serde_json::Value;

use crate::{diagnostics, diagnostics_under, planned, planned_under, read, with_method};

/// A method with a search over all kinds of values.
fn searched(search: &str, trials: usize, seed: u64) -> String {
    with_method(&format!(
        "name = \"waves\"\nsearch = \"{search}\"\ntrials = {trials}\nsearch_seed = {seed}\n\
         grid = {{ tau = {{ low = 1e-4, high = 1e-1, scale = \"log\" }}, steps = {{ low = 3, high = 7 }}, \
         loss = [\"cosine\", \"hinge\"], \"train.rate\" = {{ low = -1, high = 1 }} }}"
    ))
}

fn values<'p>(plan: &'p Plan, key: &'p str) -> impl Iterator<Item = &'p Value> {
    plan.runs.iter().filter_map(move |run| run.point.get(key))
}

fn numbers(plan: &Plan, key: &str) -> Vec<f64> {
    values(plan, key).map(|value| value.as_f64().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn more_trials_leave_the_first_ones_as_they_are(
        seed in any::<u64>(), few in 1usize..20, more in 0usize..40, sobol in any::<bool>(),
    ) {
        let kind = if sobol { "sobol" } else { "random" };
        let [first, all] = [few, few + more].map(|trials| planned(&searched(kind, trials, seed)));
        prop_assert_eq!(first.runs.len(), few);
        for (one, same) in first.runs.iter().zip(&all.runs) {
            prop_assert_eq!((&one.id, &one.point), (&same.id, &same.point));
        }
    }

    #[test]
    fn values_are_within_their_ranges(seed in any::<u64>(), sobol in any::<bool>()) {
        let plan = planned(&searched(if sobol { "sobol" } else { "random" }, 64, seed));
        prop_assert!(numbers(&plan, "tau").iter().all(|tau| (1e-4..=1e-1).contains(tau)));
        prop_assert!(numbers(&plan, "train.rate").iter().all(|rate| (-1.0..=1.0).contains(rate)));
        let steps: BTreeSet<u64> = values(&plan, "steps").map(|steps| steps.as_u64().expect("an integer")).collect();
        prop_assert_eq!(steps, (3..=7).collect::<BTreeSet<u64>>());
        prop_assert_eq!(values(&plan, "loss").map(|loss| loss.as_str()).collect::<BTreeSet<_>>().len(), 2);
    }
}

/// The share of numbers in each of as many equal parts of `[0, 1)`.
fn shares(numbers: &[f64], parts: usize) -> Vec<f64> {
    let mut counts = vec![0.0; parts];
    numbers.iter().for_each(|number| counts[(number * parts as f64) as usize % parts] += 1.0 / numbers.len() as f64);
    counts
}

#[test]
fn values_are_equally_likely_on_their_scale() {
    let plan = planned(&searched("random", 3000, 1));
    let decades: Vec<f64> = numbers(&plan, "tau").iter().map(|tau| (tau.log10() + 4.0) / 3.0).collect();
    let rates: Vec<f64> = numbers(&plan, "train.rate").iter().map(|rate| (rate + 1.0) / 2.0).collect();
    let steps: Vec<f64> = numbers(&plan, "steps").iter().map(|steps| (steps - 2.5) / 5.0).collect();
    for (numbers, parts) in [(decades, 3), (rates, 4), (steps, 5)] {
        // Four standard deviations.
        let (expected, count) = (1.0 / parts as f64, numbers.len() as f64);
        let tolerance = 4.0 * (expected * (1.0 - expected) / count).sqrt();
        for share in shares(&numbers, parts) {
            assert!((share - expected).abs() < tolerance, "{share} of {expected} ± {tolerance}");
        }
    }
}

#[test]
fn integers_on_a_logarithmic_scale_are_likely_by_the_space_around_them() {
    let method = "name = \"waves\"\nsearch = \"random\"\ntrials = 4000\n\
                  grid = { steps = { low = 1, high = 4, scale = \"log\" }, tau = { low = 1, high = 2 } }";
    let steps = numbers(&planned(&with_method(method)), "steps");
    for whole in 1..=4 {
        let expected = ((f64::from(whole) + 0.5) / (f64::from(whole) - 0.5)).ln() / 9f64.ln();
        let share = steps.iter().filter(|step| **step == f64::from(whole)).count() as f64 / steps.len() as f64;
        assert!((share - expected).abs() < 0.03, "{whole}: {share} of {expected}");
    }
}

/// The L2 star discrepancy of points in the unit square, by Warnock's formula.
fn discrepancy(points: &[[f64; 2]]) -> f64 {
    let count = points.len() as f64;
    let single: f64 = points.iter().map(|p| p.iter().map(|x| 1.0 - x * x).product::<f64>()).sum();
    let both = |p: &[f64; 2], q: &[f64; 2]| (0..2).map(|at| 1.0 - p[at].max(q[at])).product::<f64>();
    let pairs: f64 = points.iter().flat_map(|p| points.iter().map(move |q| both(p, q))).sum();
    (1.0 / 9.0 - single / (2.0 * count) + pairs / (count * count)).sqrt()
}

#[test]
fn a_sobol_sequence_covers_the_ranges_more_evenly_than_chance() {
    for seed in 0..10 {
        let [sobol, random] = ["sobol", "random"].map(|kind| {
            let method = format!(
                "name = \"waves\"\nsearch = \"{kind}\"\ntrials = 64\nsearch_seed = {seed}\n\
                 grid = {{ tau = {{ low = 1, high = 2 }}, \"train.rate\" = {{ low = 0, high = 1 }} }}"
            );
            let plan = planned(&with_method(&method));
            let points: Vec<[f64; 2]> = numbers(&plan, "tau")
                .into_iter()
                .zip(numbers(&plan, "train.rate"))
                .map(|(tau, rate)| [tau - 1.0, rate])
                .collect();
            discrepancy(&points)
        });
        assert!(sobol < 0.5 * random, "seed {seed}: {sobol} against {random}");
    }
}

/// Another version of a generator would rename users' runs.
#[test]
fn the_points_of_a_seed_stay_the_same() {
    let shown = ["random", "sobol"].map(|kind| {
        let plan = planned(&searched(kind, 5, 0));
        let lines = plan.runs.iter().map(|run| Value::from((*run.point).clone()).to_string());
        format!("{kind}\n{}", lines.collect::<Vec<_>>().join("\n"))
    });
    assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn seeds_of_a_search_draw_other_points_and_no_code_length_does() {
    let ids = |text: &str| planned(text).runs.into_iter().map(|run| run.id).collect::<BTreeSet<_>>();
    for kind in ["random", "sobol"] {
        assert!(ids(&searched(kind, 8, 0)).is_disjoint(&ids(&searched(kind, 8, 1))));
        let plan = planned(&searched(kind, 8, 0).replace("bits = [16]", "bits = [16, 32]\nseeds = [0, 1]"));
        assert_eq!(plan.runs.len(), 8 * 2 * 2);
        assert!(plan.runs.chunks(4).all(|point| point.iter().all(|run| run.point == point[0].point)));
    }
}

#[test]
fn zips_conditions_and_exclusions_hold_in_a_search() {
    let method = "name = \"waves\"\nsearch = \"random\"\ntrials = 60\n\
                  grid = { loss = [\"cosine\", \"hinge\"], low = { low = 0.2, high = 0.3 } }\n\
                  zip = { tau = [1, 2, 3], steps = [10, 20, 30] }\n\
                  when = { low = { loss = \"cosine\" } }\nexclude = [{ tau = 3 }]";
    let plan = planned(&with_method(method));
    // Beside the points that are left out, hinge has two.
    assert!(plan.runs.len() > 10 && plan.runs.len() < 50, "{}", plan.runs.len());
    for run in &plan.runs {
        let point = &run.point;
        assert_eq!(point["steps"].as_f64().unwrap(), 10.0 * point["tau"].as_f64().unwrap());
        assert!(point["tau"] != 3.0);
        assert_eq!(point.get("low").is_some(), point["loss"] == "cosine");
    }
    assert_eq!(plan.runs.iter().filter(|run| run.point["loss"] == "hinge").count(), 2);
}

#[test]
fn a_search_may_stand_at_the_top_and_be_overridden() {
    let text = "dataset = \"toy\"\nbits = [16]\nsearch = \"sobol\"\ntrials = 7\n\
                [[method]]\nname = \"waves\"\ngrid = { tau = { low = 1, high = 2 }, steps = [1, 2] }\n\
                [[method]]\nname = \"waves\"\nlabel = \"all\"\nsearch = \"grid\"\ngrid = { steps = [3, 4] }\n\
                [[method]]\nname = \"ruler\"";
    let count = |plan: &Plan, label: &str| plan.runs.iter().filter(|run| &*run.label == label).count();
    let plan = planned(text);
    assert_eq!([count(&plan, "Waves"), count(&plan, "all"), count(&plan, "Ruler")], [7, 2, 1]);
    assert_eq!(count(&planned_under(text, &[], &["trials=9"]), "Waves"), 9);

    // The other keys of a point stay what they are where one is fixed.
    let fixed = planned_under(text, &[("HASHLAB_SET_TRAIN__EPOCHS", "20")], &["train.rate=0.5"]);
    assert_eq!(numbers(&fixed, "tau"), numbers(&plan, "tau"));
    let with_rate = text.replace("grid = { tau", "grid = { \"train.rate\" = { low = 1, high = 2 }, tau");
    let (free, fixed) = (planned(&with_rate), planned_under(&with_rate, &[], &["train.rate=0.5"]));
    assert_eq!(numbers(&fixed, "tau"), numbers(&free, "tau"));
}

#[test]
fn a_resolved_search_plans_the_same_runs() {
    for kind in ["random", "sobol"] {
        let text = searched(kind, 6, 3);
        for defaults in [false, true] {
            let again = read(&text).unwrap_or_else(|wrong| panic!("{wrong}")).resolved(defaults);
            assert!(again.contains("grid.tau = { low = 0.0001, high = 0.1, scale = \"log\" }"), "{again}");
            assert_eq!(planned(&again).runs, planned(&text).runs);
        }
    }
}

#[test]
fn what_cannot_be_searched_is_wrong() {
    let random = "name = \"waves\"\nsearch = \"random\"\ntrials = 3\n";
    let wrong = [
        "name = \"waves\"\ngrid = { tau = { low = 1, high = 2 } }".to_owned(),
        "name = \"waves\"\nsearch = \"sobol\"\ngrid = { tau = { low = 1, high = 2 } }".to_owned(),
        "name = \"waves\"\nsearch = \"bayes\"\ntrials = 3\ngrid = { tau = [1, 2] }".to_owned(),
        "name = \"waves\"\nsearch = \"random\"\ntrials = 0\ngrid = { tau = [1, 2] }".to_owned(),
        "name = \"waves\"\ntrials = 3\nsearch_seed = 1\ngrid = { tau = [1, 2] }".to_owned(),
        format!("{random}grid = {{ tau = {{ low = 1 }} }}"),
        format!("{random}grid = {{ tau = {{ low = 2, high = 1 }} }}"),
        format!("{random}grid = {{ tau = {{ low = 0, high = 1 }} }}"),
        format!("{random}grid = {{ steps = {{ low = 1.5, high = 3 }} }}"),
        format!("{random}grid = {{ low = {{ low = 0, high = 1, scale = \"log\" }} }}"),
        format!("{random}grid = {{ tau = {{ low = 1, high = 2, scale = \"root\" }} }}"),
        format!("{random}grid = {{ tau = {{ low = 1, hihg = 2 }} }}"),
        format!("{random}grid = {{ loss = {{ low = 1, high = 2 }} }}"),
        format!("{random}grid = {{ tau = 3 }}"),
        format!("{random}zip = {{ tau = {{ low = 1, high = 2 }}, steps = [1, 2] }}"),
        format!(
            "{random}grid = {{ tau = {{ low = 1, high = 2 }}, steps = [1, 2] }}\nwhen = {{ steps = {{ tau = 1 }} }}"
        ),
    ];
    let shown = wrong.map(|method| diagnostics(&with_method(&method)));
    assert_snapshot!(shown.join("\n\n"));
}

#[test]
fn a_rule_between_keys_holds_at_every_point() {
    let text = with_method(
        "name = \"waves\"\nsearch = \"sobol\"\ntrials = 20\ngrid = { low = { low = 0, high = 0.95 }, tau = [1, 2] }",
    );
    assert!(diagnostics(&text).contains("`low` must be below `high`"));
    let flag = diagnostics_under("dataset = \"toy\"\nbits = [8]\n[[method]]\nname = \"waves\"", &[], &["trials=3"]);
    assert!(flag.contains("`trials` changes nothing") && flag.contains("--set trials=3"), "{flag}");
}
