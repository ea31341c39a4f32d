//! From what a source calls a file to the members that hold it.

use code::Code;
use convert::source::File;
use ovf::{EntryName, Finding};
use vmx::FileName;

use crate::{Error, Facts};

/// A member that holds a file, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The member.
    pub name: EntryName,
    /// What had to be tolerated to find it.
    pub finding: Option<Finding>,
}

/// Finds the members that hold a file, in order.
///
/// A VMX names files of the host that it was written on. What lies below its own folder is taken as
/// it is; of any other name only the last part counts, and that file, too, must lie beside the VMX.
///
/// # Errors
/// `E0104` where there is none, `E0105` for a name that must not be followed, `E0106` for too many
/// chunks.
pub fn locate(facts: &Facts, file: &File) -> Result<Vec<Located>, Error> {
    match file {
        File::Packed(file) => {
            let names = facts.names();
            let parts = ovf::resolve_parts(file, &facts.descriptor.name, &names)?;
            let located = |part: ovf::Resolved<'_>| Located {
                name: part.name.clone(),
                finding: part.finding,
            };
            Ok(parts.into_iter().map(located).collect())
        }
        File::Named(name) => beside(facts, name).map(|located| vec![located]),
    }
}

/// Finds a file of a VMX in the VMX's own folder.
fn beside(facts: &Facts, name: &FileName) -> Result<Located, Error> {
    let fix = "put the file beside the VMX";
    let shown = name.text().escape_debug();
    if let Some(beside) = name.beside() {
        let name = EntryName::parse(beside)?;
        return match facts.member(&name) {
            Some(_) => Ok(Located { name, finding: None }),
            None => Err(Error::new(Code::E0104, format!("{shown} is not beside the VMX")).fix(fix)),
        };
    }
    let base = name.base().and_then(|base| EntryName::parse(base).ok());
    let Some(base) = base.filter(|base| facts.member(base).is_some()) else {
        let text = format!("{shown} is a file of the old host, and not beside the VMX");
        return Err(Error::new(Code::E0104, text).fix(fix));
    };
    let finding = Finding {
        code: Code::W0608,
        message: format!("{shown} is a file of the old host; {base} beside the VMX is taken"),
        item: None,
        path: None,
        line: None,
    };
    Ok(Located { name: base, finding: Some(finding) })
}
