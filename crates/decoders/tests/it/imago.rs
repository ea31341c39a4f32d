//! imago, which checks more than others before it believes a table.

use std::path::Path;

use imago::{
    DenyImplicitOpenGate, FormatAccess, FormatDriverBuilder as _, file::File, qcow2::Qcow2,
};

/// Reads a file; whatever else it might name is not opened.
pub(crate) fn decode(path: &Path, capacity: usize) -> Result<Vec<u8>, String> {
    let read = || {
        let file = File::try_from(std::fs::File::open(path)?)?;
        let image = Qcow2::<File>::builder(file).open(DenyImplicitOpenGate::default())?;
        let image = FormatAccess::new(image);
        let mut disk = vec![0xee; capacity];
        image.read(&mut disk, 0)?;
        Ok((image.size(), disk))
    };
    let (size, disk) = read().map_err(|error: std::io::Error| error.to_string())?;
    if size == capacity as u64 {
        Ok(disk)
    } else {
        Err(format!("a virtual size of {size}, not of {capacity}"))
    }
}
