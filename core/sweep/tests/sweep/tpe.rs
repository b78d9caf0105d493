//! `search = "tpe"`: trials that follow from the results of earlier ones.

use std::collections::BTreeMap;

use hashlab_store::RunId;
use hashlab_sweep::{Plan, Planned, PlannedRun, STARTUP, Tpe, TpeAxis};
use proptest::prelude::*;

use crate::{diagnostics, read, resolve, with_method};

const METHOD: &str = "name = \"waves\"\nsearch = \"tpe\"\ntrials = 30\ngeneration = 5\n\
    grid = { tau = { low = 1e-3, high = 1e1, scale = \"log\" }, steps = { low = 1, high = 40 }, loss = [\"cosine\", \"hinge\"] }";

/// The best at tau 0.1, 8 steps and hinge.
fn validation(run: &PlannedRun) -> f64 {
    let number = |key: &str| run.point[key].as_f64().unwrap();
    let off = (number("tau").log10() + 1.0).powi(2) + ((number("steps") - 8.0) / 10.0).powi(2);
    if run.point["loss"] == "hinge" { 1.0 - off } else { 0.5 - off }
}

/// The plan once the runs in `known` have results.
fn plan_after(text: &str, known: &BTreeMap<RunId, f64>) -> Planned {
    let experiment = read(text).unwrap_or_else(|wrong| panic!("{wrong}"));
    experiment.plan_after(&mut resolve, &|run| known.get(run).map(|value| Some(*value))).unwrap()
}

/// Executes generation after generation; returns the plans.
fn searched(text: &str) -> Vec<Plan> {
    let (mut known, mut plans) = (BTreeMap::new(), Vec::new());
    loop {
        let Planned { plan, further } = plan_after(text, &known);
        known.extend(plan.runs.iter().map(|run| (run.id.clone(), validation(run))));
        plans.push(plan);
        if further == 0 {
            return plans;
        }
    }
}

#[test]
fn each_generation_adds_to_the_plan_before() {
    let plans = searched(&with_method(METHOD));
    assert_eq!(plans.iter().map(|plan| plan.runs.len()).collect::<Vec<_>>(), [10, 15, 20, 25, 30]);
    for pair in plans.windows(2) {
        let ids = |plan: &Plan| plan.runs.iter().map(|run| run.id.clone()).collect::<Vec<_>>();
        assert!(ids(&pair[1]).starts_with(&ids(&pair[0])));
    }
    assert_eq!(searched(&with_method(METHOD)), plans, "the same results give the same trials");
    let other = searched(&with_method(&METHOD.replace("trials = 30", "trials = 30\nsearch_seed = 1")));
    assert_ne!(other.last(), plans.last());
}

#[test]
fn a_generation_waits_for_all_runs_of_the_one_before() {
    let text = with_method(METHOD);
    let Planned { plan, further } = plan_after(&text, &BTreeMap::new());
    assert_eq!((plan.runs.len(), further), (STARTUP, 20));
    let mut known: BTreeMap<RunId, f64> = plan.runs.iter().map(|run| (run.id.clone(), validation(run))).collect();
    let last = known.pop_last().unwrap();
    assert_eq!(plan_after(&text, &known).plan, plan);
    known.extend([last]);
    assert_eq!(plan_after(&text, &known).plan.runs.len(), 15);
}

#[test]
fn later_trials_are_better_than_random_ones() {
    let plan = searched(&with_method(METHOD)).pop().unwrap();
    let mean = |runs: &[PlannedRun]| runs.iter().map(validation).sum::<f64>() / runs.len() as f64;
    assert!(mean(&plan.runs[20..]) > mean(&plan.runs[..10]) + 0.5);
}

#[test]
fn seeds_conditions_and_exclusions_hold() {
    let method = "name = \"waves\"\nbits = [16, 32]\nseeds = [0, 1]\nsearch = \"tpe\"\ntrials = 20\n\
        grid = { tau = [0.1, 0.2, 0.3], steps = { low = 1, high = 9 }, loss = [\"cosine\", \"hinge\"] }\n\
        when = { steps = { loss = \"hinge\" } }\nexclude = [{ tau = 0.3 }]";
    let mut known = BTreeMap::new();
    let plan = loop {
        let Planned { plan, further } = plan_after(&with_method(method), &known);
        known.extend(plan.runs.iter().map(|run| (run.id.clone(), run.point["tau"].as_f64().unwrap())));
        if further == 0 {
            break plan;
        }
    };
    assert!(plan.runs.len() >= 4 * 4, "{}", plan.runs.len());
    for run in &plan.runs {
        assert!(run.point["tau"] != 0.3);
        assert_eq!(run.point.get("steps").is_some_and(|steps| *steps != 20), run.point["loss"] == "hinge");
    }
}

#[test]
fn what_tpe_cannot_search_is_wrong() {
    let pruned = format!("{}[pruning]\nmethod = \"asha\"\n", with_method(METHOD));
    assert!(diagnostics(&pruned).contains("learns from runs that have ended"));
    let idle =
        with_method("name = \"waves\"\nsearch = \"random\"\ntrials = 3\ngeneration = 2\ngrid = { tau = [1, 2] }");
    assert!(diagnostics(&idle).contains("only TPE proposes points in generations"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn proposals_are_numbers_of_their_axes_and_differ(
        seed in any::<u64>(), choices in 1usize..5, values in proptest::collection::vec(proptest::option::of(-1f64..1.0), 0..20),
    ) {
        let mut tpe = Tpe::new(vec![TpeAxis::Numbers, TpeAxis::Choices(choices)], seed);
        for (trial, value) in values.iter().enumerate() {
            let point = tpe.propose(trial, 1).remove(0);
            // An axis may not apply, and a training may diverge.
            tpe.tell(vec![Some(point[0]), (trial % 3 > 0).then_some(point[1])], *value);
        }
        let proposals = tpe.propose(values.len(), 6);
        prop_assert!(proposals.iter().flatten().all(|number| (0.0..1.0).contains(number)));
        prop_assert!(proposals.windows(2).all(|pair| pair[0][0] != pair[1][0]));
        prop_assert_eq!(&proposals, &tpe.propose(values.len(), 6));
    }
}
