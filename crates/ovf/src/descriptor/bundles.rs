//! Message bundles: the texts behind `ovf:msgid` (DSP0243 section 10).
//!
//! ```text
//!  <Strings xml:lang fileRef> + Msg*  --ranked by language--> Messages {msgid -> text}
//!          \-> the file, if the caller hands it over; an inline Msg beats the same id of its file
//! ```

use std::collections::HashMap;

use code::Code;

use crate::{
    Finding, quote,
    xml::{self, Element, Space},
};

/// The most bundle files that are asked for (ours; real descriptors have one a language).
const MAX_BUNDLE_FILES: usize = 64;
/// The most text that all bundle files together may have, in bytes (ours).
const MAX_BUNDLE_BYTES: usize = 16 << 20;
/// The language of an envelope that states none (DSP0243 section 10).
const DEFAULT_LANGUAGE: &str = "en-US";

/// Hands over the bytes of a bundle file by its href, or says why it cannot.
pub type BundleFiles<'a> = dyn FnMut(&str) -> Result<Vec<u8>, String> + 'a;

/// The texts of the bundles, the best language first.
pub(super) struct Messages {
    texts: HashMap<String, String>,
}

impl Messages {
    /// Reads the bundles inside the descriptor and those in files.
    ///
    /// The language wanted is the envelope's. Each id has its text from the best bundle that has it:
    /// one of exactly that language, one of its first part, one without a language. Bundles of other
    /// languages are passed over, and so are their files.
    pub(super) fn read(
        root: &Element,
        files: &mut BundleFiles<'_>,
        findings: &mut Vec<Finding>,
    ) -> Self {
        let wanted = root.attribute_in(&Space::Xml, "lang").map(str::trim);
        let wanted = wanted.filter(|language| !language.is_empty()).unwrap_or(DEFAULT_LANGUAGE);
        let mut found = Vec::new();
        find(root, &mut found);
        let mut ranked: Vec<(u8, &Element)> =
            found.into_iter().filter_map(|bundle| Some((rank(bundle, wanted)?, bundle))).collect();
        // The best bundle is read last and overwrites the others.
        ranked.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
        let mut messages = Self { texts: HashMap::new() };
        let mut shelf = Shelf { root, files, asked: 0, bytes: 0 };
        for (_, bundle) in ranked {
            if let Some(id) = bundle.filled("fileRef") {
                match shelf.bundle(&id) {
                    Ok(strings) => messages.add(&strings),
                    Err(why) => {
                        let id = quote::Quoted(&id);
                        let message = format!("the message bundle {id} is not read: {why}");
                        findings.push(Finding::new(Code::W0610, message).at_line(bundle.line));
                    }
                }
            }
            messages.add(bundle);
        }
        messages
    }

    /// The text of an id.
    pub(super) fn get(&self, id: &str) -> Option<&String> {
        self.texts.get(id)
    }

    fn add(&mut self, bundle: &Element) {
        for message in bundle.all("Msg") {
            if let (Some(id), Some(text)) = (message.filled("msgid"), message.filled_text()) {
                self.texts.insert(id, text);
            }
        }
    }
}

/// The files that hold bundles.
struct Shelf<'a, 'f> {
    root: &'a Element,
    files: &'a mut BundleFiles<'f>,
    asked: usize,
    bytes: usize,
}

impl Shelf<'_, '_> {
    /// The `Strings` of the file with this id, or why there are none.
    fn bundle(&mut self, id: &str) -> Result<Element, String> {
        let references = self.root.children.iter().filter(|child| child.is("References"));
        let mut listed = references.flat_map(|references| references.all("File"));
        let file = listed.find(|file| file.filled("id").as_deref() == Some(id));
        let href = file.and_then(|file| file.attribute("href")).ok_or("no file has this id")?;
        self.asked = self.asked.saturating_add(1);
        if self.asked > MAX_BUNDLE_FILES {
            return Err(format!("more than {MAX_BUNDLE_FILES} bundle files"));
        }
        let bytes = (self.files)(href)?;
        self.bytes = self.bytes.saturating_add(bytes.len());
        if self.bytes > MAX_BUNDLE_BYTES {
            return Err(format!(
                "the bundle files have {} bytes, at most {MAX_BUNDLE_BYTES} are allowed",
                self.bytes
            ));
        }
        let root = xml::parse(&bytes).map_err(|error| error.to_string())?.root;
        if root.is("Strings") {
            Ok(root)
        } else {
            Err(format!("its root element is {}, not 'Strings'", quote::Quoted(&root.name)))
        }
    }
}

/// How well a bundle suits, 0 the best; `None` for one of another language.
fn rank(bundle: &Element, wanted: &str) -> Option<u8> {
    let first = |language: &str| language.split('-').next().unwrap_or_default().to_lowercase();
    match bundle.attribute_in(&Space::Xml, "lang").map(str::trim) {
        None | Some("") => Some(3),
        Some(language) if language.eq_ignore_ascii_case(wanted) => Some(0),
        Some(language) if language.eq_ignore_ascii_case(&first(wanted)) => Some(1),
        Some(language) if first(language) == first(wanted) => Some(2),
        Some(_) => None,
    }
}

fn find<'e>(element: &'e Element, found: &mut Vec<&'e Element>) {
    for child in &element.children {
        if child.is("Strings") {
            found.push(child);
        } else {
            find(child, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{Envelope, sample::Sample};

    const FILES: &str = r#"<File ovf:id="plain" ovf:href="plain.msgs"/>
        <File ovf:id="german" ovf:href="de.msgs"/><File ovf:id="danish" ovf:href="da.msgs"/>"#;

    const STRINGS: &str = r#"<Strings ovf:fileRef="plain"/>
        <Strings ovf:fileRef="german" xml:lang="de"><Msg ovf:msgid="b">innen</Msg></Strings>
        <Strings ovf:fileRef="danish" xml:lang="da"/>"#;

    fn bundle(texts: &[(&str, &str)]) -> Vec<u8> {
        let texts = texts.iter().map(|(id, text)| format!("<Msg ovf:msgid='{id}'>{text}</Msg>"));
        let ovf = "http://schemas.dmtf.org/ovf/envelope/1";
        format!("<Strings xmlns='{ovf}' xmlns:ovf='{ovf}'>{}</Strings>", texts.collect::<String>())
            .into_bytes()
    }

    /// The texts of the ids `a`, `b`, `c`, the hrefs that were asked for, and the findings.
    fn read(language: &str) -> (Vec<String>, Vec<String>, Vec<String>) {
        let section = |id: &str| {
            format!("<ProductSection><Product ovf:msgid='{id}'>own {id}</Product></ProductSection>")
        };
        let sample = Sample {
            files: Sample::new().files + FILES,
            options: STRINGS.to_owned(),
            system: ["a", "b", "c"].map(section).concat(),
            ..Sample::new()
        };
        let xml = sample.xml().replacen("<Envelope ", &format!("<Envelope {language} "), 1);
        let mut asked = Vec::new();
        let mut files = |href: &str| {
            asked.push(href.to_owned());
            match href {
                "plain.msgs" => Ok(bundle(&[("a", "plain a"), ("b", "plain b")])),
                "de.msgs" => Ok(bundle(&[("b", "Datei b")])),
                _ => Err("it is not in the package".to_owned()),
            }
        };
        let envelope = Envelope::parse_with(xml.as_bytes(), &mut files).unwrap();
        let products = &envelope.systems[0].products;
        let texts = products.iter().map(|product| product.product.clone().unwrap());
        let findings = envelope.findings.iter().map(|finding| finding.message.clone());
        (texts.collect(), asked.clone(), findings.collect())
    }

    #[test]
    fn takes_each_text_from_the_best_bundle_that_has_it() {
        let missing = "no text for the message id 'c'";
        for (language, texts, asked) in [
            ("", ["plain a", "plain b", "own c"], &["plain.msgs"][..]),
            ("xml:lang='fr'", ["plain a", "plain b", "own c"], &["plain.msgs"]),
            ("xml:lang='de'", ["plain a", "innen", "own c"], &["plain.msgs", "de.msgs"]),
            ("xml:lang='de-AT'", ["plain a", "innen", "own c"], &["plain.msgs", "de.msgs"]),
        ] {
            let (found, hrefs, findings) = read(language);
            assert_eq!(
                (found, hrefs),
                (
                    texts.map(str::to_owned).to_vec(),
                    asked.to_vec().iter().map(ToString::to_string).collect()
                )
            );
            assert_eq!(findings, [missing]);
        }
    }

    #[test]
    fn a_bundle_that_cannot_be_read_leaves_the_own_text() {
        let (texts, _, findings) = read("xml:lang='da'");
        assert_eq!(texts, ["plain a", "plain b", "own c"]);
        assert_eq!(
            findings[0],
            "the message bundle 'danish' is not read: it is not in the package"
        );
    }

    #[test]
    fn refuses_files_that_are_no_bundles() {
        type Answer = fn() -> Result<Vec<u8>, String>;
        let cases: [(Answer, &str); 3] = [
            (|| Ok(b"<html/>".to_vec()), "its root element is 'html', not 'Strings'"),
            (|| Ok(b"<!DOCTYPE a>".to_vec()), "a DOCTYPE is forbidden (line 1, column 1)"),
            (
                || Ok(vec![b' '; (16 << 20) + 1]),
                "the bundle files have 16777217 bytes, at most 16777216 are allowed",
            ),
        ];
        for (answer, why) in cases {
            let sample = Sample {
                files: Sample::new().files + FILES,
                options: r#"<Strings ovf:fileRef="plain"/>"#.to_owned(),
                ..Sample::new()
            };
            let envelope =
                Envelope::parse_with(sample.xml().as_bytes(), &mut |_| answer()).unwrap();
            let want = format!("the message bundle 'plain' is not read: {why}");
            assert_eq!(envelope.findings[0].message, want);
        }
        let sample =
            Sample { options: r#"<Strings ovf:fileRef="gone"/>"#.to_owned(), ..Sample::new() };
        let want = "the message bundle 'gone' is not read: no file has this id";
        assert_eq!(sample.parse().findings[0].message, want);
    }
}
