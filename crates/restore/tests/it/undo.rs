//! Whatever act fails, what was done before it is taken back.

use host::fake::Fake;
use restore::Choices;
use testkit::{MIB, Package};

use crate::{Quiet, convert, files, ova};

#[test]
fn leaves_the_target_as_it_was_whichever_act_fails() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = Package::small("web", MIB).ova();
    let out = folder.path().join("target/out");
    std::fs::create_dir(folder.path().join("target")).unwrap();
    std::fs::write(folder.path().join("target/other"), "mine").unwrap();
    let before = files(&folder.path().join("target"));
    let acts = {
        let host = Fake::new(None);
        let mut source = ova(folder.path(), &bytes).unwrap();
        convert(&mut *source, &out, &Choices::default(), &host, &Quiet::default()).unwrap();
        std::fs::remove_dir_all(&out).unwrap();
        host.acts()
    };
    assert_eq!(
        acts,
        [
            "folder out",
            "create web-disk0.qcow2",
            "create relift.result.json",
            "publish web-disk0.qcow2",
            "create domain.xml",
            "publish domain.xml",
            "sync out",
            "publish relift.result.json",
            "sync out",
        ]
    );
    for (number, act) in acts.iter().enumerate() {
        let host = Fake::new(Some(number));
        let mut source = ova(folder.path(), &bytes).unwrap();
        convert(&mut *source, &out, &Choices::default(), &host, &Quiet::default()).unwrap_err();
        assert_eq!(files(&folder.path().join("target")), before, "{act}");
        assert!(!out.exists(), "{act}");
    }
}

#[test]
fn gives_back_what_was_replaced_whichever_act_fails() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let bytes = Package::small("web", MIB).ova();
    let run = |choices: &Choices, host: &Fake| {
        let mut source = ova(folder.path(), &bytes).unwrap();
        convert(&mut *source, &out, choices, host, &Quiet::default())
    };
    run(&Choices::default(), &Fake::new(None)).unwrap();
    std::fs::write(out.join("domain.xml"), "an earlier one").unwrap();
    let before = files(&out);
    let replace = before.iter().map(|(name, _)| out.join(name)).collect();
    let choices = Choices { replace, ..Choices::default() };
    let whole = Fake::new(None);
    run(&choices, &whole).unwrap();
    assert_eq!(files(&out).len(), 3);
    std::fs::write(out.join("domain.xml"), "an earlier one").unwrap();
    let acts = whole.acts();
    // The last acts remove what was set aside: then the run is complete.
    let last = acts.iter().rposition(|act| act.starts_with("sync")).unwrap();
    for (number, act) in acts.iter().enumerate().take(last + 1) {
        run(&choices, &Fake::new(Some(number))).unwrap_err();
        assert_eq!(files(&out), before, "{act}");
    }
}
