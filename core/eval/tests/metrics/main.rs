//! Whole evaluations: against reference values and definitions, and their invariances.

mod case;
mod golden;
mod properties;
mod reference;
mod statistics;
mod streamed;
