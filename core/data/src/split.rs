//! Splits: the items to train on, the queries, and the databases.

use std::fmt;

use hashlab_rng::stream;
use serde::Serialize;

use crate::DataError;

/// Largest number of training items that are held out as validation queries.
const MOST_HELD_OUT: usize = 1_000;

/// Item indices by role. A method may learn from `train` only; selection may use the validation roles only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Items to learn from, ascending; never a validation or test query.
    pub train: Vec<u32>,
    /// Validation queries, ascending: the protocol's own, or held out of its training items.
    pub validation_query: Vec<u32>,
    /// Database of the validation queries, in ranking order: that of the test queries without them, or one of its own.
    pub validation_database: Vec<u32>,
    /// Test queries, ascending.
    pub query: Vec<u32>,
    /// Database of the test queries, in ranking order: ties in distance rank by position here.
    pub database: Vec<u32>,
}

/// Number of items of a split in every role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Sizes {
    /// Items to learn from, after the hold-out.
    pub train: usize,
    /// Validation queries.
    pub validation_query: usize,
    /// Database of the validation queries.
    pub validation_database: usize,
    /// Test queries.
    pub query: usize,
    /// Database of the test queries.
    pub database: usize,
}

impl fmt::Display for Sizes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { train, validation_query, query, database, .. } = self;
        write!(
            f,
            "{query} queries, {database} database items, {train} training items, {validation_query} validation queries"
        )
    }
}

impl Split {
    /// Counts the items of every role.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            train: self.train.len(),
            validation_query: self.validation_query.len(),
            validation_database: self.validation_database.len(),
            query: self.query.len(),
            database: self.database.len(),
        }
    }

    /// Gives the validation queries a database of their own, in which `split_seed` orders the items.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if it is empty, repeats an item or has one that there is not, or holds a query.
    pub fn with_validation_database(
        self,
        mut database: Vec<u32>,
        items: usize,
        split_seed: u64,
    ) -> Result<Self, DataError> {
        let searched = Members::of("validation_database", &database, items)?;
        for (role, queries) in [("query", &self.query), ("validation_query", &self.validation_query)] {
            searched.disjoint(&Members::of(role, queries, items)?)?;
        }
        database.sort_unstable();
        stream(split_seed, "split/validation_database", &[]).shuffle(&mut database);
        Ok(Self { validation_database: database, ..self })
    }
}

/// Draws of a protocol, in any order, before the rules of all protocols are applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roles {
    /// Items to learn from. They may be in the database.
    pub train: Vec<u32>,
    /// The protocol's own validation queries; without them some are held out of `train`.
    pub validation_query: Option<Vec<u32>>,
    /// Test queries.
    pub query: Vec<u32>,
    /// Database of the test queries.
    pub database: Vec<u32>,
}

impl Roles {
    /// Applies the rules that hold for all protocols of data sets with `items` items:
    ///
    /// - No item repeats within a role; a query, for test or for the protocol's own validation, is in no other role.
    /// - The database is shuffled once, by `split_seed`: ties in distance rank by position, so a database in class
    ///   order would move mAP.
    /// - Without own validation queries, min(1,000, 10 %) of the training items are held out as validation queries;
    ///   they leave `train`, and are searched against the database without them.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if the roles break the first rule, name an item that is not there, or are empty.
    pub fn into_split(self, items: usize, split_seed: u64) -> Result<Split, DataError> {
        self.into_split_among(items, split_seed, |_| true)
    }

    /// [`into_split`](Self::into_split) that holds out only items that may be queries, such as those with a label.
    ///
    /// # Errors
    /// As those of `into_split`.
    pub fn into_split_among(
        self,
        items: usize,
        split_seed: u64,
        may_query: impl Fn(u32) -> bool,
    ) -> Result<Split, DataError> {
        self.check(items)?;
        Ok(self.arranged(split_seed, |train| hold_out(train, split_seed, may_query)))
    }

    /// Orders the items of every role; `hold_out` chooses the validation queries where the roles have none.
    fn arranged(self, split_seed: u64, hold_out: impl FnOnce(&mut Vec<u32>) -> Vec<u32>) -> Split {
        let Self { mut train, validation_query, mut query, mut database } = self;
        // Sorted before any draw, so that the split depends on the roles as sets.
        train.sort_unstable();
        query.sort_unstable();
        database.sort_unstable();
        stream(split_seed, "split/database", &[]).shuffle(&mut database);
        let mut validation_query = validation_query.unwrap_or_else(|| hold_out(&mut train));
        validation_query.sort_unstable();
        let validation_database =
            database.iter().copied().filter(|item| validation_query.binary_search(item).is_err()).collect();
        Split { train, validation_query, validation_database, query, database }
    }

    /// Applies the rules of [`Roles::into_split`] to roles whose validation queries were held out before: they may be
    /// in the database, and are searched against `validation_database`, some of its items.
    ///
    /// # Errors
    /// [`DataError::Invalid`] if the roles break the rules, or have no validation queries.
    pub fn into_split_with(
        self,
        validation_database: &[u32],
        items: usize,
        split_seed: u64,
    ) -> Result<Split, DataError> {
        let Some(validation_query) = self.validation_query.clone() else {
            return Err(DataError::Invalid("`validation_database` needs `validation_query` beside it".to_owned()));
        };
        let searched = Members::of("validation_database", validation_database, items)?;
        let validation = Members::of("validation_query", &validation_query, items)?;
        for role in [&searched, &Members::of("train", &self.train, items)?, &Members::of("query", &self.query, items)?]
        {
            validation.disjoint(role)?;
        }
        searched.within(&Members::of("database", &self.database, items)?)?;
        let roles = Self { validation_query: None, ..self };
        roles.check(items)?;
        let mut split = roles.arranged(split_seed, |_| validation_query);
        split.validation_database.retain(|item| searched.has[*item as usize]);
        Ok(split)
    }

    /// Checks ranges, repetitions and the roles that must not share an item.
    fn check(&self, items: usize) -> Result<(), DataError> {
        let train = Members::of("train", &self.train, items)?;
        let database = Members::of("database", &self.database, items)?;
        let query = Members::of("query", &self.query, items)?;
        query.disjoint(&train)?;
        query.disjoint(&database)?;
        if let Some(own) = &self.validation_query {
            let validation = Members::of("validation_query", own, items)?;
            validation.disjoint(&train)?;
            validation.disjoint(&database)?;
            validation.disjoint(&query)?;
        }
        Ok(())
    }
}

/// Moves min(1,000, 10 %) of `train`, drawn at random from what may be a query, into a list of their own.
fn hold_out(train: &mut Vec<u32>, split_seed: u64, may_query: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut held: Vec<u32> = train.iter().copied().filter(|&item| may_query(item)).collect();
    stream(split_seed, "split/validation", &[]).shuffle(&mut held);
    held.truncate((train.len() / 10).min(MOST_HELD_OUT));
    held.sort_unstable();
    train.retain(|item| held.binary_search(item).is_err());
    held
}

/// Membership of items in a role.
struct Members {
    role: &'static str,
    has: Vec<bool>,
}

impl Members {
    fn of(role: &'static str, list: &[u32], items: usize) -> Result<Self, DataError> {
        if list.is_empty() {
            return Err(DataError::Invalid(format!("the split's `{role}` is empty")));
        }
        let mut has = vec![false; items];
        for &item in list {
            match has.get_mut(item as usize) {
                None => {
                    return Err(DataError::Invalid(format!(
                        "the split's `{role}` names item {item}, but there are {items} items"
                    )));
                }
                Some(true) => {
                    return Err(DataError::Invalid(format!("the split's `{role}` holds item {item} twice")));
                }
                Some(seen) => *seen = true,
            }
        }
        Ok(Self { role, has })
    }

    fn within(&self, other: &Self) -> Result<(), DataError> {
        match self.has.iter().zip(&other.has).position(|(a, b)| *a && !*b) {
            None => Ok(()),
            Some(item) => Err(DataError::Invalid(format!(
                "item {item} is in `{}` and not in `{}` of the split",
                self.role, other.role
            ))),
        }
    }

    fn disjoint(&self, other: &Self) -> Result<(), DataError> {
        match self.has.iter().zip(&other.has).position(|(a, b)| *a && *b) {
            None => Ok(()),
            Some(item) => Err(DataError::Invalid(format!(
                "item {item} is in both `{}` and `{}` of the split",
                self.role, other.role
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Items 0..100 are queries, 100..300 the database, 150..300 of it trained on.
    fn roles() -> Roles {
        Roles {
            train: (150..300).collect(),
            validation_query: None,
            query: (0..100).collect(),
            database: (100..300).collect(),
        }
    }

    fn sorted(list: &[u32]) -> Vec<u32> {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    }

    #[test]
    fn a_tenth_of_train_is_held_out_and_leaves_train_and_the_validation_database() {
        let split = roles().into_split(300, 5).unwrap();
        let sizes = Sizes { train: 135, validation_query: 15, validation_database: 185, query: 100, database: 200 };
        assert_eq!(split.sizes(), sizes);
        assert_eq!(sorted(&[split.train, split.validation_query.clone()].concat()), (150..300).collect::<Vec<_>>());
        assert!(split.validation_database.iter().all(|item| !split.validation_query.contains(item)));
        assert_eq!(sorted(&split.database), (100..300).collect::<Vec<_>>());
    }

    #[test]
    fn only_what_may_be_a_query_is_held_out() {
        let split = roles().into_split_among(300, 5, |item| item % 5 == 0).unwrap();
        assert_eq!(split.validation_query.len(), 15);
        assert!(split.validation_query.iter().all(|item| item % 5 == 0));
        let none = roles().into_split_among(300, 5, |_| false).unwrap();
        assert!(none.validation_query.is_empty() && none.train.len() == 150);
    }

    #[test]
    fn no_more_than_a_thousand_are_held_out() {
        let roles = Roles { train: (1..50_000).collect(), query: vec![0], database: vec![1], validation_query: None };
        assert_eq!(roles.into_split(50_000, 0).unwrap().validation_query.len(), 1_000);
    }

    #[test]
    fn own_validation_queries_leave_train_and_database_alone() {
        let roles = Roles { validation_query: Some((60..100).rev().collect()), query: (0..60).collect(), ..roles() };
        let split = roles.into_split(300, 5).unwrap();
        assert_eq!(split.validation_query, (60..100).collect::<Vec<_>>());
        assert_eq!(split.train, (150..300).collect::<Vec<_>>());
        assert_eq!(split.validation_database, split.database);
    }

    #[test]
    fn the_order_of_the_database_depends_on_the_seed_alone() {
        let split = |roles: Roles, seed| roles.into_split(300, seed).unwrap();
        let reversed = Roles { train: (150..300).rev().collect(), database: (100..300).rev().collect(), ..roles() };
        assert_eq!(split(roles(), 1), split(reversed, 1));
        assert_ne!(split(roles(), 1).database, split(roles(), 2).database);
        assert_ne!(split(roles(), 1).validation_query, split(roles(), 2).validation_query);
        assert_ne!(split(roles(), 1).database, sorted(&split(roles(), 1).database));
    }

    #[test]
    fn roles_that_leak_repeat_or_leave_the_data_set_are_refused() {
        let message = |roles: Roles| roles.into_split(300, 0).unwrap_err().to_string();
        let leak = Roles { query: vec![7, 160], ..roles() };
        assert_eq!(message(leak), "item 160 is in both `query` and `train` of the split");
        let leak = Roles { query: vec![7, 110], ..roles() };
        assert_eq!(message(leak), "item 110 is in both `query` and `database` of the split");
        let leak = Roles { validation_query: Some(vec![120]), ..roles() };
        assert_eq!(message(leak), "item 120 is in both `validation_query` and `database` of the split");
        let leak = Roles { validation_query: Some(vec![3]), ..roles() };
        assert_eq!(message(leak), "item 3 is in both `validation_query` and `query` of the split");
        let twice = Roles { query: vec![7, 7], ..roles() };
        assert_eq!(message(twice), "the split's `query` holds item 7 twice");
        let beyond = Roles { query: vec![300], ..roles() };
        assert_eq!(message(beyond), "the split's `query` names item 300, but there are 300 items");
        let empty = Roles { train: vec![], ..roles() };
        assert_eq!(message(empty), "the split's `train` is empty");
    }

    #[test]
    fn a_split_given_by_its_roles_is_the_same() {
        let split = roles().into_split(300, 3).unwrap();
        let again = |validation_database: &[u32]| {
            let Split { train, validation_query, query, database, .. } = split.clone();
            let roles = Roles { train, validation_query: Some(validation_query), query, database };
            roles.into_split_with(validation_database, 300, 3)
        };
        assert_eq!(again(&sorted(&split.validation_database)).unwrap(), split);
        // A part of the database is valid; an item outside of it, or a query itself, is not.
        let few = again(&split.validation_database[..5]).unwrap();
        assert_eq!(few.validation_database, split.validation_database[..5]);
        let message = |items: &[u32]| again(items).unwrap_err().to_string();
        assert_eq!(message(&[0]), "item 0 is in `validation_database` and not in `database` of the split");
        assert!(message(&split.validation_query).contains("is in both `validation_query` and `validation_database`"));
    }
}
