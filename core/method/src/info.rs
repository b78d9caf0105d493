//! Facts about a method.

use hashlab_data::Needs;

/// Facts about a method.
#[derive(Clone, Debug)]
pub struct MethodInfo {
    /// Snake-case name, as experiment files write it.
    pub name: &'static str,
    /// Name as papers print it.
    pub title: &'static str,
    /// Paper: authors, title, venue and year.
    pub paper: &'static str,
    /// Supervision.
    pub supervision: Supervision,
    /// Modalities that it needs, and whether a code may depend on several.
    pub needs: Needs,
    /// Whether it learns from augmented views.
    pub augmented: bool,
    /// Whether its result depends on the run's seed.
    pub seeded: bool,
    /// Revision of the method, raised whenever its results or defaults change, so that old runs are not taken for new
    /// ones.
    pub revision: u32,
}

/// Supervision of a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Supervision {
    /// No supervision; the method receives no labels.
    Unsupervised,
    /// Class labels of the training items.
    Supervised,
}
