//! Whole evaluations: against the oracle, against the definitions, and against what must not change them.

mod golden;
mod properties;
mod reference;
