//! Several files in one input.

/// The bytes that say how long the first file is.
const LENGTH: usize = 4;

/// Puts a file in front of another.
pub(crate) fn join(first: &[u8], second: &[u8]) -> Vec<u8> {
    let len = u32::try_from(first.len()).expect("a small file");
    [&len.to_le_bytes(), first, second].concat()
}

/// Both files of an input; a length that is too large makes the second one empty.
pub(crate) fn split(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((len, files)) = input.split_first_chunk::<LENGTH>() else { return (input, &[]) };
    let len = usize::try_from(u32::from_le_bytes(*len)).unwrap_or(usize::MAX);
    files.split_at(len.min(files.len()))
}
