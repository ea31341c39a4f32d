//! From what a source calls a file to the members that hold it.

use code::Code;
use convert::source::File;
use ovf::{EntryName, Finding, selection::PackageFile};
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
/// chunks, `E0303` for chunks that are not as long as the descriptor says.
pub fn locate(facts: &Facts, file: &File) -> Result<Vec<Located>, Error> {
    match file {
        File::Packed(file) => {
            let names = facts.names();
            let parts = ovf::resolve_parts(file, &facts.descriptor.name, &names)?;
            let located = |part: ovf::Resolved<'_>| Located {
                name: part.name.clone(),
                finding: part.finding,
            };
            let mut parts: Vec<Located> = parts.into_iter().map(located).collect();
            check_lengths(facts, file, &mut parts)?;
            Ok(parts)
        }
        File::Named(name) => beside(facts, name).map(|located| vec![located]),
    }
}

/// Compares the lengths with what the descriptor states: of one file they are a hint, but chunks of
/// other lengths are not the chunks of that file.
fn check_lengths(facts: &Facts, file: &PackageFile, parts: &mut [Located]) -> Result<(), Error> {
    let length = |part: &Located| facts.member(&part.name).map(|member| member.length_bytes);
    let Some(lengths) = parts.iter().map(length).collect::<Option<Vec<u64>>>() else {
        return Ok(());
    };
    let href = file.href.escape_debug();
    let refused = |text: String| {
        Err(Error::new(Code::E0303, text).fix("copy all parts of the package again"))
    };
    let cut = file.chunk_bytes.filter(|_| parts.len() > 1);
    if let (Some(stated), Some((_, whole))) = (cut, lengths.split_last()) {
        let odd = parts.iter().zip(whole).find(|(_, length)| **length != stated);
        if let Some((part, length)) = odd {
            let name = &part.name;
            return refused(format!("{name} has {length} bytes, its chunks have {stated} each"));
        }
    }
    // A ZIP archive may claim any length.
    let total = lengths.iter().fold(0_u64, |sum, length| sum.saturating_add(*length));
    let Some(stated) = file.size_bytes.filter(|stated| *stated != total) else { return Ok(()) };
    if cut.is_some() {
        let text = format!("the chunks of {href} have {total} bytes in all, not {stated}");
        return refused(text);
    }
    if let Some(part) = parts.first_mut().filter(|part| part.finding.is_none()) {
        let message = format!("{href} has {total} bytes, the descriptor says {stated}");
        part.finding =
            Some(Finding { code: Code::W0608, message, item: None, path: None, line: None });
    }
    Ok(())
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
