//! The program as its users meet it: commands in, tables, messages, exit codes and files out.

mod cluster;
mod completion;
mod crossmodal;
mod damage;
mod devices;
mod doctor;
mod engines;
mod environment;
mod eval;
mod experiment_files;
mod exports;
mod external;
mod failures;
mod features;
mod fetching;
mod findings;
mod finetuning;
mod interruptions;
mod lab;
mod large;
mod leases;
mod listings;
#[allow(dead_code, reason = "its other users are tests of the program's own modules")]
#[path = "../../src/hub/local.rs"]
mod local;
mod ls;
mod mistakes;
mod npy;
mod own_data;
mod pruning;
mod repeats;
mod reports;
mod reproduce;
mod retries;
mod retrieval;
mod rows;
mod runs;
mod same_name;
mod search;
mod stacking;
mod streams;
mod sweeps;
mod tables;
mod texts;
mod trace;
