//! The command that carries a plan out, with the flags that were typed.

use convert::Note;
use restore::Plan;

use crate::show::quoted;

/// Flags with a value that belong to the plan alone, or to how it is printed.
const WITH_VALUE: [&str; 6] = ["--to", "--out", "-o", "--events", "--color", "--progress"];

/// The same without a value.
const ALONE: [&str; 6] = ["--dry-run", "--json", "-q", "--quiet", "-v", "--verbose"];

/// `relift convert SRC -o OUT`, or `import` for a host; the flags of the plan, and those that its
/// notes ask for.
///
/// Values of properties may be secrets and are never repeated.
pub(super) fn command(typed: &[String], out: &str, plan: &Plan) -> String {
    let asked = plan.notes().filter_map(asked);
    let is_restore = typed.iter().skip(1).any(|word| word == "restore");
    let verb = match &plan.host {
        None => "convert",
        Some(_) if is_restore => "restore",
        Some(_) => "import",
    };
    let mut words = vec![format!("relift {verb}")];
    words.extend(kept(typed).into_iter().map(|word| quoted(&word)));
    words.push(match &plan.host {
        None => format!("-o {out}"),
        Some(host) => format!("--to {}", quoted(&format!("libvirt:{}", host.uri))),
    });
    for flag in asked {
        if !words.contains(&flag) {
            words.push(flag);
        }
    }
    words.join(" ")
}

/// The flag that a note asks for, where it is one to be filled in.
///
/// It holds a name of the package: one that a shell would not take as a single word is left out.
fn asked(note: &Note) -> Option<String> {
    let hint = note.hint.as_deref()?;
    let value = ["--net ", "--prop "].iter().find_map(|flag| hint.strip_prefix(flag))?;
    let is_word = |text: &str| quoted(&text.replace('…', "")) == text.replace('…', "");
    let is_quoted = |text: &str| !text.contains('\'');
    let inner = value.strip_prefix('\'').and_then(|value| value.strip_suffix('\''));
    inner.map_or_else(|| is_word(value), is_quoted).then(|| hint.to_owned())
}

/// What was typed behind the verb, less what does not belong to a conversion.
fn kept(typed: &[String]) -> Vec<String> {
    let is_verb =
        |word: &&String| matches!(word.as_str(), "plan" | "convert" | "import" | "restore");
    let mut kept = Vec::new();
    let mut words = typed.iter().skip(1).skip_while(|word| !is_verb(word)).skip(1);
    while let Some(word) = words.next() {
        let flag = word.split_once('=').map_or(word.as_str(), |(flag, _)| flag);
        if WITH_VALUE.contains(&flag) {
            if flag == word {
                words.next();
            }
        } else if word == "--prop" {
            kept.push(word.clone());
            kept.extend(words.next().map(|value| masked(value)));
        } else if let Some(value) = word.strip_prefix("--prop=") {
            kept.push(format!("--prop={}", masked(value)));
        } else if !ALONE.contains(&word.as_str()) {
            kept.push(word.clone());
        }
    }
    kept
}

/// A property without its value; a file that holds it may be named.
fn masked(property: &str) -> String {
    match property.split_once('=') {
        Some((_, value)) if value.starts_with('@') => property.to_owned(),
        Some((key, _)) => format!("{key}=…"),
        None => property.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        kept(&words).join(" ")
    }

    #[test]
    fn repeats_what_belongs_to_the_conversion() {
        for (line, want) in [
            ("relift plan x.ova --net br0 --strict", "x.ova --net br0 --strict"),
            ("relift --json plan --to dir:a x.ova --color=never", "x.ova"),
            ("relift convert x.ova -o out --dry-run --jobs 2", "x.ova --jobs 2"),
            ("relift plan --progress none -q x.ova", "x.ova"),
        ] {
            assert_eq!(keeps(line), want);
        }
    }

    #[test]
    fn never_repeats_the_value_of_a_property() {
        assert_eq!(
            keeps("relift plan x.ova --prop password=hunter2 --prop=pin=1234 --prop key=@file"),
            "x.ova --prop password=… --prop=pin=… --prop key=@file"
        );
    }

    #[test]
    fn a_note_that_names_a_flag_to_fill_in_is_part_of_the_command() {
        let asks = |hint: &str| asked(&Note::new(code::Code::W0301, "no map").hint(hint));
        for good in ["--net 'my DMZ=…'", "--prop hostname=…"] {
            assert_eq!(asks(good).as_deref(), Some(good));
        }
        let bad = ["ask somebody", "--net 'a'; reboot; '=…'", "--prop $(reboot)=…", "--prop a b=…"];
        for bad in bad {
            assert_eq!(asks(bad), None, "{bad}");
        }
    }
}
