//! Names of machines and files.

/// The longest domain name, in bytes: it becomes a file name on the host.
const MAX_NAME_BYTES: usize = 200;

/// The longest slug, in bytes.
const MAX_SLUG_BYTES: usize = 100;

/// Makes a domain name of a name that a package gives: no `/` (libvirt refuses it), no control
/// characters, no blanks around it. Empty when nothing is left.
#[must_use]
pub fn domain_name(given: &str) -> String {
    let shown: String = given
        .chars()
        .filter(|c| !c.is_control() && !is_direction(*c))
        .map(|c| if c == '/' { '-' } else { c })
        .collect();
    let shown = cut(shown.trim(), MAX_NAME_BYTES).trim_end();
    if matches!(shown, "." | "..") { String::new() } else { shown.to_owned() }
}

/// Makes a file name of a machine's name: `[A-Za-z0-9._-]`, no leading `.` or `-`, at most 100 bytes;
/// `vm` when nothing is left.
#[must_use]
pub fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') {
            slug.push(c);
        } else if !slug.ends_with('-') {
            slug.push('-');
        }
    }
    let slug = slug.trim_start_matches(['.', '-']).trim_end_matches(['-', '.']);
    let slug = cut(slug, MAX_SLUG_BYTES);
    if slug.is_empty() { "vm".to_owned() } else { slug.to_owned() }
}

/// Whether the character turns the reading direction of what follows.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn cut(text: &str, bytes: usize) -> &str {
    let mut end = text.len().min(bytes);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_names_that_a_host_takes() {
        for (given, name, file) in [
            ("demo", "demo", "demo"),
            (" a/b\n", "a-b", "a-b"),
            ("Cisco CSR 1000V", "Cisco CSR 1000V", "Cisco-CSR-1000V"),
            ("-rf .", "-rf .", "rf"),
            ("虚拟机", "虚拟机", "vm"),
            ("..", "", "vm"),
            ("\u{202e}x", "x", "x"),
        ] {
            assert_eq!(
                (domain_name(given).as_str(), slug(&domain_name(given)).as_str()),
                (name, file)
            );
        }
        assert_eq!(domain_name(&"é".repeat(300)).len(), 200);
        assert_eq!(slug(&"a".repeat(300)).len(), 100);
    }
}
