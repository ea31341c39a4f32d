//! Whether a name that stands inside an image may be followed, and what it leads to.
//!
//! ```text
//! image names a file --> Opening (depth, loops) --> Gate: the caller's rules --> bytes, and their place
//! ```
//!
//! An image can name anything: a host's device, its password file, itself. So a format never opens a
//! file; it asks the [`Gate`] that the caller gave, and the gate that says no is the default.

use std::{fmt, sync::Arc};

use crate::{
    Error, ReadAt, Result,
    error::{Kind, shown},
};

mod folder;
pub use folder::Folder;

/// Opens the files that an image names, or refuses to.
pub trait Gate {
    /// Opens the file `name`, which the image at `from` names in the role `role`.
    ///
    /// The format of what is opened is not looked at.
    ///
    /// # Errors
    ///
    /// [`Denied`](Kind::Denied) when the rules of the caller do not allow it,
    /// [`Unsafe`](Kind::Unsafe) when the name leads out of where files may lie,
    /// [`Missing`](Kind::Missing) when there is no such file; [`Io`](Kind::Io) else.
    fn open(&self, role: Role, name: &FileName, from: &Place) -> Result<Opened>;

    /// Where the image lies that is opened first.
    fn root(&self) -> Place;

    /// What becomes of the names in the image at `from`; a gate that does not say so follows them.
    fn names(&self, _from: &Place) -> Names {
        Names::Followed
    }

    /// The most images that may stand above one another, with the first one.
    fn max_depth(&self) -> usize;
}

/// What becomes of the names that stand in an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// They are opened, as far as the gate allows it; an image is not read without them.
    Followed,
    /// They are passed over: a parent is left out, and what the image does not have is a hole; an extent
    /// reads as zeros. So one sees what an image says of itself, or the upper images of a chain.
    PassedOver,
}

/// What a named file is to the image that names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A part of the disk: an extent of a VMDK.
    Extent,
    /// The disk that a delta of VMware, Microsoft or VirtualBox is about.
    Parent,
    /// The backing file of a qcow2 image.
    BackingFile,
    /// The file that a qcow2 image keeps its clusters in.
    DataFile,
}

impl Role {
    /// The word for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Extent => "extent",
            Self::Parent => "parent",
            Self::BackingFile => "backing file",
            Self::DataFile => "data file",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name as it stands in an image. It names nothing on this host by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileName {
    text: String,
    bytes: Vec<u8>,
}

impl FileName {
    /// Takes a name whose bytes are its text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self { text: text.to_owned(), bytes: text.as_bytes().to_vec() }
    }

    /// Takes a name that was decoded from `bytes`, which may be what the file is called, too.
    #[must_use]
    pub fn decoded(text: &str, bytes: &[u8]) -> Self {
        Self { text: text.to_owned(), bytes: bytes.to_vec() }
    }

    /// The name as text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The bytes that the image has, where they are something else than the text.
    #[must_use]
    pub fn raw(&self) -> Option<&[u8]> {
        (self.bytes != self.text.as_bytes()).then_some(&self.bytes)
    }

    /// The last part of the name, whichever slash divides it.
    #[must_use]
    pub fn base(&self) -> Self {
        let text = self.text.rsplit(['/', '\\']).next().unwrap_or_default();
        let bytes = self.bytes.rsplit(|byte| matches!(byte, b'/' | b'\\')).next();
        Self { text: text.to_owned(), bytes: bytes.unwrap_or_default().to_vec() }
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.text))
    }
}

/// Where an opened file lies, in the words of its gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// What a later name is relative to: a path, or the name of a member. Never opened by a format.
    pub name: String,
    /// Device and inode, where the file has them: two names can lead to one file.
    pub file: Option<(u64, u64)>,
}

impl Place {
    /// Whether this is the same file.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        match (self.file, other.file) {
            (Some(a), Some(b)) => a == b,
            _ => self.name == other.name,
        }
    }
}

/// A file that a gate has opened.
pub struct Opened {
    /// Its bytes.
    pub bytes: Arc<dyn ReadAt>,
    /// Where it lies.
    pub place: Place,
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Opened({})", self.place.name)
    }
}

/// The gate that follows no name: only images that stand alone are read.
#[derive(Debug, Clone, Copy, Default)]
pub struct Closed;

impl Gate for Closed {
    fn open(&self, role: Role, name: &FileName, _from: &Place) -> Result<Opened> {
        Err(Error::new(Kind::Denied, GateError::Closed { role, name: name.to_string() }))
    }

    fn root(&self) -> Place {
        Place { name: String::new(), file: None }
    }

    fn max_depth(&self) -> usize {
        1
    }
}

/// The gate that opens nothing and lets an image be looked at all the same.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Gate for Alone {
    fn open(&self, role: Role, name: &FileName, from: &Place) -> Result<Opened> {
        Closed.open(role, name, from)
    }

    fn root(&self) -> Place {
        Closed.root()
    }

    fn names(&self, _from: &Place) -> Names {
        Names::PassedOver
    }

    fn max_depth(&self) -> usize {
        Closed.max_depth()
    }
}

#[derive(Debug, thiserror::Error)]
enum GateError {
    #[error("the image needs its {role} '{name}', and only images that stand alone are read here")]
    Closed { role: Role, name: String },
    #[error("the {role} '{name}' is an image of its own chain, which so has no end")]
    Loop { role: Role, name: String },
    #[error("the {role} '{name}' would be image {depth} of the chain, {max} are allowed")]
    Depth { role: Role, name: String, depth: usize, max: usize },
}

/// The bytes of the image below another, and where it stands.
pub(crate) type Below<'g> = (Arc<dyn ReadAt>, Opening<'g>);

/// An image that is being opened: where it lies, and on which images it stands.
#[derive(Clone)]
pub(crate) struct Opening<'g> {
    gate: &'g dyn Gate,
    /// The chain from the first image down to this one, which is the last.
    chain: Vec<Place>,
}

impl<'g> Opening<'g> {
    pub(crate) fn new(gate: &'g dyn Gate) -> Self {
        Self { gate, chain: vec![gate.root()] }
    }

    /// Opens a part of this image: an extent, or a data file; `None` when names are passed over.
    pub(crate) fn part(&self, role: Role, name: &FileName) -> Result<Option<Opened>> {
        if self.gate.names(self.place()) == Names::PassedOver {
            return Ok(None);
        }
        let opened = self.gate.open(role, name, self.place())?;
        self.refuse_loop(role, name, &opened.place)?;
        Ok(Some(opened))
    }

    /// Opens the image that this one stands on, by the first of the names that there is; `None` when
    /// names are passed over.
    pub(crate) fn below(&self, role: Role, names: &[FileName]) -> Result<Option<Below<'g>>> {
        if self.gate.names(self.place()) == Names::PassedOver {
            return Ok(None);
        }
        let mut missing = None;
        for name in names {
            match self.gate.open(role, name, self.place()) {
                Ok(opened) => return self.step(role, name, opened).map(Some),
                Err(error) if error.kind() == Kind::Missing => missing = missing.or(Some(error)),
                Err(error) => return Err(error),
            }
        }
        // A delta without its parent: what is missing is not named by the package itself.
        Err(missing.map_or_else(
            || Error::new(Kind::Denied, "the image has a parent without a name"),
            |error| error.with_kind(Kind::Denied),
        ))
    }

    fn step(&self, role: Role, name: &FileName, opened: Opened) -> Result<Below<'g>> {
        self.refuse_loop(role, name, &opened.place)?;
        let (depth, max) = (self.chain.len().saturating_add(1), self.gate.max_depth());
        if depth > max {
            let leaf = GateError::Depth { role, name: name.to_string(), depth, max };
            return Err(Error::new(Kind::Limit, leaf));
        }
        let mut chain = self.chain.clone();
        chain.push(opened.place);
        Ok((opened.bytes, Self { gate: self.gate, chain }))
    }

    fn refuse_loop(&self, role: Role, name: &FileName, place: &Place) -> Result<()> {
        if self.chain.iter().any(|above| above.is(place)) {
            return Err(Error::malformed(GateError::Loop { role, name: name.to_string() }));
        }
        Ok(())
    }

    /// Where this image lies.
    pub(crate) fn place(&self) -> &Place {
        // The chain always has the image itself.
        const NOWHERE: &Place = &Place { name: String::new(), file: None };
        self.chain.last().unwrap_or(NOWHERE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gate of files in memory: their name, and whether there is such a file.
    struct Memory(&'static [&'static str]);

    impl Gate for Memory {
        fn open(&self, role: Role, name: &FileName, _: &Place) -> Result<Opened> {
            let named = self.0.iter().find(|there| **there == name.text());
            let named =
                named.ok_or_else(|| Error::new(Kind::Missing, format!("no {role} {name}")))?;
            let place = Place { name: (*named).to_owned(), file: None };
            Ok(Opened { bytes: Arc::new(named.as_bytes().to_vec()), place })
        }

        fn root(&self) -> Place {
            Place { name: "top".to_owned(), file: None }
        }

        fn max_depth(&self) -> usize {
            3
        }
    }

    fn names(names: &[&str]) -> Vec<FileName> {
        names.iter().map(|name| FileName::new(name)).collect()
    }

    #[test]
    fn the_closed_gate_follows_no_name() {
        let opening = Opening::new(&Closed);
        let error = opening.part(Role::Extent, &FileName::new("a\u{1b}")).unwrap_err();
        let want =
            "the image needs its extent 'a\\u{1b}', and only images that stand alone are read here";
        assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Denied));
        let error = opening.below(Role::BackingFile, &names(&["b"])).err().unwrap();
        assert_eq!(error.kind(), Kind::Denied);
        assert!(error.to_string().starts_with("the image needs its backing file 'b'"));
    }

    #[test]
    fn the_first_name_that_is_there_is_taken() {
        let gate = Memory(&["b", "c"]);
        let (bytes, below) =
            Opening::new(&gate).below(Role::Parent, &names(&["a", "b", "c"])).unwrap().unwrap();
        assert_eq!((bytes.len_bytes(), below.place().name.as_str()), (1, "b"));
        let error = Opening::new(&gate).below(Role::Parent, &names(&["x", "y"])).err().unwrap();
        assert_eq!((error.to_string().as_str(), error.kind()), ("no parent x", Kind::Denied));
        let error = Opening::new(&gate).below(Role::Parent, &[]).err().unwrap();
        assert_eq!(error.to_string(), "the image has a parent without a name");
    }

    #[test]
    fn a_chain_has_an_end() {
        let gate = Memory(&["top", "a", "b", "c"]);
        fn step<'g>(opening: &Opening<'g>, name: &str) -> Result<Opening<'g>> {
            opening.below(Role::Parent, &names(&[name])).map(|found| found.unwrap().1)
        }
        let top = Opening::new(&gate);
        let error = step(&top, "top").err().unwrap();
        let want = "the parent 'top' is an image of its own chain, which so has no end";
        assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Malformed));
        let below = step(&step(&top, "a").unwrap(), "b").unwrap();
        assert!(step(&below, "a").err().unwrap().to_string().contains("has no end"));
        let error = below.part(Role::Extent, &FileName::new("top")).unwrap_err();
        assert!(error.to_string().starts_with("the extent 'top' is an image of its own chain"));
        let error = step(&below, "c").err().unwrap();
        let want = "the parent 'c' would be image 4 of the chain, 3 are allowed";
        assert_eq!((error.to_string().as_str(), error.kind()), (want, Kind::Limit));
        below.part(Role::Extent, &FileName::new("c")).unwrap();
    }

    #[test]
    fn a_name_has_a_last_part_whichever_slash_divides_it() {
        for (name, want) in
            [("a", "a"), ("/vmfs/volumes/x/a b", "a b"), ("C:\\vm\\a", "a"), ("a/", "")]
        {
            assert_eq!(FileName::new(name).base(), FileName::new(want));
        }
        let decoded = FileName::decoded("x/\u{e9}", b"x/\xe9").base();
        assert_eq!((decoded.text(), decoded.raw()), ("\u{e9}", Some(&b"\xe9"[..])));
        assert_eq!(FileName::new("a").raw(), None);
    }

    #[test]
    fn two_names_of_one_file_are_one_place() {
        let place = |name: &str, file| Place { name: name.to_owned(), file };
        assert!(place("a", Some((1, 2))).is(&place("b", Some((1, 2)))));
        assert!(!place("a", Some((1, 2))).is(&place("a", Some((1, 3)))));
        assert!(place("a", None).is(&place("a", Some((1, 2)))));
    }
}
