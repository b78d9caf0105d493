//! How papers split CIFAR-10.

use hashlab_data::{DataError, Labels, Protocol, Roles, Split, draw};
use hashlab_rng::numpy::LegacyRandomState;

/// Items of the official training part; the official test part follows.
const TRAIN: u32 = 50_000;
/// Items of the official test part.
const TEST: u32 = 10_000;

/// Name, description and depth of mAP of each protocol, the default first.
const PROTOCOLS: [(&str, &str, Option<usize>); 5] = [
    (
        "cifar10",
        "1,000 queries and 5,000 train drawn per class from all 60,000 items, database the other 54,000 (DeepHash-pytorch)",
        None,
    ),
    ("cifar10-1", "as cifar10, but database 59,000: all but the queries, so train too (DeepHash-pytorch)", None),
    (
        "cifar10-2",
        "10,000 queries drawn per class from all 60,000 items, train and database the other 50,000 (DeepHash-pytorch)",
        None,
    ),
    (
        "official",
        "queries the official test part (10,000), train and database the official training part (50,000) (sdc, ep 5)",
        Some(1000),
    ),
    (
        "cibhash",
        "train 5,000 of the official training part, database all 50,000 of it, the official test part halved into validation and test queries; drawn as CIBHash's code draws (numpy, seed 0), so split_seed orders the database alone",
        Some(1000),
    ),
];

/// The protocols, the default first.
pub(super) fn protocols() -> Vec<Protocol> {
    PROTOCOLS.iter().map(|(name, description, map_at)| Protocol::new(name, description, *map_at)).collect()
}

/// Splits items with these labels.
pub(super) fn split(labels: &Labels, protocol: &str, split_seed: u64) -> Result<Split, DataError> {
    let roles = match protocol {
        "cifar10" => deephash(labels, split_seed, false)?,
        "cifar10-1" => deephash(labels, split_seed, true)?,
        "cifar10-2" => deephash_all(labels, split_seed)?,
        "official" => official(),
        "cibhash" => cibhash(labels),
        name => return Err(unknown(name)),
    };
    roles.into_split(labels.len(), split_seed)
}

fn unknown(name: &str) -> DataError {
    let known: Vec<&str> = PROTOCOLS.iter().map(|protocol| protocol.0).collect();
    DataError::Invalid(format!("data set `cifar10` has no protocol `{name}`\nhelp: known: {}", known.join(", ")))
}

/// 100 queries and 500 training items of every class; the database is the rest, with the training items or without.
fn deephash(labels: &Labels, split_seed: u64, train_in_database: bool) -> Result<Roles, DataError> {
    let ([query, train], mut database) = draw::per_class(labels, split_seed, [100, 500])?;
    if train_in_database {
        database.extend(&train);
    }
    Ok(Roles { train, validation_query: None, query, database })
}

/// 1,000 queries of every class; all others are trained on and searched in.
fn deephash_all(labels: &Labels, split_seed: u64) -> Result<Roles, DataError> {
    let ([query], rest) = draw::per_class(labels, split_seed, [1000])?;
    Ok(Roles { train: rest.clone(), validation_query: None, query, database: rest })
}

/// The split that the authors of CIFAR-10 made.
fn official() -> Roles {
    let train: Vec<u32> = (0..TRAIN).collect();
    Roles { database: train.clone(), train, validation_query: None, query: (TRAIN..TRAIN + TEST).collect() }
}

/// The draws of zexuanqiu/CIBHash, which seeds numpy with 0 on import: a permutation per class, whose first 500 are
/// trained on, then a shuffle of the test part, whose halves are validation and test queries.
fn cibhash(labels: &Labels) -> Roles {
    let mut numpy = LegacyRandomState::new(0);
    let mut train = Vec::new();
    for class in 0..labels.classes() {
        let mut items = labels.of_class(class);
        items.retain(|&item| item < TRAIN);
        train.extend(numpy.permutation(items.len()).into_iter().take(500).map(|at| items[at as usize]));
    }
    let mut validation: Vec<u32> = (TRAIN..TRAIN + TEST).collect();
    numpy.shuffle(&mut validation);
    let query = validation.split_off(validation.len() / 2);
    Roles { train, validation_query: Some(validation), query, database: (0..TRAIN).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Labels of the official sizes: 5,000 and 1,000 of every class, the `p`-th of class `c` at item `c + 10 p`.
    fn labels() -> Labels {
        Labels::single(10, (0..60_000).map(|item| item % 10))
    }

    fn sizes(protocol: &str) -> [usize; 5] {
        let sizes = split(&labels(), protocol, 3).unwrap().sizes();
        [sizes.query, sizes.train, sizes.validation_query, sizes.database, sizes.validation_database]
    }

    fn per_class(items: &[u32]) -> Vec<usize> {
        (0..10).map(|class| items.iter().filter(|&item| item % 10 == class).count()).collect()
    }

    #[test]
    fn sizes_are_the_published_ones_less_the_held_out() {
        assert_eq!(sizes("cifar10"), [1_000, 4_500, 500, 54_000, 54_000]);
        assert_eq!(sizes("cifar10-1"), [1_000, 4_500, 500, 59_000, 58_500]);
        assert_eq!(sizes("cifar10-2"), [10_000, 49_000, 1_000, 50_000, 49_000]);
        assert_eq!(sizes("official"), [10_000, 49_000, 1_000, 50_000, 49_000]);
        assert_eq!(sizes("cibhash"), [5_000, 5_000, 5_000, 50_000, 50_000]);
    }

    #[test]
    fn no_query_is_learned_from_or_searched_in() {
        for (protocol, seed) in PROTOCOLS.iter().flat_map(|protocol| [(protocol.0, 0), (protocol.0, 1)]) {
            let split = split(&labels(), protocol, seed).unwrap();
            let [query, validation] = [&split.query, &split.validation_query].map(|role| membership(role));
            for role in [&split.train, &split.validation_query, &split.database, &split.validation_database] {
                assert!(role.iter().all(|&item| !query[item as usize]), "{protocol}");
            }
            for role in [&split.train, &split.validation_database] {
                assert!(role.iter().all(|&item| !validation[item as usize]), "{protocol}");
            }
            let neighbors = split.database.windows(2).filter(|pair| pair[0] % 10 == pair[1] % 10).count();
            let share = neighbors as f64 / split.database.len() as f64;
            assert!((share - 0.1).abs() < 0.01, "{protocol}: {share} of neighbors are of one class");
        }
    }

    fn membership(items: &[u32]) -> Vec<bool> {
        let mut has = vec![false; 60_000];
        items.iter().for_each(|&item| has[item as usize] = true);
        has
    }

    #[test]
    fn a_seed_gives_one_split() {
        for protocol in PROTOCOLS {
            let [a, b, c] = [5, 5, 6].map(|seed| split(&labels(), protocol.0, seed).unwrap());
            assert_eq!(a, b);
            assert_ne!(a.database, c.database);
        }
    }

    #[test]
    fn draws_are_balanced_over_classes() {
        let split = split(&labels(), "cifar10", 0).unwrap();
        assert_eq!(per_class(&split.query), [100; 10]);
        assert_eq!(per_class(&[split.train, split.validation_query].concat()), [500; 10]);
        assert_eq!(per_class(&split.database), [5_400; 10]);
    }

    #[test]
    fn cifar10_and_cifar10_1_share_queries_and_train() {
        let [a, b] = ["cifar10", "cifar10-1"].map(|protocol| split(&labels(), protocol, 9).unwrap());
        assert_eq!((a.query, a.train), (b.query, b.train));
    }

    #[test]
    fn official_queries_are_the_official_test_part() {
        let split = split(&labels(), "official", 0).unwrap();
        assert!(split.query.iter().copied().eq(TRAIN..TRAIN + TEST));
        assert!(split.database.iter().all(|&item| item < TRAIN));
    }

    /// Checked against numpy 2.4.6:
    /// ```python
    /// numpy.random.seed(0)
    /// perms = [numpy.random.permutation(5000)[:500] for _ in range(10)]
    /// test = numpy.arange(10000); numpy.random.shuffle(test)
    /// print(perms[0][:5], perms[0].sum(), perms[9][:4], perms[9].sum(), test[:4], test[5000:5004], test[:5000].sum())
    /// ```
    #[test]
    fn cibhash_draws_what_the_reference_code_draws() {
        let Roles { train, validation_query, query, .. } = cibhash(&labels());
        let positions = |class: usize| -> Vec<u32> {
            train[class * 500..][..500].iter().map(|item| (item - class as u32) / 10).collect()
        };
        assert_eq!(positions(0)[..5], [398, 3833, 4836, 4572, 636]);
        assert_eq!(positions(0).iter().sum::<u32>(), 1_272_556);
        assert_eq!(positions(9)[..4], [2204, 3816, 2206, 2507]);
        assert_eq!(positions(9).iter().sum::<u32>(), 1_230_592);
        let in_test = |items: &[u32]| items.iter().map(|item| item - TRAIN).collect::<Vec<_>>();
        let validation = in_test(&validation_query.unwrap());
        assert_eq!(validation[..4], [8816, 8268, 9110, 6045]);
        assert_eq!(validation.iter().sum::<u32>(), 24_948_631);
        assert_eq!(in_test(&query)[..4], [264, 8183, 5245, 5098]);
    }

    #[test]
    fn the_split_seed_of_cibhash_orders_the_database_alone() {
        let [a, b] = [0, 1].map(|seed| split(&labels(), "cibhash", seed).unwrap());
        assert_ne!(a.database, b.database);
        assert_eq!((a.train, a.query, a.validation_query), (b.train, b.query, b.validation_query));
    }

    #[test]
    fn items_that_are_not_cifar10s_are_refused() {
        let few = Labels::single(10, (0..60).map(|item| item % 10));
        for protocol in PROTOCOLS {
            assert!(matches!(split(&few, protocol.0, 0), Err(DataError::Invalid(_))), "{}", protocol.0);
        }
        assert!(split(&labels(), "cifar100", 0).unwrap_err().to_string().contains("cifar10-2"));
    }
}
