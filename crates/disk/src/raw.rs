//! Raw: the guest's bytes and nothing else.

mod reader;
mod stream;
mod writer;

pub(crate) use reader::Reader;
pub(crate) use stream::Stream;
pub use writer::Writer;
