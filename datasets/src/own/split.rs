//! Splits of a user's own files: roles that files give, or draws.

use hashlab_data::{DataError, Labels, Protocol, Roles, Split, draw};
use hashlab_rng::stream;

use super::settings::OwnSettings;

/// The only protocol of a user's own files.
const PROTOCOL: &str = "split";

/// Items by role, as files give them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Given {
    pub(crate) query: Vec<u32>,
    pub(crate) train: Option<Vec<u32>>,
    pub(crate) database: Option<Vec<u32>>,
    pub(crate) validation_query: Option<Vec<u32>>,
    /// A database of the validation queries' own. Not set: that of the test queries without them.
    pub(crate) validation_database: Option<Vec<u32>>,
}

impl Given {
    /// Sets the items of a role.
    ///
    /// # Panics
    /// If there is no such role.
    pub(crate) fn set(&mut self, role: &str, items: Vec<u32>) {
        match role {
            "query" => self.query = items,
            "train" => self.train = Some(items),
            "database" => self.database = Some(items),
            "validation_query" => self.validation_query = Some(items),
            _ => unreachable!("no role `{role}`"),
        }
    }

    /// Adds all roles to a digest.
    pub(crate) fn hash(&self, hasher: &mut blake3::Hasher) {
        let roles = [Some(&self.query), self.train.as_ref(), self.database.as_ref(), self.validation_query.as_ref()];
        for items in roles {
            hasher.update(&items.map_or(0, |items| items.len() as u64 + 1).to_le_bytes());
            for item in items.into_iter().flatten() {
                hasher.update(&item.to_le_bytes());
            }
        }
        // After the others, and only where there is one, so that splits without it keep their digest.
        if let Some(items) = &self.validation_database {
            hasher.update(bytemuck::cast_slice(items));
        }
    }

    /// Maps items to others or to nothing; what is no query after it leaves the queries.
    pub(crate) fn map(&self, to: impl Fn(u32) -> Option<u32>, may_query: impl Fn(u32) -> bool) -> Self {
        let one = |items: &Vec<u32>, queries: bool| -> Vec<u32> {
            items.iter().filter_map(|&item| to(item)).filter(|&item| !queries || may_query(item)).collect()
        };
        Self {
            query: one(&self.query, true),
            train: self.train.as_ref().map(|items| one(items, false)),
            database: self.database.as_ref().map(|items| one(items, false)),
            validation_query: self.validation_query.as_ref().map(|items| one(items, true)),
            validation_database: self.validation_database.as_ref().map(|items| one(items, false)),
        }
    }

    /// The roles, where what is not given is the other one, or all items but the queries.
    fn roles(&self, items: usize) -> Roles {
        let mut queries: Vec<u32> = [&self.query[..], self.validation_query.as_deref().unwrap_or_default()].concat();
        queries.sort_unstable();
        let others = || (0..items as u32).filter(|item| queries.binary_search(item).is_err()).collect();
        let database = self.database.clone().or_else(|| self.train.clone()).unwrap_or_else(others);
        Roles {
            train: self.train.clone().unwrap_or_else(|| database.clone()),
            validation_query: self.validation_query.clone(),
            query: self.query.clone(),
            database,
        }
    }
}

/// A protocol and how its roles come about.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) protocol: Protocol,
    pub(crate) rule: Rule,
}

/// How roles come about.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    /// Files give them.
    Given(Given),
    /// They are drawn.
    Drawn(Draw),
}

/// A draw of queries and training items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// Queries: a count, or a fraction below 1.
    pub(crate) queries: f64,
    /// Training items, in the same way; `None` is all others.
    pub(crate) train_items: Option<f64>,
    /// Whether both are counts of every class.
    pub(crate) per_class: bool,
    /// Whether the training items are in the database, too.
    pub(crate) train_in_database: bool,
}

impl Recipe {
    /// The recipe that a user's settings say.
    pub(crate) fn of(settings: &OwnSettings, given: Option<Given>) -> Self {
        let draw = Draw {
            queries: settings.queries.unwrap_or_default(),
            train_items: settings.train_items,
            per_class: settings.per_class,
            train_in_database: settings.train_in_database,
        };
        let rule = given.map_or(Rule::Drawn(draw), Rule::Given);
        Self { protocol: Protocol::new(PROTOCOL, &describe(settings), None), rule }
    }

    /// Splits the items. Those without a label are never queries.
    ///
    /// # Errors
    /// If there are too few items, or roles share an item that they must not.
    pub(crate) fn split(&self, labels: &Labels, classes: &[String], split_seed: u64) -> Result<Split, DataError> {
        let labelled = |item: u32| labels.item(item as usize).iter().any(|word| *word != 0);
        let roles = match &self.rule {
            Rule::Given(given) => given.roles(labels.len()),
            Rule::Drawn(draw) if draw.per_class => draw.each_class(labels, classes, split_seed)?,
            Rule::Drawn(draw) => draw.overall(labels.len(), split_seed, labelled)?,
        };
        let split = roles.into_split_among(labels.len(), split_seed, labelled);
        let split = split.and_then(|split| match &self.rule {
            Rule::Given(Given { validation_database: Some(own), .. }) => {
                split.with_validation_database(own.clone(), labels.len(), split_seed)
            }
            _ => Ok(split),
        });
        split.map_err(|error| self.with_source(error))
    }

    /// An error of a given split with the files that give it.
    fn with_source(&self, error: DataError) -> DataError {
        match (&self.rule, error) {
            (Rule::Given(_), DataError::Invalid(message)) => {
                let (first, help) = message.split_once('\n').unwrap_or((&message, "help: correct these files"));
                DataError::Invalid(format!("{first}; the split is given: {}\n{help}", self.protocol.description))
            }
            (_, error) => error,
        }
    }
}

impl Draw {
    fn each_class(&self, labels: &Labels, classes: &[String], split_seed: u64) -> Result<Roles, DataError> {
        let counts = [self.queries, self.train_items.unwrap_or(0.0)].map(|count| count as usize);
        let drawn = draw::per_class(labels, split_seed, counts).map_err(|error| too_few(error, classes));
        let ([query, train], rest) = drawn?;
        Ok(self.roles(query, train, rest))
    }

    fn overall(&self, items: usize, split_seed: u64, labelled: impl Fn(u32) -> bool) -> Result<Roles, DataError> {
        let amount = |amount: f64| match amount {
            fraction if fraction < 1.0 => (fraction * items as f64).round() as usize,
            count => count as usize,
        };
        let (queries, train) = (amount(self.queries), amount(self.train_items.unwrap_or(0.0)));
        let order = stream(split_seed, "split/overall", &[]).permutation(items);
        let query: Vec<u32> = order.iter().copied().filter(|&item| labelled(item)).take(queries).collect();
        if let Some(problem) =
            self.unmet(queries, train, items, (0..items as u32).filter(|&item| labelled(item)).count())
        {
            return Err(DataError::Invalid(problem));
        }
        let mut drawn = query.clone();
        drawn.sort_unstable();
        let mut rest: Vec<u32> = order.into_iter().filter(|item| drawn.binary_search(item).is_err()).collect();
        let others = rest.split_off(train);
        Ok(self.roles(query, rest, others))
    }

    /// Why so many queries and training items cannot be drawn, and what to do.
    fn unmet(&self, queries: usize, train: usize, items: usize, labelled: usize) -> Option<String> {
        let asked = match self.train_items {
            None => format!("`queries` asks for {queries} of {items} items"),
            Some(_) => format!("`queries` and `train_items` ask for {queries} and {train} of {items} items"),
        };
        let whole_database = self.train_items.is_some() && self.train_in_database;
        let problem = match () {
            () if labelled < queries && labelled < items => format!("{asked}, {labelled} of them with a label"),
            () if queries + train > items => asked,
            () if queries == 0 => return Some(format!("{asked}, which is none\nhelp: raise `queries` in [data]")),
            () if self.train_items.is_none() && queries == items => format!("{asked}: none is left to train on"),
            () if !whole_database && queries + train == items => format!("{asked}: none is left to search in"),
            () => return None,
        };
        let lower = if self.train_items.is_some() { "`queries` or `train_items`" } else { "`queries`" };
        Some(format!("{problem}\nhelp: lower {lower} in [data]"))
    }

    /// The roles of drawn items; without a number of training items, all but the queries are trained on.
    fn roles(&self, query: Vec<u32>, train: Vec<u32>, rest: Vec<u32>) -> Roles {
        if self.train_items.is_none() {
            return Roles { train: rest.clone(), validation_query: None, query, database: rest };
        }
        let database = if self.train_in_database { [train.clone(), rest].concat() } else { rest };
        Roles { train, validation_query: None, query, database }
    }
}

/// Names the class in the message of a draw.
fn too_few(error: DataError, classes: &[String]) -> DataError {
    let DataError::Invalid(mut message) = error else { return error };
    for (number, name) in classes.iter().enumerate().rev() {
        message = message.replace(&format!("class {number},"), &format!("class `{name}`,"));
    }
    DataError::Invalid(message + "\nhelp: lower `queries` or `train_items`, or leave `per_class` out of [data]")
}

/// One line about the split.
fn describe(settings: &OwnSettings) -> String {
    let Some(queries) = settings.queries else {
        let named = settings.roles().into_iter().filter_map(|(role, place)| Some(format!("{role} of {}", place?)));
        return named.collect::<Vec<_>>().join(", ");
    };
    let amount = |amount: f64| match amount {
        fraction if fraction < 1.0 => format!("{} %", fraction * 100.0),
        count => format!("{count}"),
    };
    let each = if settings.per_class { " of every class" } else { "" };
    let train = match settings.train_items {
        None => "database and train all others".to_owned(),
        Some(train) if settings.train_in_database => {
            format!("{} train items drawn{each} from the others, database all others", amount(train))
        }
        Some(train) => format!("{} train items drawn{each} from the others, database the rest", amount(train)),
    };
    format!("{} queries drawn{each} by split_seed, {train}", amount(queries))
}
