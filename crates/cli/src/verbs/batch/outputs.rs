//! What a done item left, and whether it is there still.

use std::path::{Path, PathBuf};

use batch::{Batch, Item, Status};

/// The folder of an item; a host has none.
pub(super) fn folder(batch: &Batch, item: &Item) -> Option<PathBuf> {
    batch.target.strip_prefix("dir:").map(|path| Path::new(path).join(&item.id))
}

/// Whether nothing is left of a done item: no file that the journal names, no result file and no domain
/// XML.
///
/// Of a host this is never said: a machine may have moved to another one since, and must not become two.
pub(super) fn are_gone(batch: &Batch, item: &Item, status: &Status) -> bool {
    let Some(folder) = folder(batch, item) else { return false };
    let papers = [restore::plan::result_path(&folder), folder.join(restore::plan::DOMAIN_XML)];
    // What cannot be looked at is not gone.
    papers.iter().chain(&status.files).all(|path| matches!(path.try_exists(), Ok(false)))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use batch::{History, Line, Record, State};

    use super::*;

    #[test]
    fn an_item_is_gone_when_nothing_is_left_of_it_in_its_folder() {
        let out = tempfile::tempdir().unwrap();
        let item = Item { id: "web".to_owned(), ..Item::default() };
        let mut batch = Batch {
            schema: batch::SCHEMA,
            name: "b".to_owned(),
            target: format!("dir:{}", out.path().display()),
            choices: batch::Choices::new(),
            items: vec![item.clone()],
        };
        let folder = folder(&batch, &item).unwrap();
        let mut record = Record::new("2026-11-21T10:00:00Z".into(), "b", "web", State::Done);
        record.files = vec![folder.join("vm-disk0.qcow2")];
        let history = History::of([vec![Line::Item(Box::new(record))]]);
        let status = history.get("web").unwrap();
        assert!(are_gone(&batch, &item, status));
        fs::create_dir(&folder).unwrap();
        assert!(are_gone(&batch, &item, status));
        for name in ["relift.result.json", "domain.xml", "vm-disk0.qcow2"] {
            fs::write(folder.join(name), b"").unwrap();
            assert!(!are_gone(&batch, &item, status), "{name}");
            fs::remove_file(folder.join(name)).unwrap();
        }
        batch.target = "libvirt".to_owned();
        assert!(!are_gone(&batch, &item, status));
    }
}
