//! Whole evaluations: against reference values, against the definitions, and against what must not change them.

mod golden;
mod properties;
mod reference;
