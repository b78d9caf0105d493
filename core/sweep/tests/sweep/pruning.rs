//! `[pruning]`: which runs go on.

use std::collections::{BTreeMap, BTreeSet};

use hashlab_sweep::{Plan, Pruning, PruningMethod, Standing, Turn};
use proptest::prelude::*;

use crate::{planned, with_method};

fn halving(min_epochs: usize, eta: usize) -> Pruning {
    Pruning { method: PruningMethod::SuccessiveHalving, min_epochs, eta }
}

/// Executes what is asked of the runs until nothing is, in an order that `shuffle` decides; returns the epochs that each
/// reached. `curves` holds a validation value per run and epoch.
fn executed(
    pruning: &Pruning,
    settings: &[Vec<usize>],
    curves: &[Vec<f64>],
    shuffle: &mut dyn FnMut(usize) -> usize,
) -> Vec<usize> {
    let mut standing: Vec<Standing> =
        curves.iter().map(|curve| Standing { epochs: curve.len(), reached: 0, ended: false }).collect();
    loop {
        let validation = |run: usize, epoch: usize| curves[run].iter().take(epoch).copied().reduce(f64::max);
        let turns = pruning.turns(settings, |run| standing[run], validation);
        let due: Vec<(usize, Option<usize>)> = turns
            .into_iter()
            .filter_map(|(run, turn)| match turn {
                Turn::Train { until } => Some((run, until)),
                Turn::Wait | Turn::Stop => None,
            })
            .collect();
        if due.is_empty() {
            return standing.iter().map(|one| if one.ended { one.epochs } else { one.reached }).collect();
        }
        // One at a time: decisions may not depend on which run comes first.
        let (run, until) = due[shuffle(due.len())];
        match until {
            Some(epoch) => standing[run].reached = epoch,
            None => standing[run].ended = true,
        }
    }
}

/// Three settings go on of nine, then one of three; worked by hand.
#[test]
fn a_table_of_curves_is_halved_as_by_hand() {
    // Nine settings of 9 epochs; the best after one epoch are 4, 7 and 2, of which 2 is the best after three.
    let mut curves = vec![vec![0.1; 9]; 9];
    curves[4] = vec![0.6, 0.6, 0.6, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9];
    curves[7] = vec![0.5, 0.2, 0.55, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6];
    curves[2] = vec![0.4, 0.5, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7, 0.7];
    let settings: Vec<Vec<usize>> = (0..9).map(|run| vec![run]).collect();
    let reached = executed(&halving(1, 3), &settings, &curves, &mut |_| 0);
    assert_eq!(reached, [1, 1, 9, 1, 3, 1, 1, 3, 1]);
}

#[test]
fn seeds_count_by_their_mean_and_a_run_without_a_value_comes_last() {
    let pruning = halving(1, 2);
    let standing = |_| Standing { epochs: 4, reached: 1, ended: false };
    let values = BTreeMap::from([(0, 0.9), (1, 0.1), (2, 0.6), (3, 0.6), (4, 0.99)]);
    let turns = pruning.turns(&[vec![0, 1], vec![2, 3], vec![4, 5]], standing, |run, _| values.get(&run).copied());
    let go_on: Vec<usize> =
        turns.iter().filter(|(_, turn)| matches!(turn, Turn::Train { .. })).map(|(run, _)| *run).collect();
    assert_eq!(go_on, [2, 3], "0.6 beats the mean of 0.9 and 0.1, and a seed without a value");
}

#[test]
fn asynchronously_a_run_goes_on_if_it_is_among_the_best_so_far() {
    let pruning = halving(1, 3);
    let goes_on = |own: f64, others: &[f64]| pruning.goes_on(Some(own), others.iter().copied().map(Some));
    assert!(goes_on(0.1, &[]) && goes_on(0.3, &[0.1, 0.2]) && !goes_on(0.1, &[0.2]));
    assert!(!goes_on(0.2, &[0.2]), "of equal ones, the first is better");
    // Two of six go on.
    assert!(goes_on(0.5, &[0.9, 0.1, 0.1, 0.1, 0.1]) && !goes_on(0.5, &[0.9, 0.1, 0.1, 0.1]));
    assert!(!pruning.goes_on(None, [].into_iter()) && pruning.goes_on(Some(0.0), [None].into_iter()));
}

#[test]
fn a_single_setting_and_runs_without_epochs_are_never_stopped() {
    let pruning = halving(1, 3);
    let train = |epochs| Standing { epochs, reached: 0, ended: false };
    let alone = pruning.turns(&[vec![0, 1]], |_| train(9), |_, _| None);
    assert!(alone.values().all(|turn| *turn == Turn::Train { until: None }));
    let shallow = pruning.turns(&[vec![0], vec![1]], |_| train(0), |_, _| None);
    assert!(shallow.values().all(|turn| *turn == Turn::Train { until: None }));
    // A run that is shorter than a rung goes to its end, and competes with its best value.
    let mixed = pruning.turns(&[vec![0], vec![1]], |run| train([1, 9][run]), |_, _| None);
    assert_eq!(mixed, BTreeMap::from([(0, Turn::Train { until: None }), (1, Turn::Train { until: Some(1) })]));
}

proptest! {
    #[test]
    fn the_same_runs_survive_in_whatever_order_they_are_executed(
        curves in proptest::collection::vec(proptest::collection::vec(0f64..1.0, 12), 2..24),
        min_epochs in 1usize..5, eta in 2usize..5, seeds in 1usize..3, order in any::<u64>(),
    ) {
        let count = curves.len() / seeds * seeds;
        let settings: Vec<Vec<usize>> = (0..count).collect::<Vec<_>>().chunks(seeds).map(<[usize]>::to_vec).collect();
        let pruning = halving(min_epochs, eta);
        let mut state = order;
        let mut shuffle = |most: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % most
        };
        let first = executed(&pruning, &settings, &curves[..count], &mut |_| 0);
        prop_assert_eq!(&first, &executed(&pruning, &settings, &curves[..count], &mut shuffle));
        // As many survive at each rung as the rule says, and the seeds of a setting share their fate.
        let mut left = settings.len();
        for rung in pruning.rungs(12) {
            let beyond = settings.iter().filter(|runs| first[runs[0]] > rung).count();
            left = if left == 1 { 1 } else { (left / eta).max(1) };
            prop_assert_eq!(beyond, left);
        }
        prop_assert!(settings.iter().all(|runs| runs.iter().all(|run| first[*run] == first[runs[0]])));
    }
}

fn pruned(section: &str) -> Plan {
    planned(
        &with_method("name = \"waves\"\ngrid = { tau = [1, 2] }")
            .replace("bits = [16]", &format!("bits = [16, 32]\nseeds = [3, 4]\n{section}")),
    )
}

#[test]
fn pruning_is_a_part_of_the_plan_and_changes_no_run() {
    let section = "[pruning]\nmethod = \"successive_halving\"\nmin_epochs = 4\n";
    let (plan, whole) = (pruned(section), pruned(""));
    assert_eq!(plan.pruning, Some(halving(4, 3)));
    assert_eq!((&whole.pruning, &plan.runs), (&None, &whole.runs));
    assert_eq!(pruned("[pruning]\neta = 5\n").pruning, None);
    assert_eq!(Plan::from_jsonl(&plan.to_jsonl()).unwrap(), plan);
    assert!(!whole.to_jsonl().contains("pruning"), "a plan without it is the same as before");
}

#[test]
fn settings_of_a_row_and_a_code_length_compete() {
    let plan = pruned("");
    let contests = plan.contests();
    assert_eq!(contests.len(), 2);
    for contest in contests {
        assert_eq!(contest.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        let bits: BTreeSet<usize> = contest.iter().flatten().map(|run| plan.runs[*run].bits).collect();
        assert_eq!(bits.len(), 1);
        for setting in contest {
            assert!(setting.iter().all(|run| plan.runs[*run].setting == plan.runs[setting[0]].setting));
        }
    }
}
