//! Help for misspelled names.

/// Names of a list that help shows beside the nearest one.
const SHOWN: usize = 8;

/// Help for a name that is not among `known`: the nearest one, and all of them unless they are many.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let known: Vec<&str> = known.into_iter().collect();
    if known.is_empty() {
        return "there are none to choose from".to_owned();
    }
    let (count, list) = (known.len(), known.join(", "));
    match nearest(name, known) {
        Some(nearest) if count > SHOWN => format!("did you mean `{nearest}`?"),
        Some(nearest) => format!("did you mean `{nearest}`? known: {list}"),
        None => format!("known: {list}"),
    }
}

/// Bytes of the shortest prefix that can be taken for the name.
const SHORTEST_BEGINNING: usize = 4;

/// The nearest of `known`, if `name` is likely to be a misspelling of it.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known.into_iter().map(|k| (strsim::damerau_levenshtein(name, k), k));
    let (distance, nearest) = distances.min_by_key(|(distance, _)| *distance)?;
    // `cifar` for `cifar10`: more is missing than in a misspelling, but only one name begins with it.
    let begun = name.len() >= SHORTEST_BEGINNING && nearest.starts_with(name);
    (begun || distance <= (name.chars().count() / 3).max(1)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_near_are_suggested() {
        assert_eq!(did_you_mean("cifar", ["shapes", "cifar10"]), "did you mean `cifar10`? known: shapes, cifar10");
        assert_eq!(did_you_mean("epohcs", ["epochs", "rate"]), "did you mean `epochs`? known: epochs, rate");
        assert_eq!(did_you_mean("size", ["epochs", "rate"]), "known: epochs, rate");
        let many: Vec<String> = (0..9).map(|i| format!("key_{i}")).collect();
        assert_eq!(did_you_mean("keyy_3", many.iter().map(String::as_str)), "did you mean `key_3`?");
        assert_eq!(did_you_mean("size", []), "there are none to choose from");
    }
}
