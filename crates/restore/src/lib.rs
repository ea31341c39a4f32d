//! One planner and one executor for everything that becomes a machine.
//!
//! ```text
//! trait Source (an OVA, an OVF folder, an OVA on a pipe, a VMX, a native backup, a domain XML)
//!       facts: descriptor, manifest, members        bytes: handed out member by member
//!             \                                          |
//!              plan(facts, folder, choices) -> Plan      |      pure; every refusal is made here
//!                                               \        v
//!                                                execute(plan, source) -> disks, domain.xml, result
//!                                                         with an undo list, names given at the end
//! ```

mod description;
mod error;
pub mod execute;
pub mod export;
mod locate;
mod native;
mod packed;
pub mod plan;
mod policy;
pub mod source;
mod sources;
mod undo;
mod verify;

use sources::digest_of;

pub use description::{Description, Selection};
pub use error::{Detail, Error};
pub use execute::{Execution, Outcome, Output, Step, Watch, execute};
pub use locate::{Located, locate};
pub use native::{Backup, Definition, Native, XmlTrust};
pub use packed::{PackedImage, Passing, Reading};
pub use plan::{Choices, FilePlan, MachinePlan, Plan, plan};
pub use policy::{ManifestPolicy, Policy, SignaturePolicy, VerifyOutput};
pub use source::{Access, Delivery, Facts, ImageFacts, Source, SourceKind};
pub use sources::{Named, check_signature, is_backup, open, open_bytes, open_stream, split_point};
pub use verify::{Checked, Level, Verdict, verify};
