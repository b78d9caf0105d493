//! Seeded draws, which protocols are built of.
//!
//! Every draw has its own stream under the protocol's `split_seed`; none depends on the seed of a run.

use std::array;

use hashlab_rng::stream;

use crate::{DataError, Labels};

/// Draws disjoint groups with `counts[g]` items of every class in group `g`. Returns the groups, class after class,
/// and the items that no group took, ascending.
///
/// Classes draw in turn from the items left, so an item of several classes is drawn at most once.
///
/// # Errors
/// [`DataError::Invalid`] if a class has too few items.
pub fn per_class<const G: usize>(
    labels: &Labels,
    split_seed: u64,
    counts: [usize; G],
) -> Result<([Vec<u32>; G], Vec<u32>), DataError> {
    let mut groups = array::from_fn(|_| Vec::new());
    let mut taken = vec![false; labels.len()];
    for class in 0..labels.classes() {
        let mut candidates = labels.of_class(class);
        candidates.retain(|&item| !taken[item as usize]);
        need(candidates.len(), &counts, || format!("class {class}"))?;
        stream(split_seed, "split/class", &[class as u64]).shuffle(&mut candidates);
        for item in deal(&candidates, &counts, &mut groups) {
            taken[*item as usize] = true;
        }
    }
    let rest = (0..labels.len() as u32).filter(|&item| !taken[item as usize]).collect();
    Ok((groups, rest))
}

/// Draws disjoint groups of `counts[g]` items from `0..items`. Returns the groups and the items that no group took,
/// ascending.
///
/// # Errors
/// [`DataError::Invalid`] if there are too few items.
pub fn overall<const G: usize>(
    items: usize,
    split_seed: u64,
    counts: [usize; G],
) -> Result<([Vec<u32>; G], Vec<u32>), DataError> {
    need(items, &counts, || "the data set".into())?;
    let mut groups = array::from_fn(|_| Vec::new());
    let order = stream(split_seed, "split/overall", &[]).permutation(items);
    let drawn = deal(&order, &counts, &mut groups).len();
    let mut rest = order[drawn..].to_vec();
    rest.sort_unstable();
    Ok((groups, rest))
}

/// Deals the front of `order` to the groups; returns the dealt items.
fn deal<'a>(order: &'a [u32], counts: &[usize], groups: &mut [Vec<u32>]) -> &'a [u32] {
    let mut dealt = 0;
    for (group, &count) in groups.iter_mut().zip(counts) {
        group.extend(&order[dealt..dealt + count]);
        dealt += count;
    }
    &order[..dealt]
}

/// Fails unless `available` items suffice for all groups.
fn need(available: usize, counts: &[usize], whose: impl FnOnce() -> String) -> Result<(), DataError> {
    let needed: usize = counts.iter().sum();
    if available < needed {
        let whose = whose();
        return Err(DataError::Invalid(format!("the protocol needs {needed} items of {whose}, got {available}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn classes_in(labels: &Labels, items: &[u32]) -> Vec<usize> {
        let mut counts = vec![0; labels.classes()];
        for class in items.iter().flat_map(|&item| labels.classes_of(item as usize)) {
            counts[class] += 1;
        }
        counts
    }

    #[test]
    fn every_class_gives_every_group_its_count_and_no_item_is_drawn_twice() {
        let labels = Labels::single(3, (0..90).map(|i| i % 3));
        let ([few, many], rest) = per_class(&labels, 7, [2, 5]).unwrap();
        assert_eq!(classes_in(&labels, &few), [2, 2, 2]);
        assert_eq!(classes_in(&labels, &many), [5, 5, 5]);
        assert_eq!(classes_in(&labels, &rest), [23, 23, 23]);
        let mut all = [few, many, rest].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..90));
    }

    #[test]
    fn an_item_of_several_classes_is_drawn_once() {
        let labels = Labels::multi(2, vec![vec![0, 1]; 10]);
        let ([drawn], rest) = per_class(&labels, 0, [5]).unwrap();
        assert_eq!((drawn.len(), rest.len()), (10, 0));
    }

    #[test]
    fn draws_differ_by_seed_alone() {
        let labels = Labels::single(2, (0..100).map(|i| i % 2));
        let draw = |seed| per_class(&labels, seed, [10]).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let draw = |seed| overall(100, seed, [10, 20]).unwrap();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let ([a, b], rest) = draw(1);
        assert_eq!((a.len(), b.len(), rest.len()), (10, 20, 70));
    }

    #[test]
    fn too_few_items_are_an_error_with_both_numbers() {
        let labels = Labels::single(2, [0, 0, 0, 1]);
        let error = per_class(&labels, 0, [1, 1]).unwrap_err();
        assert_eq!(error.to_string(), "the protocol needs 2 items of class 1, got 1");
        let error = overall(4, 0, [5]).unwrap_err();
        assert_eq!(error.to_string(), "the protocol needs 5 items of the data set, got 4");
    }
}
