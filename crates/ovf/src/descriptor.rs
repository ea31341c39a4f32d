//! The OVF descriptor: every dialect read into the same values.
//!
//! ```text
//!  bytes --decode--> text --xml (bounded)--> elements --one reader a section--> Envelope
//! ```
//!
//! OVF 0.9 (`<Section xsi:type=…>`), 1.x, 2.x and the oVirt dialect differ in spelling only. They
//! are told apart by the namespace of the root, and read by local name (DSP0243; the dialects are
//! those that real writers produce).

mod bundles;
mod disk_section;
mod envelope;
mod hardware;
mod item;
mod product;
mod reader;
mod startup;
mod system;
mod vbox;

pub use bundles::BundleFiles;
pub use disk_section::{Compression, Disk, File, ImageFormat};
pub use envelope::{Collection, Configuration, Envelope, Network, UnknownSection, Version};
pub use hardware::{Hardware, Setting};
pub use item::{Bound, Item, ItemKind, Origin, Quantity, resource};
pub use product::{Product, Property, PropertyValue};
pub use startup::StartupItem;
pub use system::{BootEntry, GuestOs, VirtualSystem};
pub use vbox::{VboxAdapter, VboxAttachment, VboxController, VboxMachine};
