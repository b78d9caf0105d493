//! The program as its users meet it: commands in, tables, messages, exit codes and files out.

mod crossmodal;
mod damage;
mod devices;
mod environment;
mod eval;
mod failures;
mod features;
mod findings;
mod finetuning;
mod interruptions;
mod lab;
mod listings;
mod mistakes;
mod npy;
mod own_data;
mod repeats;
mod reports;
mod rows;
mod same_name;
mod streams;
mod sweeps;
mod tables;
mod texts;
mod trace;
