//! The built program, driven as a person or a script drives it.
//!
//! They are a target of the package `cli`, since only there cargo promises that the program is built
//! and where it is. They check that the wire is plugged in: stdout, stderr, exit code, and what lies on
//! the disk afterwards. Rules are tested in the crates that hold them.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod append_crashes;
mod backups;
mod batch;
mod bench;
mod clones;
mod containers;
mod copies;
mod crashes;
mod descriptors;
mod disks;
mod environment;
mod examples;
mod export;
mod failures;
mod guard;
mod guest;
mod hardware;
mod hypervisor;
mod images;
mod in_place;
mod job_runs;
mod jobs;
mod kept;
mod libvirt;
mod machines;
mod names;
mod native;
mod oracles;
mod packed;
mod packing;
mod plan_files;
mod plans;
mod points;
mod protection;
mod rate;
mod repair;
mod restore;
mod retention;
mod running;
mod sandbox;
mod shelf;
mod signals;
mod signatures;
mod snapshot_verbs;
mod snapshots;
mod standing;
mod tracing;
mod tree;
mod virsh;
mod vmx;
mod web;
