//! Whole evaluations: against reference values and definitions, and their invariances.

mod golden;
mod properties;
mod reference;
